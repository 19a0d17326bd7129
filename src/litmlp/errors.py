"""The errors that end a run, and the sentences that explain errors to the user."""

import difflib
import errno
import os
import re
import signal
from collections.abc import Iterable, Iterator

MAX_LENGTH_OF_REASON = 200  # characters
OUT_OF_MEMORY = (  # parts of the messages by which libraries report a lack of memory
    *("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory", "bad_alloc"),
    *("failed to map segment from shared object", "cannot create shared object", "insufficient memory"),
)

EXTRAS = {  # the extra that installs a package
    **dict.fromkeys(("optuna", "cmaes", "joblib", "hydra_joblib_launcher"), "sweep"),
    **dict.fromkeys(("submitit", "hydra_submitit_launcher"), "slurm"),
    **{"ray": "ray", "mlflow": "mlflow", "wandb": "wandb", "sklearn": "sklearn"},
    # part: compare
    "catboost": "compare",
    # end of part: compare
}
MAX_SHOWN = 100  # characters of a value
MAX_NAMES = 40  # in a list of known names


class InputError(ValueError):
    """The user's input cannot work; the message is one sentence that says what to do.

    The message is a single line of printable characters, even if the name of a column or a file has others.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in message))


class TrainingDiverged(RuntimeError):
    """The loss or the monitored metric is no longer a finite number."""


class JobsFailed(RuntimeError):
    """Some jobs of a sweep failed; their records hold the errors."""


class Interrupted(BaseException):
    """A signal asked the run to stop. It is not an `Exception`, so that `except Exception` does not catch it."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")

    @property
    def exit_code(self) -> int:
        """The exit code of a process that a signal has ended, by the shell's convention."""
        return 128 + self.signal_number


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?`, or the known names if none is similar."""
    names = {str(name).lower(): str(name) for name in known}
    similar = difflib.get_close_matches(str(given).lower()[:MAX_SHOWN], names, n=1, cutoff=0.6)
    if similar:
        return f"did you mean {_quoted(names[similar[0]])}?"
    if not names:
        return "there are none"
    first = sorted(names.values())[:MAX_NAMES]
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"known are {', '.join(name if _is_plain(name) else repr(name) for name in first)}{more}"


def shown(value: object, max_length: int = MAX_SHOWN) -> str:
    """Return the `repr` of a value; if it has more than `max_length` characters, its middle is left out."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to convert a whole number with thousands of digits to text
        text = "a very long number"
    return text if len(text) <= max_length else f"{text[: max_length - 20]} ... {text[-15:]}"


def _quoted(name: str) -> str:
    if not name.isprintable():
        return f"{name!r}, which holds characters that do not show"
    if name != name.strip():
        return f"{name!r}, with the blanks"
    return repr(name)


def _is_plain(name: str) -> bool:
    return name.isprintable() and name == name.strip() and name != ""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def interruption(error: BaseException) -> Interrupted | None:
    """Return the signal that led to `error`, if one did: a library may raise another error while it tidies up."""
    for link in chain(error):
        if isinstance(link, Interrupted):
            return link
        if isinstance(link, KeyboardInterrupt):
            return Interrupted(signal.SIGINT)
    return None


def no_room(error: BaseException | None) -> str | None:
    """Return what to do about a full disk, a full quota or a limit of file size; None for other errors."""
    for link in chain(error):
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            return "the disk is full: make room"
        if isinstance(link, OSError) and link.errno == errno.EFBIG:
            return "no file may grow so large here: raise the limit (ulimit -f)"
    return None


def refusal_of_system(error: BaseException) -> str | None:
    """Return a sentence for an error that the machine or its settings caused; None for any other error."""
    for link in chain(error):
        reason = _first_line(link)
        if isinstance(link, MemoryError) or any(words in reason.lower() for words in OUT_OF_MEMORY):
            return "the memory is too small for this: free some, raise its limit (ulimit -v), or ask for less of it"
        if "toomanyopenfiles" in reason.replace(" ", "").lower():  # Rust writes it as one word
            return "no more files may be open at once: raise their limit (ulimit -n)"
        if "can't start new thread" in reason:
            return "no more threads may be started: end other processes, or raise their limit (ulimit -u)"
        if isinstance(link, Warning):
            return f"a warning is an error by PYTHONWARNINGS or -W ({type(link).__name__}: {reason}): leave that out"
    if (what_to_do := no_room(error)) is not None:
        return f"{what_to_do}, and give the same command again"
    if isinstance(error, OSError):
        problem = (
            f"cannot read or write '{os.fsdecode(error.filename)}'"
            if error.filename is not None
            else "the system refused a step"
        )
        return f"{problem}: {error.strerror or _first_line(error)}"
    if isinstance(error, ImportError) and (extra := needed_extra(error)) is not None:
        return extra
    if isinstance(error, ImportError) and __package__ not in str(error.name).split("."):
        return f"a package that is needed cannot be imported ({_first_line(error)}): install this project again"
    return None


def needed_extra(error: ImportError, target: str = "") -> str | None:
    """Return how to install the package that could not be imported; None if no extra installs it.

    Args:
        error: the error of the import.
        target: name of the class that was to be built: some errors do not name the package that it needs.
    """
    words = {*str(error.name).split("."), *re.findall(r"\w+", str(error))}
    packages = (name for name in EXTRAS if name in words or name in target.rpartition(".")[2].lower())
    package = next(packages, None)
    return None if package is None else f"{package} is not installed: {install(EXTRAS[package])}"


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install -c constraints.txt -e '.[{extra}]'"


def _first_line(error: BaseException) -> str:
    try:
        text = str(error).strip()
    except Exception:  # the error's own `__str__` fails
        text = ""
    return text.partition("\n")[0][:MAX_LENGTH_OF_REASON]
