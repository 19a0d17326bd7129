"""A cache of the encoded rows of large tables. It is kept on disk and mapped into memory.

Each entry is a folder that is named by its cache key, a digest of content and settings. An entry is filled in a folder
of another name, which is then renamed. If several jobs need the same entry at the same time, one of them fills it and
the others wait. When all entries together exceed the limit, those that were not used for longest are removed.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from litmlp import checkpoint_reader, paths
from litmlp.data.batch import Batch
from litmlp.errors import InputError
from litmlp.paths import display

log = logging.getLogger(__name__)

LIMIT_GB = 20.0
ROWS_STACKED_AT_ONCE = 16384
NUMERIC, CODES, STATE = "numeric.npy", "codes.npy", "state.pt"


def folder() -> Path:
    """Return the folder of all entries: `$LITMLP_CACHE`, or `.cache` beside the folder of runs."""
    return Path(os.environ.get("LITMLP_CACHE") or paths.runs().parent / ".cache")


def limit_gb() -> float:
    """Return the limit on the size of all entries in gigabytes: `$LITMLP_CACHE_GB`, or LIMIT_GB."""
    given = os.environ.get("LITMLP_CACHE_GB") or str(LIMIT_GB)
    try:
        limit = float(given)
    except ValueError:
        limit = -1.0
    if not limit >= 0:  # true for NaN, too
        raise InputError(f"LITMLP_CACHE_GB is {given!r} in the environment: set it to gigabytes, or leave it out")
    return limit


@contextmanager
def locked(entry: Path) -> Iterator[None]:
    """Hold the lock of an entry, so that one process at a time checks and fills it.

    The operating system releases the lock of a killed process.
    """
    from filelock import FileLock

    entry.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(entry.with_suffix(".lock")):
        yield


@contextmanager
def filling(entry: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the entry unless an exception is raised; then make room.

    The caller holds the lock of the entry.
    """
    limit_gb()  # an invalid limit is refused before the work, not after it
    unfinished = entry.with_suffix(".unfinished")
    _remove(unfinished)  # a killed process may have left one
    unfinished.mkdir()
    try:
        yield unfinished
        unfinished.rename(entry)  # atomic, so that no process ever sees half an entry
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    make_room(entry)


def make_room(kept: Path) -> None:
    """Remove the entries that were not used for longest, but never `kept`, until the rest is within `limit_gb`."""
    limit = limit_gb() * 1e9
    entries = sorted(kept.parent.glob(f"*/{STATE}"), key=lambda state: state.stat().st_mtime)
    sizes = {state.parent: sum(file.stat().st_size for file in state.parent.iterdir()) for state in entries}
    total = sum(sizes.values())
    for entry, size in sizes.items():
        if total > limit and entry != kept:
            shutil.rmtree(entry, ignore_errors=True)
            total -= size


def save(entry: Path, state: dict[str, Any], rows: Batch) -> None:
    """Write the state, the targets and the weights of an entry; `stacked` has written its other files.

    The state also contains the sizes of these files, by which `load` notices a damaged entry.
    """
    sizes = {file.name: file.stat().st_size for file in entry.iterdir()}
    torch.save({"state": state, "target": rows.target, "weight": rows.weight, "sizes": sizes}, entry / STATE)


def load(entry: Path) -> tuple[dict[str, Any], Batch] | None:
    """Return the state and the rows of an entry, and mark it as used; remove a damaged entry and return None."""
    try:
        return _load(entry)
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        log.warning("the encoded rows in %s are damaged and will be encoded again (%s)", display(entry), reason)
        _remove(entry)
        return None


def _load(entry: Path) -> tuple[dict[str, Any], Batch]:
    content = checkpoint_reader.read(entry / STATE)
    for name, size in content["sizes"].items():
        if (entry / name).stat().st_size != size:
            raise ValueError(f"{name} has another size")
    no_columns = torch.zeros(len(content["target"]), 0)
    numeric, codes = (_mapped(entry / name) if name in content["sizes"] else no_columns for name in (NUMERIC, CODES))
    with suppress(PermissionError):  # the entry may belong to another user
        os.utime(entry / STATE)  # make_room sorts by this time
    return content["state"], Batch(numeric, codes, content["target"], content["weight"])


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def stacked(columns: list[np.ndarray], order: np.ndarray, dtype: type, path: Path | None) -> Tensor:
    """Return columns side by side, `[N, C]`, with rows in the given order.

    Args:
        columns: C arrays with a cell for each row.
        order: indices of the N rows to return.
        dtype: of the result.
        path: a `.npy` file to keep the result in; None to keep it in memory.
    """
    shape = (len(order), len(columns))
    if path is None or not columns:
        rows: np.ndarray = np.empty(shape, dtype)
        _for_each_chunk(len(order), lambda chunk: rows.__setitem__(chunk, _side_by_side(columns, order[chunk], dtype)))
        return torch.from_numpy(rows)
    start = _reserve(path, shape, dtype)

    def write(chunk: slice) -> None:  # not into mapped memory, which would count as memory of the process
        with path.open("r+b") as file:
            file.seek(start + chunk.start * shape[1] * np.dtype(dtype).itemsize)
            file.write(_side_by_side(columns, order[chunk], dtype).data)

    _for_each_chunk(len(order), write)
    return _mapped(path)


def _side_by_side(columns: list[np.ndarray], rows: np.ndarray, dtype: type) -> np.ndarray:
    if not columns:
        return np.empty((len(rows), 0), dtype)
    return np.stack([column.take(rows) for column in columns], axis=1, dtype=dtype, casting="same_kind")


def _for_each_chunk(num_rows: int, do: Callable[[slice], None]) -> None:
    starts = range(0, num_rows, ROWS_STACKED_AT_ONCE)
    if len(starts) == 1:  # not worth a thread
        do(slice(0, num_rows))
        return
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(lambda start: do(slice(start, start + ROWS_STACKED_AT_ONCE)), starts):
            pass  # the loop raises the exceptions of the threads


def _reserve(path: Path, shape: tuple[int, int], dtype: type) -> int:
    # Write the header of a .npy file of this shape; return the offset of its rows.
    with path.open("wb") as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        return file.tell()


def _mapped(path: Path) -> Tensor:
    return torch.from_numpy(np.load(path, mmap_mode="c"))  # copy-on-write: nothing changes the file
