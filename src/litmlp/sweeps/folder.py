"""A sweep's folder: its description, a numbered folder for each job, and the results so far.

Nothing is kept in memory only: the record of each job is on disk before the sweep goes on.
"""

import csv
import hashlib
import io
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from time import perf_counter
from typing import Any

from litmlp import paths
from litmlp.errors import InputError
from litmlp.files import as_read, is_number, read_json, read_yaml, write_json, write_text, write_yaml
from litmlp.trust import only_chooses

SWEEP, JOB, RESULTS, BEST = "sweep.yaml", "job.json", "results.csv", "best.yaml"
OWN_FILES = (RESULTS, BEST, "study.log", "study.log.lock", ".lock", ".place-*")  # which a sweep writes
DERIVED = ("fixed", "columns")  # keys of a description that do not tell sweeps apart
KEPT = ("members",)  # such keys, too, whose values stay those of the sweep's first command
DONE = ("completed", "pruned", "failed")
FRACTION_OF_TIME = 0.05  # which writing results may take
FREE_BYTES = 20_000_000  # no job begins with less free space
Row = dict[str, Any]


class SweepFolder:
    """The stored state of a sweep. Any process, on any machine that sees the folder, can continue the sweep from it.

    Attributes:
        path: the folder.
        description: what the jobs follow from, given their numbers. Commands with the same description are one sweep.
    """

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        self.description = description
        self.unwritten: list[Row] = []  # rows of jobs whose records are written
        self.next_write = 0.0  # no rows but those of failures are written before this time

    @classmethod
    def open(cls, path: Path, description: dict[str, Any], command: list[str]) -> "SweepFolder":
        """Start a sweep or continue it; raise InputError if the folder holds the sweep of another command."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise InputError(f"'{path}' cannot be made ({reason}): choose another hydra.sweep.dir") from error
        file = path / SWEEP
        description = as_read(description)  # so that it can be compared with the stored one
        if not os.path.lexists(file):
            if found := sorted(entry.name for entry in path.iterdir() if _is_own_name(entry.name)):
                raise InputError(
                    f"'{paths.display(path)}' holds {found[0]} but no {SWEEP}, so a sweep could overwrite other "
                    "files: choose another hydra.sweep.dir"
                )
            write_yaml(file, {"command": command, **description})
        stored = _stored(file, description)
        if (difference := _first_difference(stored, description)) is not None:
            raise InputError(
                f"'{paths.display(path)}' holds a sweep made by another command ({difference} differs): choose another "
                "hydra.sweep.dir, or type the command that made it"
            )
        return cls(path, stored | {key: description[key] for key in DERIVED if key in description})

    @property
    def group_size(self) -> int:
        """The number of jobs of a search, one after another, that share those values that give shapes."""
        return int(self.description.get("members", 1))

    def job(self, number: int) -> Path:
        """Return the folder of a job."""
        return self.path / str(number)

    def record(self, number: int) -> Row:
        """Return a job's record; an empty one if the job has not started, or if its file is damaged."""
        try:
            record = read_json(self.job(number) / JOB)
        except InputError:
            return {}
        return record if _is_record(record, number, self.description["space"]) else {}

    def write(self, record: Row) -> None:
        """Write a job's record."""
        write_json(self.job(record["number"]) / JOB, record)

    def is_done(self, number: int) -> bool:
        """Tell whether a job has ended: completed, pruned or failed."""
        return self.record(number).get("status") in DONE

    def numbers(self) -> list[int]:
        """Return the numbers of the jobs that have started."""
        return sorted(int(file.parent.name) for file in self.path.glob(f"*/{JOB}") if file.parent.name.isdecimal())

    def finish(self, record: Row) -> None:
        """Record the end of a job, and add it to the results soon: the more jobs there are, the longer this takes."""
        self.write(record)
        self.unwritten.append(row_of(record, self.job(record["number"])))
        if record["status"] == "failed" or perf_counter() >= self.next_write:
            self.flush()

    def flush(self) -> None:
        """Add all jobs whose end was recorded to the results."""
        if not self.unwritten:
            return
        started = perf_counter()
        with self.locked():
            self._write_results([*self.rows(), *self.unwritten])
        self.unwritten = []
        ended = perf_counter()
        self.next_write = ended + (ended - started) / FRACTION_OF_TIME

    def collect(self) -> None:
        """Write the results anew from all records: a job may have been killed after its record, before its row."""
        records = [record for number in self.numbers() if (record := self.record(number)).get("status") in DONE]
        with self.locked():
            self._write_results([row_of(record, self.job(record["number"])) for record in records])

    def rows(self) -> list[Row]:
        """Return the results, in the order in which the jobs ended."""
        file = self.path / RESULTS
        if not file.is_file():
            return []
        with file.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    def varied(self) -> list[str]:
        """Return the keys whose values differ between jobs."""
        return [key.lstrip("+") for key in self.description["space"]]

    def best(self, rows: list[Row]) -> Row | None:
        """Return the row of the completed job with the best score; None if no job is completed."""
        scored = [row for row in rows if row["status"] == "completed" and row["score"] not in ("", None)]
        pick = min if self.description["mode"] == "min" else max
        return pick(scored, key=lambda row: float(row["score"])) if scored else None

    def has_room(self) -> bool:
        """Tell whether the disk has enough free space for another job."""
        return shutil.disk_usage(self.path).free > FREE_BYTES

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let only one process at a time write the files that all jobs share."""
        from filelock import FileLock

        with FileLock(self.path / ".lock", is_singleton=True):
            yield

    def _write_results(self, rows: list[Row]) -> None:
        by_number = {str(row["number"]): row for row in rows}  # of a job that ran again, only the last row stays
        rows = list(by_number.values())
        names = list(dict.fromkeys(name for row in rows for name in row))
        last = ("folder", "error")
        stream = io.StringIO()
        writer = csv.DictWriter(stream, [*(name for name in names if name not in last), *last], restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / RESULTS, stream.getvalue())
        if (best := self.best(rows)) is not None:
            record = self.record(int(best["number"]))
            repeats = [f"{key}={','.join(texts)}" for key, texts in self.description["repeats"].items()]
            typed = (*self.description["fixed"], *record["overrides"], *repeats)
            overrides = [override.removeprefix("++") for override in typed]
            write_yaml(
                self.path / BEST,
                {
                    "number": int(best["number"]),
                    "score": float(best["score"]),
                    "monitor": self.description["monitor"],
                    "folder": best["folder"],
                    "overrides": overrides,
                    "command": shlex.join(["litmlp-train", *(["-m"] if repeats else []), *overrides]),
                },
            )


def _is_record(record: Row, number: int, space: Mapping[str, Any]) -> bool:
    """Tell whether what a record file holds can be a job's record, as far as other code depends on it.

    The overrides must do no more than choose values: they are composed when the job is run again, and whoever made the
    folder may have written them.
    """
    overrides, metrics, trial = record.get("overrides"), record.get("metrics", {}), record.get("trial", 0)
    if record.get("number") != number or not isinstance(overrides, list) or not isinstance(metrics, dict):
        return False
    if not all(isinstance(text, str) and text.partition("=")[0] in space and only_chooses(text) for text in overrides):
        return False
    numbers = [record.get("score"), record.get("seconds"), *metrics.values()]
    if not all(is_number(value) for value in numbers) or not isinstance(trial, int):
        return False
    if record.get("status") == "running":
        return True
    return record.get("status") in DONE and "seconds" in record and isinstance(record.get("error", ""), str)


def _stored(file: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    try:
        stored = read_yaml(file)
    except InputError:
        stored = {}
    if not wanted.keys() <= stored.keys() | {"study_name", *KEPT}:
        raise InputError(
            f"'{paths.display(file)}' is damaged or does not describe a sweep: choose another hydra.sweep.dir"
        )
    return stored


def _is_own_name(name: str) -> bool:
    """Tell whether a sweep could write to this name: a job's folder, or a file of the sweep."""
    return name.isdecimal() or any(fnmatch(name, pattern) for pattern in OWN_FILES)


def row_of(record: Row, folder: Path) -> Row:
    """Return the row of the results for a job's record."""
    varied = {key.lstrip("+"): text for key, text in (override.split("=", 1) for override in record["overrides"])}
    score = record.get("score")
    return {
        "number": record["number"],
        "status": record["status"],
        "score": "" if score is None else score,
        "seconds": record["seconds"],
        **varied,
        **record.get("metrics", {}),
        "folder": str(folder),
        "error": record.get("error", ""),
    }


def identity(description: Mapping[str, Any]) -> str:
    """Return eight characters that identify a description: the start of its SHA-256."""
    identifying = {key: value for key, value in description.items() if key not in (*DERIVED, *KEPT)}
    return hashlib.sha256(json.dumps(identifying, sort_keys=True).encode()).hexdigest()[:8]


def _first_difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Return the first key whose values differ, without `config.` before it; None if there is none."""
    old, new = _flat(stored), _flat(wanted)
    absent = object()  # None is a value
    for key in dict.fromkeys([*new, *old]):
        if (
            key not in (*DERIVED, *KEPT)
            and key.partition(".")[0] in wanted
            and old.get(key, absent) != new.get(key, absent)
        ):
            return key.removeprefix("config.")
    return None


def _flat(node: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted key; an empty mapping is a leaf."""
    if not isinstance(node, Mapping) or not node:
        return {path: node}
    return {
        key: value
        for name, child in node.items()
        for key, value in _flat(child, f"{path}.{name}" if path else name).items()
    }
