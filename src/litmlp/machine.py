"""Finds out the memory, cores and GPUs that a run may use, and divides them among processes.

This module imports nothing that takes seconds.
"""

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

MEMINFO, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")
# A container's limit of memory, in version 2 and version 1 of cgroups.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
BYTES_PER_NUMBER = 4
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT, KEPT_BETWEEN_STEPS = 2**23, 2**28  # bytes of freed memory that the C library keeps
PRODUCTS_FOR_THREADS = 300_000_000  # multiplications of a forward pass that pay for threads: ten ms on one core

_kept: int | None = None  # as `keep_freed_memory` was told last
_slot: "tuple[int, FileLock] | None" = None  # keeps the lock of this process's GPU until the process ends


class TooLarge(InputError):
    """The tensors that a config asks for do not fit into memory."""


def available_memory() -> int:
    """Return the number of free bytes of memory: of the machine, or the container's limit if that is lower."""
    return min(_memory_of_machine(), *map(_limit, LIMITS))


def memory() -> int:
    """Return the number of bytes of memory: of the machine, or the container's limit if that is lower."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else available_memory()
    return min(whole, *map(_limit, LIMITS))


def own_memory() -> int:
    """Return the number of bytes of memory that this process takes; 0 where the system does not say so."""
    try:
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return int(lines["VmRSS"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return 0


@contextmanager
def fitting_memory(what: str, copies: int, available: int | None = None) -> Iterator[None]:
    """Raise InputError before the tensors that are created in this context take more memory than is free.

    Only tensors that are created by their size are counted, not those that are computed from other tensors.

    Args:
        what: name of the thing that is built, for the message.
        copies: how many copies of these tensors a run will need.
        available: free bytes; those of this machine if None.
    """
    from litmlp.training.compat import dispatch_mode

    free = available_memory() if available is None else available

    class Counter(dispatch_mode()):  # type: ignore[misc]
        needed = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if args and isinstance(args[0], list) and all(isinstance(size, int) for size in args[0]):
                self.needed += math.prod(args[0]) * BYTES_PER_NUMBER * copies
                if self.needed > free:
                    raise TooLarge(
                        f"{what} would take {readable(self.needed)} of memory or more, but {readable(free)} are "
                        "free: give smaller sizes"
                    )
            return func(*args, **(kwargs or {}))

    with Counter():
        yield


def keep_freed_memory(num_bytes: int) -> None:
    """Let the C library keep this many bytes of freed memory for reuse, and return the rest to the system.

    By default, glibc returns the memory that a training step frees and requests it again in the next step, which costs
    several hundred page faults per step. Yet it keeps the memory that reading the data has freed. Blocks larger than an
    eighth of `num_bytes` are always returned. Without glibc, this function does nothing.
    """
    global _kept
    if num_bytes == _kept:  # what was freed since has been returned
        return
    _kept = num_bytes
    with suppress(OSError, TypeError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, num_bytes // 8)  # 32 MB is the highest value that glibc takes
        libc.mallopt(M_TRIM_THRESHOLD, num_bytes)
        libc.malloc_trim(0)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(setting: str | int, network: "nn.Module", batch_size: int) -> int:
    """Return the number of threads for training, which `setting` gives; `auto` depends on how long a step takes.

    For `auto`, steps that are too short to divide among threads get one thread, others one per core. `OMP_NUM_THREADS`
    then limits the number: whoever starts several processes side by side sets it, as `divide` does.
    """
    if setting != "auto":
        return int(setting)
    if products(network, batch_size) < PRODUCTS_FOR_THREADS:
        return 1
    # It may be a list, one number for each level of nested loops; the first is for the outer loop.
    allowed = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(allowed) if allowed.isdecimal() and int(allowed) > 0 else cores()


def products(network: "nn.Module", batch_size: int) -> int:
    """Return the number of multiplications of a forward pass in linear layers."""
    from torch.nn import Linear

    rows = batch_size * getattr(network, "num_members", 1)
    return rows * sum(module.weight.numel() for module in network.modules() if isinstance(module, Linear))


def gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def divide(side_by_side: int, folder: Path) -> None:
    """Limit this process to its part of the cores and GPUs. Call it before a library counts them.

    Args:
        side_by_side: the number of processes that use the machine at the same time.
        folder: the sweep's folder, where each process locks the file of the GPU that it uses.
    """
    if side_by_side < 2:
        return
    for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = str(max(1, cores() // side_by_side))
    devices = gpus()
    if len(devices) > 1 and _slot is None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[slot(side_by_side, folder) % len(devices)]


def slot(side_by_side: int, folder: Path) -> int:
    """Lock the first number that no other living process of the sweep on this machine has locked, and return it.

    The system releases the lock of a killed process at once, so that its GPU is used again.
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
    except (OSError, ValueError):  # there is no such file, or it holds "max", which means no limit
        return 2**63


def readable(num_bytes: float) -> str:
    """Return a number of bytes as text with three digits and a unit."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} PB"
