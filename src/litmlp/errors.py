"""What a run can end with, apart from success."""

import difflib
import errno
import signal
from collections.abc import Iterable


class InputError(ValueError):
    """The user gave something that cannot work; the message is one sentence that says what to do.

    It is a single line that any terminal shows as it is, whatever a column or a file is called.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in message))


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


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?`, or the known names where none is near."""
    names = {str(name).lower(): str(name) for name in known}
    near = difflib.get_close_matches(given.lower(), names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{names[near[0]]}'?"
    return f"known are {', '.join(sorted(names.values()))}" if names else "there are none"


def is_full_disk(error: BaseException | None) -> bool:
    """Tell whether an error came of a full disk, or of a user's share of it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
