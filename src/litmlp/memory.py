"""How much memory there is, and whether a network fits into it, which is known before any of it is taken."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from litmlp.errors import InputError

MEMINFO = Path("/proc/meminfo")
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  # of a container
BYTES = 4  # of a number


def available_memory() -> int:
    """Return how many bytes of memory can be had: of the machine, or of the container's part of it."""
    return min(_of_machine(), *map(_limit, LIMITS))


@contextmanager
def fitting_memory(what: str, copies: int, available: int | None = None) -> Iterator[None]:
    """Raise InputError before the tensors that are made in this context take more memory than there is.

    Args:
        what: is made, for the sentence.
        copies: how many times as much will be needed.
        available: bytes; those of this machine if None.
    """
    with _Counter(what, copies, available_memory() if available is None else available):
        yield


def check_memory(what: str, needed: int) -> None:
    """Raise InputError if `needed` bytes are more than there are."""
    if needed > (available := available_memory()):
        raise InputError(
            f"{what} would take {_readable(needed)} of memory, but {_readable(available)} are free: give smaller ones"
        )


class _Counter(TorchDispatchMode):
    """Adds up the sizes of new tensors before they are made: what is made of others is not counted."""

    def __init__(self, what: str, copies: int, available: int) -> None:
        super().__init__()
        self.what, self.copies, self.available = what, copies, available
        self.needed = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if args and isinstance(args[0], list) and all(isinstance(size, int) for size in args[0]):
            self.needed += math.prod(args[0]) * BYTES * self.copies
            if self.needed > self.available:
                raise InputError(
                    f"{self.what} would take {_readable(self.needed)} of memory or more, but "
                    f"{_readable(self.available)} are free: give smaller sizes"
                )
        return func(*args, **(kwargs or {}))


def _of_machine() -> int:
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**63


def _limit(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # there is none, or it is "max"
        return 2**63


def _readable(num_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} PB"
