"""Turns panics of Polars into errors.

Polars is written in Rust. At some damaged files its code panics: it prints a trace to stderr, and raises a
`BaseException` that is not an `Exception`.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from polars.exceptions import ComputeError

_lock = threading.Lock()
_num_muted = 0  # calls of `as_errors` under way; stderr is muted while there are any
_stderr: int | None = None  # a duplicate of the original file descriptor 2


@contextmanager
def as_errors() -> Iterator[None]:
    """Raise `polars.exceptions.ComputeError` for a panic. Until the end, output to the process's stderr is dropped."""
    _mute()
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # there is no class of it to import
            raise
        raise ComputeError(f"it is damaged ({str(error).splitlines()[0]})") from error
    finally:
        _unmute()


def _mute() -> None:
    global _num_muted, _stderr
    # Rust writes to the file descriptor, not to sys.stderr, so the descriptor itself is redirected. It belongs to the
    # whole process: the first of several threads redirects it, and the last one restores it.
    with _lock:
        _num_muted += 1
        if _num_muted > 1:
            return
        try:
            _stderr = os.dup(2)
        except OSError:  # stderr is closed
            return
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)


def _unmute() -> None:
    global _num_muted, _stderr
    with _lock:
        _num_muted -= 1
        if _num_muted == 0 and _stderr is not None:
            os.dup2(_stderr, 2)
            os.close(_stderr)
            _stderr = None
