"""What a run can end with, apart from success."""

import difflib
import errno
import signal
from collections.abc import Iterable

MOST_SHOWN = 100  # characters of a value
MOST_NAMES = 40  # in a list of those that are known


class InputError(ValueError):
    """The user gave something that cannot work; the message is one sentence that says what to do."""


class TrainingDiverged(RuntimeError):
    """The loss or the monitored metric is no longer a finite number."""


class JobsFailed(RuntimeError):
    """Some jobs of a sweep failed; what they said is on record."""


class Interrupted(BaseException):
    """A signal asked the run to stop. Not an `Exception`, so that no handler on the way swallows it."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")

    @property
    def exit_code(self) -> int:
        """The shell's convention for a process ended by a signal."""
        return 128 + self.signal_number


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?`, or the known names where none is near."""
    names = {str(name).lower(): str(name) for name in known}
    near = difflib.get_close_matches(str(given).lower()[:MOST_SHOWN], names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {_typed(names[near[0]])}?"
    if not names:
        return "there are none"
    first = sorted(names.values())[:MOST_NAMES]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"known are {', '.join(name if _is_plain(name) else repr(name) for name in first)}{more}"


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """Return a value as Python writes it, cut in the middle to `most` characters."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        text = "a very long number"
    return text if len(text) <= most else f"{text[: most - 20]} ... {text[-15:]}"


def _typed(name: str) -> str:
    if not name.isprintable():
        return f"{name!r}, which holds characters that do not show"
    if name != name.strip():
        return f"{name!r}, with the blanks"
    return repr(name)


def _is_plain(name: str) -> bool:
    return name.isprintable() and name == name.strip() and name != ""


def is_full_disk(error: BaseException | None) -> bool:
    """Tell whether an error came of a full disk, or of a user's share of it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
