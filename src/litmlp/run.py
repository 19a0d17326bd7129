"""A run's folder, which explains itself: what was asked, how it went, what came out.

Its files come in this order, each whole or not there: `.lock`, `status.json`, `config.yaml`, then all others. So a
process may be killed at any moment: before `config.yaml`, the same command takes the folder over; after, `resume=` goes
on with it.
"""

import errno
import logging
import os
import socket
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from litmlp import folders
from litmlp.errors import InputError, Interrupted
from litmlp.files import is_number, read_json, read_yaml, write_json, write_yaml
from litmlp.paths import display

log = logging.getLogger(__name__)

CONFIG, METRICS, STATUS, LOG = "config.yaml", "metrics.json", "status.json", "train.log"
COLUMNS = "columns.json"
CHECKPOINTS, PLOTS = "checkpoints", "plots"
LOCK = ".lock"  # of a living process
EVENTS = "events.out.tfevents.*"
FILES = (LOCK, STATUS, CONFIG, COLUMNS, METRICS, LOG)
WRITTEN = (*FILES, CHECKPOINTS, PLOTS, EVENTS, "evaluate-*.json", "job.json", "sweep.yaml", "results.csv")
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"  # of the log


class Busy(InputError):
    """Another process has the run."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other processes from a run, until this one leaves it or dies; raise Busy if one has it."""
    from filelock import FileLock, Timeout

    folders.make(folder)
    lock = FileLock(folder / LOCK, is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise _busy(folder) from None
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        reason = (error.strerror or "").lower()
        raise InputError(
            f"'{display(folder)}' cannot be written to ({reason}): copy it to where you may write, and give the copy"
        ) from error
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
def recorded(folder: Path, new: dict[str, Any] | None = None) -> Iterator[None]:
    """Keep `status.json` true: running, then completed, failed (with the traceback) or interrupted; and write the log.

    A new run takes a folder that holds nothing of what a run writes; one that ends with the user's mistake leaves
    nothing of its own behind.

    Args:
        folder: the run's.
        new: what a new run is asked to do; None to go on with the run that is there.
    """
    if new is None:
        check_files(folder)
    else:
        check_free(folder)
    before = _names(folder)
    with claimed(folder):
        if new is not None:
            check_free(folder)  # again: another process may have been here
        _remove_unfinished(folder)
        yield from _recorded(folder, new, before)


def _recorded(folder: Path, new: dict[str, Any] | None, before: list[str]) -> Iterator[None]:
    status = {"status": "running", "started": _now(), "host": socket.gethostname(), "pid": os.getpid()}
    write_json(folder / STATUS, status)
    if new is not None:
        write_config(folder, new)
    with _logged(folder):
        try:
            yield
        except (Interrupted, KeyboardInterrupt, SystemExit):
            _finish(folder, status, "interrupted")
            log.warning("interrupted: go on with litmlp-train resume=%s", display(folder))
            raise
        except BaseException as error:
            _finish(folder, status, "failed", error=str(error), traceback=traceback.format_exc())
            if new is not None and isinstance(error, InputError):
                discard(folder, before)
            raise
        _finish(folder, status, "completed")


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Put on record what the run shall do."""
    write_yaml(folder / CONFIG, config)


def status_of(folder: Path) -> dict[str, Any]:
    """Return what `status.json` says; empty if there is none, or a damaged one."""
    try:
        return read_json(folder / STATUS)
    except InputError:
        return {}


def metrics_of(folder: Path) -> dict[str, Any] | None:
    """Return what a complete run's `metrics.json` says; None if it must be measured, or measured again."""
    if status_of(folder).get("status") != "completed":
        return None
    try:
        metrics = read_json(folder / METRICS)
    except InputError:
        return None
    needed = {"objective", "epochs", "steps", "fit_seconds", "parameters"}
    needed |= {name.replace("val/", "test/", 1) for name in metrics if name.startswith("val/")}
    return metrics if needed <= metrics.keys() and all(map(is_number, metrics.values())) else None


def is_asked(folder: Path) -> bool:
    """Tell whether `config.yaml` says what the run shall do."""
    try:
        return bool(read_yaml(folder / CONFIG))
    except InputError:
        return False


def last_checkpoint(folder: Path) -> Path | None:
    """Return where a stopped run goes on from; None if it got to the end of no epoch."""
    path = folder / CHECKPOINTS / "last.ckpt"
    return path if path.is_file() else None


def best_checkpoint(folder: Path) -> Path | None:
    """Return where the best weights are; None if no callback keeps them."""
    path = folder / CHECKPOINTS / "best.ckpt"
    return path if path.is_file() else None


def check_free(folder: Path) -> None:
    """Raise InputError if a new run would overwrite something; what a run left that was asked nothing yet is free."""
    left, shown = _left(folder), display(folder)
    if left and is_asked(folder) and _is_ours(folder):
        raise InputError(
            f"'{shown}' already holds a run: continue it with resume={shown}, or choose another hydra.run.dir"
        )
    if left:
        raise InputError(f"'{shown}' holds {min(left)}, which this run would overwrite: choose another hydra.run.dir")


def check_begun(folder: Path) -> None:
    """Raise InputError unless a run's folder says what the run shall do."""
    shown, is_ours = display(folder), _is_ours(folder)
    if is_ours and is_asked(folder):
        return
    if is_claimed(folder):
        raise _busy(folder)
    if not _left(folder):
        raise InputError(f"'{shown}' holds no run yet: if its command was stopped, type the same command again")
    if not is_ours:
        raise InputError(f"'{shown}' is no run's folder, for it holds no {STATUS} of one: give one that does")
    begin = f"init_from={shown}" if best_checkpoint(folder) else "another hydra.run.dir"
    raise InputError(f"'{shown}' has lost its {CONFIG}, so it cannot go on: start a new run, with {begin}")


def check_files(folder: Path) -> None:
    """Raise InputError for a folder, a pipe or a broken link in place of a run's file."""
    checkpoints = [f"{CHECKPOINTS}/last.ckpt", f"{CHECKPOINTS}/best.ckpt"]
    for name in (*FILES, *checkpoints):
        path = folder / name
        if os.path.lexists(path) and not path.is_file():
            raise InputError(f"'{display(path)}' is not a file, as it is in a run's folder: remove it")
    for name in (CHECKPOINTS, PLOTS):
        path = folder / name
        if os.path.lexists(path) and not path.is_dir():
            raise InputError(f"'{display(path)}' is not a folder, as it is in a run's: remove it")


def discard(folder: Path, before: Sequence[str]) -> None:
    """Remove what a run has written in which nothing was trained, but for the names that were there before."""
    if (folder / CHECKPOINTS).exists():
        return
    for handler in _handlers(folder):
        handler.close()
        logging.getLogger().removeHandler(handler)
    for name in _written(folder):
        if (name in FILES or fnmatch(name, EVENTS)) and name not in before:
            (folder / name).unlink()
    folders.remove(folder)


@contextmanager
def _logged(folder: Path) -> Iterator[None]:
    if _handlers(folder):  # of another hydra/job_logging
        yield
        return
    handler = LogFile(folder / LOG, encoding="utf-8", delay=True, errors="backslashreplace")
    handler.setFormatter(logging.Formatter(LINE))
    ours = logging.getLogger(__package__)
    level = ours.level
    ours.setLevel(min(logging.INFO, level or logging.INFO))  # called from Python, where it may be WARNING
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        ours.setLevel(level)
        handler.close()


def write_to_log(folder: Path, logger: logging.Logger, line: str) -> None:
    """Write a line to a run's log alone: where a bar is drawn, a printed line would tear it."""
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, line, (), None)
    for handler in _handlers(folder):
        handler.handle(record)


class LogFile(logging.FileHandler):
    """A log that cannot be written, on a full disk, is an error as for any other file."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the error that is being handled."""
        raise


def _handlers(folder: Path) -> list[logging.FileHandler]:
    files = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
    return [handler for handler in files if Path(handler.baseFilename).parent == folder.absolute()]


def _written(folder: Path) -> list[str]:
    """Return the names in a folder that a run writes as well, but for a log that Hydra has just opened."""
    names = _names(folder)
    opened = [Path(handler.baseFilename) for handler in _handlers(folder)]
    new = {path.name for path in opened if _is_empty_file(path)}
    return [name for name in names if any(fnmatch(name, pattern) for pattern in WRITTEN) and name not in new]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _left(folder: Path) -> set[str]:
    """Return those names that are more than a run leaves which was stopped before it was asked anything."""
    left = set(_written(folder))
    if not _is_ours(folder) or (STATUS in left and not _is_cut(folder / STATUS) and not status_of(folder)):
        return left
    left -= {LOCK, STATUS, LOG} if STATUS in left else {LOCK}
    return set() if left == {CONFIG} and not is_asked(folder) else left


def _is_ours(folder: Path) -> bool:
    """Tell whether a run was here: by its status, or by its lock if the status is lost or damaged."""
    try:
        return {"status", "pid"} <= read_json(folder / STATUS).keys()
    except InputError:
        return _is_empty_file(folder / LOCK)


def _is_cut(path: Path) -> bool:
    """Tell whether a file holds nothing, or perhaps the beginning of JSON, as a full disk leaves it."""
    return not path.is_file() or path.read_bytes().strip(b"\0 \n")[:1] in (b"", b"{")


def _is_empty_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def _remove_unfinished(folder: Path) -> None:
    """Remove what a killed process was about to rename."""
    for place in (folder, folder / CHECKPOINTS):
        for path in place.glob(".*.tmp"):
            name = path.name.removeprefix(".").rsplit(".", 2)[0]
            if name in (*FILES, "best.ckpt", "last.ckpt") and path.is_file():
                path.unlink()


def _busy(folder: Path) -> Busy:
    status = status_of(folder)
    process = f" as process {status['pid']} on {status['host']}" if {"pid", "host"} <= status.keys() else ""
    return Busy(f"'{display(folder)}' is still running{process}: stop that one first")


def _finish(folder: Path, status: dict[str, Any], outcome: str, **details: str) -> None:
    write_json(folder / STATUS, status | {"status": outcome, "ended": _now()} | details)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
