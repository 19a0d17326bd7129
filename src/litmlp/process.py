"""Handles a command's process: its streams, its signals, and how it ends.

This module imports nothing that takes seconds.
"""

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
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from litmlp import machine, paths
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
SECONDS_TO_TIDY_UP = 2.0  # after the first signal; later, another signal ends the process at once
SECONDS_BETWEEN_CHECKS = 1.0  # that a signal's exception is still being handled, and that the parent lives
WATCH = "watch-parent"  # the name of a thread
HAS_ALARM = hasattr(signal, "setitimer")  # Windows has none
# Address space that a run needs. Measured: a small run takes 2.35 GB on two cores.
MIN_BYTES, BYTES_PER_CORE = 2_400_000_000, 30_000_000
MAX_LENGTH_OF_SENTENCE = 900  # characters
FAILED, REFUSED, FAULT = 1, 2, 70  # exit codes; the last is EX_SOFTWARE of sysexits.h


def begin() -> None:
    """Let Ctrl-C end the process at once during the imports, as SIGTERM does: there is nothing to tidy up yet."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def guarded(program: str) -> Iterator[None]:
    """Report any error of a command in one sentence that begins with `program`, and end the process.

    Without an error, the process continues. The exit code is 128 plus the signal's number if a signal stopped it, 1 if
    a run failed, 2 if the user's input was wrong or the system refused something, and 70 for a fault of this project.
    Output that cannot be printed because its reader has gone, as in `| head -1`, is dropped without an error.

    Raises:
        SystemExit: there was an error.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    use_own_streams()
    code = 0
    try:
        with raising_on_signals(program), _reporting_errors_of_threads(program):
            try:
                _check_environment()
                with _flushed():
                    yield
            except SystemExit:
                raise
            except BaseException as error:
                if wants_traceback and not isinstance(error, Interrupted):
                    raise
                code = _report(program, error)
    except Interrupted as stop:  # raised again after its report, or by a signal that came during another report
        code = stop.exit_code
    if code:
        sys.exit(code)


@contextmanager
def raising_on_signals(program: str) -> Iterator[None]:
    """Raise `Interrupted` at Ctrl-C, at SIGTERM, and when the terminal is closed.

    Only the first signal raises it. Later signals do nothing for two seconds, so that the process can tidy up; after
    that, they end the process at once, because it hangs.

    Some libraries swallow all exceptions in some places. So an alarm checks every second whether the exception is still
    being handled, and raises it again if not. The end of this context raises it again as well, even in place of a
    `SystemExit`, with which Lightning ends training at SIGTERM. While a module is being imported, nothing is raised,
    because an exception in an import that C++ code has started may end the process; the alarm raises it later.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopping: list[tuple[int, float]] = []  # the first signal and its time; empty before it

    def handle(number: int, frame: FrameType | None) -> None:
        if not stopping:
            stopping.append((number, time.monotonic()))
            _set_alarm(SECONDS_BETWEEN_CHECKS)
            if HAS_ALARM and _is_importing(frame):
                return
            raise Interrupted(number)
        if time.monotonic() - stopping[0][1] > SECONDS_TO_TIDY_UP:
            os.write(2, f"{program}: {Interrupted(number)} at once\n".encode())
            os._exit(Interrupted(number).exit_code)

    def check(number: int, frame: FrameType | None) -> None:
        handled_now = sys.exception()  # also one that a caller handles in its `except` or `finally`
        if stopping and not _is_importing(frame) and not (handled_now and interruption(handled_now)):
            raise Interrupted(stopping[0][0])

    def drop(unraisable: Any) -> None:  # Python loses an exception in a destructor; `check` then raises it again
        if not isinstance(unraisable.exc_value, Interrupted):
            hook(unraisable)

    hook = sys.unraisablehook
    # SIGHUP stays ignored if it is ignored already, as under nohup.
    handled = [number for number in SIGNALS if number != SIGNALS[-1] or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in handled}
    if HAS_ALARM:
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, check)
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
        _set_alarm(0)
        stopping.append((0, time.monotonic()))  # from here on, `handle` raises nothing
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_importing(frame: FrameType | None) -> bool:
    """Tell whether a frame or one of its callers is importing a module."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _set_alarm(seconds: float) -> None:
    if HAS_ALARM:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)


@contextmanager
def _reporting_errors_of_threads(program: str) -> Iterator[None]:
    """Report an error that ends a thread in one sentence, like an error that ends the process.

    A full disk is not reported here: TensorBoard's thread passes that error on to the main thread.
    """

    def report(ended: Any) -> None:
        is_silent = isinstance(ended.exc_value, SystemExit) or no_room(ended.exc_value) is not None
        if ended.exc_value is not None and not is_silent:
            _report(program, ended.exc_value)

    before, threading.excepthook = threading.excepthook, report
    try:
        yield
    finally:
        threading.excepthook = before


def end_with(parent: int) -> None:
    """Let this process end within a second after the one that started it has ended, even by `kill -9`.

    Otherwise it would go on with work that nobody waits for.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_CHECKS)
        os._exit(FAILED)

    if parent != os.getpid() and all(thread.name != WATCH for thread in threading.enumerate()):
        threading.Thread(target=watch, name=WATCH, daemon=True).start()


class Stream(io.FileIO):
    """Standard output or standard error. After an error in writing, it drops everything that is written to it.

    Attributes:
        error: the error; None before one occurs.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes; return the number of bytes that were written or dropped."""
        while self.error is None:
            try:
                num_written = super().write(data)
            except OSError as error:
                self.error = error
                break
            if num_written is not None:
                return num_written
            select.select([], [self], [])  # wait: another program has made the terminal non-blocking, and it is full
        return memoryview(data).nbytes


def use_own_streams() -> None:
    """Replace standard output and error by streams that escape what the terminal cannot show and outlive the terminal.

    Streams that a test or a notebook has put in place are kept.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed by the parent process: the next file that is opened would get its number
            os.open(os.devnull, os.O_RDWR)
    for name, number in (("stdout", 1), ("stderr", 2)):
        before = getattr(sys, name)
        if before is getattr(sys, f"__{name}__"):
            setattr(sys, name, _own_stream(number, before))
            logging.raiseExceptions = False  # where a log cannot be printed, its traceback cannot either


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


def _check_environment() -> None:
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
    """Raise InputError if the address space is too small for a run: libraries then end the process or wait for ever."""
    try:
        import resource
    except ImportError:  # Windows has no such module
        return
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed = MIN_BYTES + BYTES_PER_CORE * machine.cores()  # each library starts one thread per core
    if 0 <= allowed < needed:
        raise InputError(
            f"the process may use {allowed / 1e9:.2f} GB of address space, but PyTorch and Polars need "
            f"{needed / 1e9:.2f} GB: allow more with ulimit -v"
        )


def _check_variable(name: str, expected: str, is_valid: Callable[[str], bool]) -> None:
    value = os.environ.get(name, "")
    with suppress(ValueError):
        if not value or is_valid(value):
            return
    raise InputError(f"the environment variable {name} is '{value}': give {expected}, or unset it")


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


def _report(program: str, error: BaseException) -> int:
    sentence, code = _sentence_and_exit_code(error)
    print(f"{program}: {_printable_line(sentence)}", file=sys.stderr, flush=True)
    return code


def _printable_line(sentence: str) -> str:
    # A sentence quotes names and texts of the user, with line ends, control characters or thousands of letters.
    line = " ".join(sentence.splitlines())
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    return (
        shown
        if len(shown) <= MAX_LENGTH_OF_SENTENCE
        else f"{shown[:600]} [...] {shown[600 - MAX_LENGTH_OF_SENTENCE :]}"
    )


def _sentence_and_exit_code(error: BaseException) -> tuple[str, int]:
    """Return the sentence that reports an error, and the exit code."""
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
    """Write the details of a fault of this project to a file, and return the sentence that names the file."""
    import tempfile
    import traceback

    reason = traceback.format_exception_only(error)[-1].partition("\n")[0][:200]
    details = f"{_environment()}\n{''.join(traceback.format_exception(error))}"
    try:
        descriptor, name = tempfile.mkstemp(prefix="litmlp-fault-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
            file.write(details)
        where = f"'{name}'"
    except OSError:
        print(details, file=sys.stderr)
        where = "the lines above"
    return (
        f"this is a fault of the code, not of the input ({reason}{_origin(error)}): mend it if that code is yours, or "
        f"report it as CONTRIBUTING.md says, with {where}"
    )


def _origin(error: BaseException) -> str:
    """Return the last line outside of Python and libraries that led to an error; empty if there is none."""
    import traceback

    def is_own(path: Path) -> bool:
        installed = {"site-packages", "dist-packages"} & {*path.parts} or path.is_relative_to(Path(os.__file__).parent)
        return path.is_file() and (not installed or path.is_relative_to(paths.PACKAGE))

    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    lines = [f", in {paths.display(path)} line {number}" for path, number in frames if is_own(path)]
    return lines[-1] if lines else ""


def _environment() -> str:
    import platform
    import shlex
    from importlib import metadata

    versions = [f"Python {platform.python_version()}"]
    for name in ("litmlp", "torch", "lightning", "hydra-core", "polars"):
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    return f"{shlex.join(sys.argv)}\n{', '.join(versions)}, {platform.platform()}"


def stderr_is_terminal() -> bool:
    """Tell whether standard error is a terminal; programs without a console have no such stream, or a closed one."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False
