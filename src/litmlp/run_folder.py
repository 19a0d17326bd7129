"""A run's folder, which holds the run's config, its status, its log and its results.

Its files are created in this order: `.lock`, `status.json`, `config.yaml`, then all others. Each is either complete or
absent. So a process may be killed at any time: before `config.yaml` exists, the same command takes the folder over;
afterwards, `resume=` continues the run.
"""

import errno
import logging
import os
import socket
import threading
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
LOCK = ".lock"  # the run's process holds it; the system releases it when the process dies, even by kill -9
EVENTS = "events.out.tfevents.*"
FILES = (LOCK, STATUS, CONFIG, COLUMNS, METRICS, LOG)
# Patterns of all names that a run or a sweep writes.
PATTERNS = (*FILES, CHECKPOINTS, PLOTS, EVENTS, "evaluate-*.json", "job.json", "sweep.yaml", "results.csv")
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)  # error numbers of a folder that may not be written to
LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"  # format of a line of the log


class Busy(InputError):
    """Another process is working on the run."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Lock a run's folder against other processes while this context lasts or until this process dies.

    Raises:
        Busy: another process has locked it.
        InputError: the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    folders.make(folder)
    # A singleton, since a job of a sweep claims its folder and the run that it starts claims the same folder again.
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
    """Tell whether a living process is working on the run."""
    if not (folder / LOCK).is_file():  # to try the lock would create the file
        return False
    try:
        with claimed(folder):
            return False
    except Busy:
        return True


@contextmanager
def recorded(folder: Path, new: dict[str, Any] | None = None, goes_on: bool = True) -> Iterator[None]:
    """Claim a run's folder, keep its `status.json` up to date, and write the log.

    The status is running, then completed, failed (with the traceback) or interrupted. A new run needs a folder without
    any file that a run writes. A new run that ends with the user's mistake removes its files again.

    Args:
        folder: the run's folder.
        new: the config of a new run; None to continue the run in the folder.
        goes_on: whether a run that is interrupted can be resumed.
    """
    if new is None:
        check_files(folder)
    else:
        check_free(folder)
    before = _names(folder)
    with claimed(folder):
        if new is not None:
            check_free(folder)  # again: until the lock was taken, another process could start a run here
        _remove_unfinished(folder)
        yield from _recorded(folder, new, before, goes_on)


def _recorded(folder: Path, new: dict[str, Any] | None, before: list[str], goes_on: bool) -> Iterator[None]:
    status = {"status": "running", "started": _now(), "host": socket.gethostname(), "pid": os.getpid()}
    write_json(folder / STATUS, status)  # before the config: the order decides how a killed run is treated, see above
    if new is not None:
        write_config(folder, new)
    with _logged(folder):
        try:
            yield
        except (Interrupted, KeyboardInterrupt, SystemExit):
            _finish(folder, status, "interrupted")
            if goes_on:
                log.warning("interrupted: continue with litmlp-train resume=%s", display(folder))
            raise
        except BaseException as error:
            _finish(folder, status, "failed", error=str(error), traceback=traceback.format_exc())
            if new is not None and isinstance(error, InputError):
                discard(folder, before)
            raise
        _finish(folder, status, "completed")


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write the run's config to its folder."""
    write_yaml(folder / CONFIG, config)


def status_of(folder: Path) -> dict[str, Any]:
    """Return the content of `status.json`; an empty dict if the file is absent or damaged."""
    try:
        return read_json(folder / STATUS)
    except InputError:
        return {}


def metrics_of(folder: Path) -> dict[str, Any] | None:
    """Return the content of a completed run's `metrics.json`; None if the metrics must be measured (again)."""
    if status_of(folder).get("status") != "completed":
        return None
    try:
        metrics = read_json(folder / METRICS)
    except InputError:
        return None
    needed = {"objective", "epochs", "steps", "fit_seconds", "parameters"}
    needed |= {name.replace("val/", "test/", 1) for name in metrics if name.startswith("val/")}
    return metrics if needed <= metrics.keys() and all(map(is_number, metrics.values())) else None


def has_config(folder: Path) -> bool:
    """Tell whether the folder has a `config.yaml` that is readable and not empty."""
    try:
        return bool(read_yaml(folder / CONFIG))
    except InputError:
        return False


def last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint from which a stopped run continues; None if the run has not written it yet."""
    path = folder / CHECKPOINTS / "last.ckpt"
    return path if path.is_file() else None


def best_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of the best weights; None if no callback keeps them."""
    path = folder / CHECKPOINTS / "best.ckpt"
    return path if path.is_file() else None


def check_free(folder: Path) -> None:
    """Raise InputError if a new run would overwrite something.

    Files of a run that was stopped before it wrote its config may be overwritten.
    """
    protected, shown = _protected(folder), display(folder)
    if protected and has_config(folder) and _is_ours(folder):
        raise InputError(
            f"'{shown}' already holds a run: continue it with resume={shown}, or choose another hydra.run.dir"
        )
    if protected:
        raise InputError(
            f"'{shown}' holds {min(protected)}, which this run would overwrite: choose another hydra.run.dir"
        )


def check_begun(folder: Path) -> None:
    """Raise InputError unless the folder holds a run that has a config, so that the run can be resumed."""
    shown, is_ours = display(folder), _is_ours(folder)
    if is_ours and has_config(folder):
        return
    if is_claimed(folder):
        raise _busy(folder)
    if not _protected(folder):
        raise InputError(f"'{shown}' holds no run yet: if its command was stopped, type the same command again")
    if not is_ours:
        raise InputError(f"'{shown}' is no run's folder, for it holds no {STATUS} of one: give one that does")
    advice = f"init_from={shown}" if best_checkpoint(folder) else "another hydra.run.dir"
    raise InputError(f"'{shown}' has lost its {CONFIG}, so it cannot go on: start a new run, with {advice}")


def check_files(folder: Path) -> None:
    """Raise InputError if a folder, a pipe or a broken link has the name of one of the run's files, or vice versa."""
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
    """Remove the files of a run that has not trained yet, except those whose names are in `before`."""
    if (folder / CHECKPOINTS).exists():  # it has trained
        return
    for handler in _handlers(folder):
        handler.close()
        logging.getLogger().removeHandler(handler)
    for name in _names_of_run(folder):
        if (name in FILES or fnmatch(name, EVENTS)) and name not in before:
            (folder / name).unlink()
    folders.remove(folder)


@contextmanager
def _logged(folder: Path) -> Iterator[None]:
    if _handlers(folder):  # another option of hydra/job_logging has opened a log file in this folder
        yield
        return
    handler = LogFile(folder / LOG, encoding="utf-8", delay=True, errors="backslashreplace")
    handler.setFormatter(logging.Formatter(LINE))
    if (thread := threading.current_thread()) is not threading.main_thread():  # other runs log in other threads
        handler.addFilter(lambda record: record.thread == thread.ident)
    ours = logging.getLogger(__package__)
    level = ours.level
    ours.setLevel(min(logging.INFO, level or logging.INFO))  # in Python, the level may be WARNING
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        ours.setLevel(level)
        handler.close()


def write_to_log(folder: Path, logger: logging.Logger, line: str) -> None:
    """Write a line to the run's log file only: a line on the terminal would break a progress bar in two."""
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, line, (), None)
    for handler in _handlers(folder):
        handler.handle(record)


class LogFile(logging.FileHandler):
    """A log file that raises an error if it cannot be written, for example on a full disk.

    `logging.FileHandler` would only print the error and continue.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the current exception again."""
        raise


def _handlers(folder: Path) -> list[logging.FileHandler]:
    files = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
    return [handler for handler in files if Path(handler.baseFilename).parent == folder.absolute()]


def _names_of_run(folder: Path) -> list[str]:
    """Return the names in a folder that are also names of a run's files, except a log that Hydra has just opened."""
    names = _names(folder)
    logs = [Path(handler.baseFilename) for handler in _handlers(folder)]
    new_logs = {path.name for path in logs if _is_empty_file(path)}
    return [name for name in names if any(fnmatch(name, pattern) for pattern in PATTERNS) and name not in new_logs]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _protected(folder: Path) -> set[str]:
    """Return the names of files that a new run must not overwrite.

    Not among them are the files of a run that was stopped before it wrote its config.
    """
    names = set(_names_of_run(folder))
    if not _is_ours(folder) or (STATUS in names and not _is_truncated(folder / STATUS) and not status_of(folder)):
        return names
    names -= {LOCK, STATUS, LOG} if STATUS in names else {LOCK}
    return set() if names == {CONFIG} and not has_config(folder) else names


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder is a run's: its status shows it, or its empty lock if the status is lost or damaged."""
    try:
        return {"status", "pid"} <= read_json(folder / STATUS).keys()
    except InputError:
        return _is_empty_file(folder / LOCK)


def _is_truncated(path: Path) -> bool:
    """Tell whether a file is absent, holds nothing, or starts like JSON, so that a full disk may have cut it short."""
    return not path.is_file() or path.read_bytes().strip(b"\0 \n")[:1] in (b"", b"{")


def _is_empty_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def _remove_unfinished(folder: Path) -> None:
    """Remove temporary files of a process that was killed before it renamed them."""
    for parent in (folder, folder / CHECKPOINTS):
        for path in parent.glob(".*.tmp"):
            name = path.name.removeprefix(".").rsplit(".", 2)[0]  # named .<name>.<process>.tmp, see files.replacing
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
