"""Shortens keys and values for tables and lines of text."""

from collections.abc import Sequence


def short_names(keys: Sequence[str]) -> list[str]:
    """Return the last part of each dotted key; the whole key if another key has the same last part."""
    ends = [key.rpartition(".")[2] for key in keys]
    return [end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)]


def brief(text: str) -> str:
    """Return a number with at most four significant digits if that is shorter; other text as it is."""
    try:
        return min(text, f"{float(text):.4g}", key=len)
    except ValueError:
        return text
