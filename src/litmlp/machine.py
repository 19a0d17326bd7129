"""The machine that a run has: memory, cores, threads, GPUs. Imports nothing that takes time."""

import ctypes
import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litmlp.errors import InputError

if TYPE_CHECKING:
    from filelock import FileLock
    from torch import nn

MEMINFO = Path("/proc/meminfo")
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  # of a container
BYTES_A_NUMBER = 4
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT, KEPT_BETWEEN_STEPS = 2**23, 2**28  # bytes of freed memory that the C library keeps
PRODUCTS_FOR_THREADS = 100_000_000  # multiplications in a forward pass: several milliseconds of one core

_slot: "tuple[int, FileLock] | None" = None  # held as long as this process lives


class TooLarge(InputError):
    """What was asked for does not fit into memory."""


def available_memory() -> int:
    """Return how many bytes of memory are free: of the machine, or of the container's part of it."""
    return min(_memory_of_machine(), *map(_limit, LIMITS))


@contextmanager
def fitting_memory(what: str, copies: int, available: int | None = None) -> Iterator[None]:
    """Raise InputError before the tensors that are made in this context take more memory than is free.

    Only the sizes of new tensors are added up: what is computed from other tensors is not counted.

    Args:
        what: is made; the sentence names it.
        copies: how many times as much memory will be needed.
        available: bytes; those of this machine if None.
    """
    from litmlp.training.compat import dispatch_mode

    free = available_memory() if available is None else available

    class Counter(dispatch_mode()):  # type: ignore[misc]
        needed = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if args and isinstance(args[0], list) and all(isinstance(size, int) for size in args[0]):
                self.needed += math.prod(args[0]) * BYTES_A_NUMBER * copies
                if self.needed > free:
                    raise TooLarge(
                        f"{what} would take {readable(self.needed)} of memory or more, but {readable(free)} are "
                        "free: give smaller sizes"
                    )
            return func(*args, **(kwargs or {}))

    with Counter():
        yield


def keep_freed_memory(num_bytes: int) -> None:
    """Let the C library keep this much freed memory for later use, and give the rest back to the system.

    By default, glibc gives back what a training step frees and asks for it again in the next step, which costs several
    hundred page faults a step; but it keeps what reading the data has freed. Blocks larger than an eighth of
    `num_bytes` are always given back. Without glibc, nothing is done.
    """
    with suppress(OSError, TypeError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, num_bytes // 8)  # 32 MB is the highest value that glibc takes
        libc.mallopt(M_TRIM_THRESHOLD, num_bytes)
        libc.malloc_trim(0)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(given: str | int, network: "nn.Module", batch_size: int) -> int:
    """Return `given`; for `auto`, one thread where steps are too short to be divided among threads, else all cores.

    `OMP_NUM_THREADS` limits how many cores a process may keep busy: whoever starts several processes sets it.
    """
    if given != "auto":
        return int(given)
    from torch.nn import Linear

    products = batch_size * sum(m.weight.numel() for m in network.modules() if isinstance(m, Linear))
    if products < PRODUCTS_FOR_THREADS:
        return 1
    allowed = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # of nested loops, the outer one
    return int(allowed) if allowed.isdecimal() and int(allowed) > 0 else cores()


def gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def divide(side_by_side: int, folder: Path) -> None:
    """Limit this process to its part of the cores and GPUs, before a library asks how many there are.

    Args:
        side_by_side: the number of processes that use the machine at the same time.
        folder: the sweep's folder, where each process locks a file for the GPU that it took.
    """
    if side_by_side < 2:
        return
    for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = str(max(1, cores() // side_by_side))
    devices = gpus()
    if len(devices) > 1 and _slot is None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[slot(side_by_side, folder) % len(devices)]


def slot(side_by_side: int, folder: Path) -> int:
    """Return the first number that no other living process on this machine holds, and hold it.

    The lock of a killed process is free at once, so that its GPU is used again.
    """
    from filelock import FileLock, Timeout

    global _slot
    for index in range(side_by_side):
        lock = FileLock(folder / f".place-{socket.gethostname()}-{index}", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            continue
        _slot = (index, lock)
        return index
    return 0


def _memory_of_machine() -> int:
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


def readable(num_bytes: float) -> str:
    """Return a number of bytes with its unit."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} PB"
