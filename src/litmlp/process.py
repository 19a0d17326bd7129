"""A command's process: its streams, its signals, and how it ends. Imports nothing that takes time."""

import io
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from litmlp import machine
from litmlp.errors import (
    InputError,
    Interrupted,
    JobsFailed,
    TrainingDiverged,
    interruption,
    no_room,
    refusal_of_system,
)

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
SECONDS_TO_TIDY_UP = 2.0
SECONDS_TO_LOOK = 1.0
HAS_ALARM = hasattr(signal, "setitimer")  # Windows has none
MIN_BYTES, BYTES_A_CORE = 2_400_000_000, 30_000_000  # of address space: a small run takes 2.35 GB on two cores
MAX_LENGTH_OF_SENTENCE = 900  # characters
FAILED, REFUSED, FAULT = 1, 2, 70  # exit codes; the last is EX_SOFTWARE of sysexits.h


def begin() -> None:
    """Let Ctrl-C just end the process while it imports, as SIGTERM does: nothing has been done yet."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def guarded(program: str) -> Iterator[None]:
    """Let a command end in silence or in one sentence of `program`, whatever happens in it.

    Without an error it goes on. Else the process ends: with 128 and the number of a signal that stopped it, 1 for a run
    that failed, 2 for what the user or the system refused, and 70 for a fault of this project. What cannot be printed
    because the reader has gone, as in `| head -1`, is dropped, and changes nothing.

    Raises:
        SystemExit: the process ends.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    use_own_streams()
    code = 0
    try:
        with raising_on_signals(program), _threads_in_a_sentence(program):
            try:
                _check_surroundings()
                with _flushed():
                    yield
            except SystemExit:
                raise
            except BaseException as error:
                if wants_traceback and not isinstance(error, Interrupted):
                    raise
                code = _say(program, error)
    except Interrupted as stop:  # while the end was told
        code = stop.exit_code
    if code:
        sys.exit(code)


@contextmanager
def raising_on_signals(program: str) -> Iterator[None]:
    """Raise `Interrupted` at Ctrl-C, SIGTERM and the end of the terminal.

    The first signal counts. Others change nothing while the first has its effects; after two seconds they end a
    process that hangs.

    Some libraries drop every exception in places. So an alarm looks each second whether the exception is still being
    handled, and raises it again if it is not. The end of this context does so as well, also if it is a `SystemExit`:
    Lightning ends training with one at SIGTERM. While a module is imported, nothing is raised, since code in C++ that
    imports another one may end the process then; the alarm does it later.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopping: list[tuple[int, float]] = []  # by which signal, since when

    def handle(number: int, frame: FrameType | None) -> None:
        if not stopping:
            stopping.append((number, time.monotonic()))
            _look_each(SECONDS_TO_LOOK)
            if HAS_ALARM and _imports(frame):
                return
            raise Interrupted(number)
        if time.monotonic() - stopping[0][1] > SECONDS_TO_TIDY_UP:
            os.write(2, f"{program}: {Interrupted(number)} at once\n".encode())
            os._exit(Interrupted(number).exit_code)

    def look(number: int, frame: FrameType | None) -> None:
        handled_now = sys.exception()  # also if it is a caller whose `finally` or `except` is at work
        if stopping and not _imports(frame) and not (handled_now and interruption(handled_now)):
            raise Interrupted(stopping[0][0])

    def drop(unraisable: Any) -> None:  # what is raised in a destructor is lost, until `look` finds out
        if not isinstance(unraisable.exc_value, Interrupted):
            hook(unraisable)

    hook = sys.unraisablehook
    handled = [number for number in SIGNALS if number != SIGNALS[-1] or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in handled}
    if HAS_ALARM:
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, look)
    sys.unraisablehook = drop
    try:
        try:
            yield
        except SystemExit:
            if not stopping:
                raise
        if stopping:
            raise Interrupted(stopping[0][0])
    finally:
        _look_each(0)
        stopping.append((0, time.monotonic()))
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _imports(frame: FrameType | None) -> bool:
    """Tell whether a module is being imported where the program is."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _look_each(seconds: float) -> None:
    if HAS_ALARM:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)


@contextmanager
def _threads_in_a_sentence(program: str) -> Iterator[None]:
    """Have an error that ends a thread said as one that ends the process; but TensorBoard's hands on a full disk."""

    def say(ended: Any) -> None:
        is_said = isinstance(ended.exc_value, SystemExit) or no_room(ended.exc_value) is not None
        if ended.exc_value is not None and not is_said:
            _say(program, ended.exc_value)

    before, threading.excepthook = threading.excepthook, say
    try:
        yield
    finally:
        threading.excepthook = before


class Stream(io.FileIO):
    """Standard output or error, which may stop to accept anything: from then on, what is written is dropped.

    Attributes:
        error: why it stopped.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes; return how many were written or dropped."""
        while self.error is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.error = error
                break
            if written is not None:
                return written
            select.select([], [self], [])  # another program has set the terminal not to block
        return memoryview(data).nbytes


def use_own_streams() -> None:
    """Have print, logging and progress bars write what the terminal can show, as long as it is there.

    Streams that a test or a notebook has put in place stay.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed by whoever started us: a file of ours would get its number
            os.open(os.devnull, os.O_RDWR)
    for name, number in (("stdout", 1), ("stderr", 2)):
        before = getattr(sys, name)
        if before is getattr(sys, f"__{name}__"):
            setattr(sys, name, _own_stream(number, before))
            logging.raiseExceptions = False  # a log that cannot be written has no place for a traceback either


def _own_stream(number: int, before: TextIO | None) -> TextIO:
    raw = io.BufferedWriter(Stream(number, "w", closefd=False))
    if before is None:
        return io.TextIOWrapper(raw, "utf-8", errors="backslashreplace")
    with suppress(OSError):
        before.flush()
    return io.TextIOWrapper(
        raw,
        before.encoding,
        errors="backslashreplace",
        line_buffering=getattr(before, "line_buffering", False),
        write_through=getattr(before, "write_through", False),
    )


def _check_surroundings() -> None:
    try:
        os.getcwd()  # noqa: PTH109
    except OSError as error:
        raise InputError(f"the current folder cannot be used ({error.strerror}): change to another one") from error
    for argument in sys.argv[1:]:
        if not argument.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in argument):
            shown = ascii(argument)[:200]
            raise InputError(f"{shown} is no text in UTF-8: give another name, or set LC_ALL=C.UTF-8 and no PYTHONUTF8")

    _check_address_space()
    _check_variable("POLARS_MAX_THREADS", "a whole number above 0", lambda text: text.isdecimal() and int(text) > 0)
    _check_variable("LITMLP_CACHE_GB", "a number of 0 or more", lambda text: 0 <= float(text) < float("inf"))


def _check_address_space() -> None:
    """Raise InputError if a run would be short of address space: libraries then end the process, or wait for ever."""
    try:
        import resource
    except ImportError:  # of Windows
        return
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed = MIN_BYTES + BYTES_A_CORE * machine.cores()  # each library starts a thread a core
    if 0 <= allowed < needed:
        raise InputError(
            f"the process may use {allowed / 1e9:.2f} GB of address space, but PyTorch and Polars need "
            f"{needed / 1e9:.2f} GB: allow more with ulimit -v"
        )


def _check_variable(name: str, expected: str, is_good: Callable[[str], bool]) -> None:
    given = os.environ.get(name, "")
    with suppress(ValueError):
        if not given or is_good(given):
            return
    raise InputError(f"the environment variable {name} is '{given}': give {expected}, or unset it")


@contextmanager
def _flushed() -> Iterator[None]:
    try:
        yield
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, Stream) and raw.error is not None and not isinstance(raw.error, BrokenPipeError):
        raise InputError(f"standard output cannot be written ({raw.error.strerror}): all else is done")


def _say(program: str, error: BaseException) -> int:
    sentence, code = _ending(error)
    print(f"{program}: {_in_a_line(sentence)}", file=sys.stderr, flush=True)
    return code


def _in_a_line(sentence: str) -> str:
    # Names and texts of the user's may hold line ends, controls of the terminal, and thousands of letters.
    line = " ".join(sentence.splitlines())
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    return (
        shown
        if len(shown) <= MAX_LENGTH_OF_SENTENCE
        else f"{shown[:600]} [...] {shown[600 - MAX_LENGTH_OF_SENTENCE :]}"
    )


def _ending(error: BaseException) -> tuple[str, int]:
    """Return what is said of an error, and the exit code."""
    if stop := interruption(error):
        return str(stop), stop.exit_code
    if isinstance(error, TrainingDiverged | JobsFailed):
        return str(error), FAILED
    if isinstance(error, InputError):
        return str(error), REFUSED
    if refusal := refusal_of_system(error):
        return refusal, REFUSED
    return _fault(error), FAULT


def _fault(error: BaseException) -> str:
    """Keep all that is known of an error of ours in a file, and return the sentence that names it."""
    import tempfile
    import traceback

    reason = traceback.format_exception_only(error)[-1].partition("\n")[0][:200]
    known = f"{_surroundings()}\n{''.join(traceback.format_exception(error))}"
    try:
        place, name = tempfile.mkstemp(prefix="litmlp-fault-", suffix=".txt")
        with open(place, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
            file.write(known)
        where = f"'{name}'"
    except OSError:
        print(known, file=sys.stderr)
        where = "what stands above"
    return f"this is a fault of litmlp, not of yours ({reason}): report it as CONTRIBUTING.md says, with {where}"


def _surroundings() -> str:
    import platform
    import shlex
    from importlib import metadata

    versions = [f"Python {platform.python_version()}"]
    for name in ("litmlp", "torch", "lightning", "hydra-core", "polars"):
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    return f"{shlex.join(sys.argv)}\n{', '.join(versions)}, {platform.platform()}"
