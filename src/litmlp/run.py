"""A run's folder, which explains itself: what was asked, how it went, what came out."""

import logging
import os
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from litmlp.errors import InputError, Interrupted
from litmlp.files import read_json, write_json
from litmlp.paths import display, runs

log = logging.getLogger(__name__)

CONFIG, METRICS, STATUS, LOG = "config.yaml", "metrics.json", "status.json", "train.log"
COLUMNS = "columns.json"
PICTURES = "pictures"
LOCK = ".lock"  # of a living process


class Busy(InputError):
    """Another process has the run."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other processes from a run, until this one leaves it or dies; raise Busy if one has it."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        status = status_of(folder)
        process = f" as process {status['pid']} on {status['host']}" if "pid" in status else ""
        raise Busy(f"'{display(folder)}' is still running{process}: stop that one first") from None
    try:
        yield
    finally:
        lock.release()


def is_claimed(folder: Path) -> bool:
    """Tell whether a living process has the run."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with claimed(folder):
            return False
    except Busy:
        return True


@contextmanager
def recorded(folder: Path, is_new: bool) -> Iterator[None]:
    """Keep `status.json` true: running, then completed, failed (with the traceback) or interrupted.

    A new run takes a folder that no other run has; one that ends with the user's mistake leaves none behind.
    """
    with claimed(folder):
        yield from _recorded(folder, is_new)


def _recorded(folder: Path, is_new: bool) -> Iterator[None]:
    status = _take(folder) if is_new else _running(folder)
    try:
        yield
    except (Interrupted, KeyboardInterrupt, SystemExit):
        _finish(folder, status, "interrupted")
        log.warning("interrupted: go on with litmlp-train resume=%s", display(folder))
        raise
    except BaseException as error:
        _finish(folder, status, "failed", error=str(error), traceback=traceback.format_exc())
        if is_new and isinstance(error, InputError):
            discard(folder)
        raise
    _finish(folder, status, "completed")


def status_of(folder: Path) -> dict[str, Any]:
    """Return what `status.json` says; empty if there is none."""
    path = folder / STATUS
    return read_json(path) if path.is_file() else {}


def last_checkpoint(folder: Path) -> Path | None:
    """Return where a stopped run goes on from; None if it got to the end of no epoch."""
    path = folder / "checkpoints" / "last.ckpt"
    return path if path.is_file() else None


def best_checkpoint(folder: Path) -> Path | None:
    """Return where the best weights are; None if no callback keeps them."""
    path = folder / "checkpoints" / "best.ckpt"
    return path if path.is_file() else None


def discard(folder: Path) -> None:
    """Remove a folder in which nothing was trained."""
    if (folder / "checkpoints").exists():
        return
    for handler in logging.getLogger().handlers[:]:
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent == folder.absolute():
            handler.close()
            logging.getLogger().removeHandler(handler)
    for name in (CONFIG, STATUS, LOG, COLUMNS, LOCK, "events.out.tfevents.*"):
        for path in folder.glob(name):
            path.unlink()
    emptied = [folder, folder.parent] if folder.parent.parent == runs() else [folder]
    for empty in emptied:
        if not any(empty.iterdir()):
            empty.rmdir()


def _take(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / STATUS).open("x").close()  # of two runs that start at once, one gets it
    except FileExistsError:
        shown = display(folder)
        raise InputError(
            f"'{shown}' already holds a run: continue it with resume={shown}, or choose another hydra.run.dir"
        ) from None
    return _running(folder)


def _running(folder: Path) -> dict[str, Any]:
    status = {"status": "running", "started": _now(), "host": socket.gethostname(), "pid": os.getpid()}
    write_json(folder / STATUS, status)
    return status


def _finish(folder: Path, status: dict[str, Any], outcome: str, **details: str) -> None:
    write_json(folder / STATUS, status | {"status": outcome, "ended": _now()} | details)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
