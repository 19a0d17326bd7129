"""Keys and values as briefly as can be understood."""

from collections.abc import Sequence


def short_names(keys: Sequence[str]) -> list[str]:
    """Return the last part of each dotted key, where no other key ends in the same."""
    ends = [key.rpartition(".")[2] for key in keys]
    return [end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)]


def brief(text: str) -> str:
    """Return a value with four digits where it is a longer number."""
    try:
        return min(text, f"{float(text):.4g}", key=len)
    except ValueError:
        return text
