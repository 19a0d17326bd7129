"""Runs and sweeps that are killed again and again, from their first millisecond, end as if they had never been."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from litmlp import checkpoint
from litmlp.files import read_json
from soak.soaking import Soak, commands

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MAX_KILLS = 4  # of one run
MAX_SECONDS = 8.0  # before a kill: a process needs most of them to import
LAST_WORDS = 120.0  # seconds
SMALL = [
    *("data=penguins", "network.dropout=0.2", "network.hidden_sizes=[8]", "network/embedding=none", "threads=1"),
    *("trainer.accelerator=cpu", "callbacks.early_stopping.patience=1000"),
]
RUN = [*SMALL, "trainer.max_epochs=60"]
AUTO = [*SMALL, "task=auto", "trainer.max_epochs=20"]
SWEEP = ["-m", *SMALL, "trainer.max_epochs=10", "hydra/launcher=basic"]  # one by one, to the bit
GRID = [*SWEEP, "optimizer.lr=1e-3,1e-2", "seed=0,1"]
SEARCH = [*SWEEP, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "optimizer.lr=tag(log,interval(1e-4,1e-1))"]
TRIALS = [*SEARCH[:-1], "hydra.sweeper.n_trials=2", "optimizer.lr=1e-3,1e-2", "seed=0,1"]
ASKED = {"hydra.run.dir": "config.yaml", "hydra.sweep.dir": "sweep.yaml"}
MOMENTS = [".lock", "status.json", "config.yaml", "train.log", "columns.json", "checkpoints", "metrics.json"]
MOMENTS_OF_SWEEPS = [
    "sweep.yaml",
    "study.log",
    "0/.lock",
    "0/job.json",
    "1/config.yaml",
    "1/checkpoints",
    "results.csv",
]


def killed(arguments: list[str], folder: Path, moments: list[str], generator: random.Random) -> str:
    """Start a command in a process of its own, kill it at a random moment, and tell which that was."""
    number = generator.choice(SIGNALS)
    file = folder / generator.choice([".", *moments])
    is_awaited = generator.random() < 0.5 and not file.exists()
    delay = generator.random() ** 2 * (0.1 if is_awaited else generator.choice([0.1, MAX_SECONDS]))
    process = subprocess.Popen(
        [sys.executable, "-m", "litmlp.commands.train", *arguments],
        cwd=folder.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while is_awaited and not file.exists() and process.poll() is None:
        time.sleep(0.0005)
    time.sleep(delay)
    process.send_signal(number)
    try:
        code = process.wait(LAST_WORDS)
    finally:
        process.kill()
    return f"{number.name} {f'{delay:.3f} s after {file.name}' if is_awaited else f'after {delay:.3f} s'} -> {code}"


def results(folder: Path) -> dict[str, Any]:
    """All that a run or a sweep comes to, but for seconds, by file and key."""
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        try:
            found |= {f"{file.relative_to(folder)}/{key}": value for key, value in said_by(file).items()}
        except (ValueError, OSError):
            found[f"{file.relative_to(folder)}/"] = "damaged"
    return found


def said_by(file: Path) -> dict[str, Any]:
    if file.suffix == ".ckpt":
        state = checkpoint.read(file)
        tensors = {key: tensor.numpy().tobytes() for key, tensor in state["state_dict"].items()}
        return tensors | {key: state[key] for key in ("epoch", "global_step")}
    if file.name == "metrics.json":
        return {key: value for key, value in read_json(file).items() if key != "fit_seconds"}
    if file.name in ("job.json", "status.json"):
        content = read_json(file)
        return {key: content.get(key) for key in ("status", "overrides", "score")}
    return {}


def differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return [name for name in expected.keys() | found.keys() if found.get(name) != expected.get(name)]


def goes_on(arguments: list[str], folder: Path, where: str, generator: random.Random) -> list[str]:
    """The command that goes on with a folder. Another must say which: a run's goes on, where it began, by resume=."""
    same, resume = [*arguments, f"{where}={folder.name}"], [f"resume={folder.name}"]
    if not folder.exists():
        return same
    if not (folder / ASKED[where]).exists():
        said = commands().run("train", *resume, folder=folder.parent).check(2)
        assert "type the same command again" in said.err, said
        return same
    if where == "hydra.sweep.dir":
        return generator.choice([same, resume])
    said = commands().run("train", *same, folder=folder.parent).check(2)
    assert f"already holds a run: continue it with resume={folder.name}" in said.err, said
    return resume


def check_kills(soak: Soak, kinds: list[list[str]], where: str, moments: list[str], place: Path) -> None:
    whole: dict[int, dict[str, Any]] = {}
    for number, generator in enumerate(soak.rounds()):
        kind = generator.randrange(len(kinds))
        if kind not in whole:
            ended = commands().run("train", *kinds[kind], f"{where}=whole-{kind}", folder=place)
            assert ended.code == 0, ended
            whole[kind] = results(place / f"whole-{kind}")
        folder = place / f"killed-{number}"
        with soak.trial(f"round {number}, kind {kind}"):
            story = []
            for _ in range(generator.randint(1, MAX_KILLS)):
                story.append(killed(goes_on(kinds[kind], folder, where, generator), folder, moments, generator))
                soak.count("ended before" if story[-1].endswith("-> 0") else "killed")
            ended = commands().run("train", *goes_on(kinds[kind], folder, where, generator), folder=place)
            told = "\n".join([*story, str(ended)])
            assert ended.code == 0, told
            assert not differing(results(folder), whole[kind]), f"{differing(results(folder), whole[kind])}\n{told}"
            assert not list(folder.rglob(".*.tmp")), told
            soak.count("went on to the same bits")


@pytest.mark.soak(share=2)
def test_kills_of_runs(soak: Soak, tmp_path: Path) -> None:
    check_kills(soak, [RUN, AUTO], "hydra.run.dir", MOMENTS, tmp_path)


@pytest.mark.soak(share=2)
def test_kills_of_sweeps(soak: Soak, tmp_path: Path) -> None:
    check_kills(soak, [GRID, SEARCH, TRIALS], "hydra.sweep.dir", MOMENTS_OF_SWEEPS, tmp_path)
