"""Checks the file that the user names with `output=` before a command writes it."""

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from litmlp import run_folder
from litmlp.errors import InputError
from litmlp.sweeps.folder import BEST, JOB, RESULTS, SWEEP

OF_A_RUN = (
    run_folder.CONFIG,
    run_folder.METRICS,
    run_folder.STATUS,
    run_folder.LOG,
    run_folder.COLUMNS,
    run_folder.LOCK,
    JOB,
    "events.out.tfevents.*",
)
OF_A_SWEEP = (SWEEP, RESULTS, BEST)


def text(config: DictConfig, key: str) -> str | None:
    """Return the text of a key, such as a path; None if it is not given. A whole number is converted to text."""
    value = OmegaConf.select(config, key)
    if isinstance(value, bool | float) or OmegaConf.is_config(value):
        raise InputError(f"{key} is {value}, where a path is expected: if it is one, write {key}=\"'...'\"")
    return None if value is None else str(value)


def check(output: Path, endings: Sequence[str], read: Iterable[Path]) -> None:
    """Check, before anything is computed, that a file can be written and that writing it loses no other file.

    Args:
        output: the file to write.
        endings: the allowed suffixes of its name, with the dot.
        read: the files that the command reads.

    Raises:
        InputError: the file cannot be written, or the command reads it, or a run or a sweep writes it.
    """
    shown = f"output '{output}'"
    if output.suffix.lower() not in endings:
        raise InputError(f"cannot tell how to write '{output}': name it {' or '.join(endings)}")
    try:
        if not output.parent.is_dir():
            raise InputError(f"there is no folder '{output.parent}' to write {shown} to: make it first")
        if output.is_dir():
            raise InputError(f"{shown} is a folder: name a file in it")
        if _is_of_a_run(output):
            raise InputError(f"{shown} is a file that a run or a sweep writes: give another name")
        if output.exists():
            _check_replaced(output, read)
        _try_to_write(output)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise InputError(f"{shown} cannot be written ({reason}): add output=<a file that can>") from error


def _check_replaced(output: Path, read: Iterable[Path]) -> None:
    if not output.is_file():
        raise InputError(f"output '{output}' is no ordinary file: give another name")
    if not os.access(output, os.W_OK):
        raise InputError(f"output '{output}' is there and may not be written: give another name")
    if same := next((file for file in read if file.is_file() and output.samefile(file)), None):
        raise InputError(f"output '{output}' is the same file as '{same}', which is needed: give another name")


def _is_of_a_run(output: Path) -> bool:
    for path in (output.absolute(), output.resolve()):
        folder = path.parent
        if folder.name in (run_folder.CHECKPOINTS, run_folder.PLOTS) and is_run(folder.parent):
            return True
        if is_run(folder) and any(fnmatch(path.name, name) for name in OF_A_RUN):
            return True
        if (folder / SWEEP).is_file() and path.name in OF_A_SWEEP:
            return True
    return False


def is_run(folder: Path) -> bool:
    """Tell whether a folder is that of a run."""
    return any((folder / name).is_file() for name in (run_folder.CONFIG, run_folder.STATUS))


def _try_to_write(output: Path) -> None:
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")  # the name that files.replacing writes to first
    temporary.touch()
    temporary.unlink()
