"""A sweep's folder: what was asked, a numbered folder a job, and what came out so far, all of it on disk at once."""

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
from typing import Any

from litmlp import paths
from litmlp.errors import InputError
from litmlp.files import as_read, is_number, read_json, read_yaml, write_json, write_text, write_yaml
from litmlp.trust import only_chooses

SWEEP, JOB, RESULTS, BEST = "sweep.yaml", "job.json", "results.csv", "best.yaml"
WRITTEN = (RESULTS, BEST, "study.log", "study.log.lock", ".lock", ".place-*")
DERIVED = ("fixed", "columns")  # of a description: the rest tells sweeps apart
DONE = ("completed", "pruned", "failed")
FREE_BYTES = 20_000_000
Row = dict[str, Any]


class SweepFolder:
    """What is known of a sweep, kept so that any process, on any machine that sees the folder, can go on with it.

    Attributes:
        path: the folder.
        description: how the jobs follow from their numbers; two commands with the same one are the same sweep.
    """

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        self.description = description

    @classmethod
    def open(cls, path: Path, description: dict[str, Any], command: list[str]) -> "SweepFolder":
        """Start a sweep, or go on with it; raise InputError if another command's is there."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise InputError(f"'{path}' cannot be made ({reason}): choose another hydra.sweep.dir") from error
        file = path / SWEEP
        description = as_read(description)
        if not os.path.lexists(file):
            if mine := sorted(other.name for other in path.iterdir() if _is_written(other.name)):
                raise InputError(
                    f"'{paths.display(path)}' holds {mine[0]} but no {SWEEP}, so a sweep could overwrite what is not "
                    "its own: choose another hydra.sweep.dir"
                )
            write_yaml(file, {"command": command, **description})
        stored = _stored(file, description)
        if (difference := _first_difference(stored, description)) is not None:
            raise InputError(
                f"'{paths.display(path)}' holds a sweep made by another command ({difference} differs): choose another "
                "hydra.sweep.dir, or type the command that made it"
            )
        return cls(path, stored | {key: description[key] for key in DERIVED if key in description})

    def job(self, number: int) -> Path:
        """Return the folder of a job."""
        return self.path / str(number)

    def record(self, number: int) -> Row:
        """Return what is on record of a job; empty before it starts, or if its file is damaged."""
        try:
            record = read_json(self.job(number) / JOB)
        except InputError:
            return {}
        return record if _is_record(record, number, self.description["space"]) else {}

    def write(self, record: Row) -> None:
        """Put a job on record."""
        write_json(self.job(record["number"]) / JOB, record)

    def is_done(self, number: int) -> bool:
        """Tell whether a job came to its end, good or bad."""
        return self.record(number).get("status") in DONE

    def numbers(self) -> list[int]:
        """Return the numbers of the jobs that have started."""
        return sorted(int(file.parent.name) for file in self.path.glob(f"*/{JOB}") if file.parent.name.isdecimal())

    def finish(self, record: Row) -> None:
        """Put the end of a job on record, and among the results."""
        self.write(record)
        with self.locked():
            self._write_results([*self.rows(), row_of(record, self.job(record["number"]))])

    def collect(self) -> None:
        """Make the results anew from all records: a job may have been stopped between the two."""
        records = [record for number in self.numbers() if (record := self.record(number)).get("status") in DONE]
        with self.locked():
            self._write_results([row_of(record, self.job(record["number"])) for record in records])

    def rows(self) -> list[Row]:
        """Return the results, in the order of the jobs' ends."""
        file = self.path / RESULTS
        if not file.is_file():
            return []
        with file.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    def varied(self) -> list[str]:
        """Return the keys that the jobs differ in."""
        return [key.lstrip("+") for key in self.description["space"]]

    def best(self, rows: list[Row]) -> Row | None:
        """Return the completed job with the best score."""
        scored = [row for row in rows if row["status"] == "completed" and row["score"] not in ("", None)]
        pick = min if self.description["mode"] == "min" else max
        return pick(scored, key=lambda row: float(row["score"])) if scored else None

    def has_room(self) -> bool:
        """Tell whether the disk can take another job."""
        return shutil.disk_usage(self.path).free > FREE_BYTES

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time write what is common to the jobs."""
        from filelock import FileLock

        with FileLock(self.path / ".lock", is_singleton=True):
            yield

    def _write_results(self, rows: list[Row]) -> None:
        by_number = {str(row["number"]): row for row in rows}  # the last of each
        rows = list(by_number.values())
        names = list(dict.fromkeys(name for row in rows for name in row))
        ends = ("folder", "error")
        stream = io.StringIO()
        writer = csv.DictWriter(stream, [*(name for name in names if name not in ends), *ends], restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / RESULTS, stream.getvalue())
        if (best := self.best(rows)) is not None:
            record = self.record(int(best["number"]))
            repeats = [f"{key}={','.join(texts)}" for key, texts in self.description["repeats"].items()]
            typed = (*self.description["fixed"], *record["overrides"], *repeats)
            overrides = [text.removeprefix("++") for text in typed]
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
    """Tell whether a job's record is what the job wrote, as far as others depend on it."""
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
    if not wanted.keys() <= stored.keys() | {"study_name"}:
        raise InputError(f"'{paths.display(file)}' is damaged, or no sweep's: choose another hydra.sweep.dir")
    return stored


def _is_written(name: str) -> bool:
    return name.isdecimal() or any(fnmatch(name, pattern) for pattern in WRITTEN)


def row_of(record: Row, folder: Path) -> Row:
    """Return a job's record as a row of the results."""
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
    """Return eight characters that stand for a description."""
    apart = {key: value for key, value in description.items() if key not in DERIVED}
    return hashlib.sha256(json.dumps(apart, sort_keys=True).encode()).hexdigest()[:8]


def _first_difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    before, now = _flat(stored), _flat(wanted)
    missing = object()
    for key in dict.fromkeys([*now, *before]):
        if key not in DERIVED and key.partition(".")[0] in wanted and before.get(key, missing) != now.get(key, missing):
            return key.removeprefix("config.")
    return None


def _flat(node: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(node, Mapping) or not node:
        return {path: node}
    return {
        key: value
        for name, child in node.items()
        for key, value in _flat(child, f"{path}.{name}" if path else name).items()
    }
