"""Polars is written in Rust, whose code panics at some damaged files: it prints a trace, and raises no `Exception`."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from polars.exceptions import ComputeError

_lock = threading.Lock()
_num_muted = 0
_stderr: int | None = None


@contextmanager
def as_errors() -> Iterator[None]:
    """Raise `polars.exceptions.ComputeError` for a panic; what the process's stderr gets meanwhile is dropped."""
    _mute()
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # nothing that could be imported
            raise
        raise ComputeError(f"it is damaged ({str(error).splitlines()[0]})") from error
    finally:
        _unmute()


def _mute() -> None:
    global _num_muted, _stderr
    with _lock:
        _num_muted += 1
        if _num_muted > 1:
            return
        try:
            _stderr = os.dup(2)
        except OSError:  # it is closed
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)


def _unmute() -> None:
    global _num_muted, _stderr
    with _lock:
        _num_muted -= 1
        if _num_muted == 0 and _stderr is not None:
            os.dup2(_stderr, 2)
            os.close(_stderr)
            _stderr = None
