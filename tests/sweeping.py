"""Small sweeps for tests, in this process or in another one, and functions that read their folders."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import yaml

from conftest import SLOPE
from litmlp.entry_points import MODULES
from litmlp.files import read_json

TINY = [
    *(*SLOPE, "network=mlp", "network.hidden_sizes=[4]", "network/embedding=none"),
    *("trainer.max_epochs=1", "trainer.accelerator=cpu", "threads=1"),
]
ONE_BY_ONE = "hydra/launcher=basic"  # for tests in which the order or the last bit matters
SEARCH = ["hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(1e-4,1e-1))"]


class Finished(NamedTuple):
    """A command's exit code, and the text that it printed."""

    code: int
    out: str
    err: str


def typed(folder: Path, *arguments: str) -> list[str]:
    return ["-m", *TINY, *arguments, f"hydra.sweep.dir={folder}"]


def sweep(folder: Path, *arguments: str) -> Finished:
    """Run a sweep in this process, as its command would."""
    return command(*typed(folder, *arguments))


def command(*arguments: str, name: str = "train") -> Finished:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", [f"litmlp-{name}", *arguments]),
        mock.patch.dict(os.environ),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        os.environ.pop("HYDRA_FULL_ERROR", None)
        try:
            import_module(MODULES[name]).main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return Finished(code, out.getvalue(), err.getvalue())


def process(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen:
    """Start a command in a process of its own, which leads a new process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "litmlp.commands.train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )


def records(folder: Path) -> dict[int, dict[str, Any]]:
    """The record of each job, by number."""
    found = {int(file.parent.name): read_json(file) for file in folder.glob("*/job.json")}
    return dict(sorted(found.items()))


def outcomes(folder: Path) -> dict[int, tuple[str, list[str], float | None]]:
    """The status, overrides and score of each job: they do not depend on when and where the job ran."""
    return {n: (job["status"], job["overrides"], job.get("score")) for n, job in records(folder).items()}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def best(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "best.yaml").read_text())


def metrics(run: Path) -> dict[str, Any]:
    return read_json(run / "metrics.json")


def contents(folder: Path) -> dict[str, bytes]:
    """The content of all files below a folder, by path, without lock files."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
