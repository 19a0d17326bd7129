"""The cores and GPUs of a machine are shared out among the jobs that run side by side on it."""

import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from litmlp.process import cores

_place: tuple[int, FileLock] | None = None  # held as long as this process lives


def share(side_by_side: int, folder: Path) -> None:
    """Take this process's share of the machine, before anything asks how large that is.

    Args:
        side_by_side: the number of processes that share it.
        folder: the sweep's, where they leave word of the places they took.
    """
    if side_by_side < 2:
        return
    threads = str(max(1, cores() // side_by_side))
    for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = threads
    devices = gpus()
    if len(devices) > 1 and _place is None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[place(side_by_side, folder) % len(devices)]


def gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def place(side_by_side: int, folder: Path) -> int:
    """Return the first place that no other living process on this machine has, and keep it."""
    global _place
    for index in range(side_by_side):
        lock = FileLock(folder / f".place-{socket.gethostname()}-{index}", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            continue
        _place = (index, lock)
        return index
    return 0
