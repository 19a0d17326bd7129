"""A sweep that is killed again and again ends as one that was never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sweeping import ONE_BY_ONE, TINY, best, contents, outcomes, process, records, rows

pytestmark = pytest.mark.slow
if not hasattr(os, "fork"):
    pytest.skip("a system without fork and kill", allow_module_level=True)

JOBS = ["data.batch_size=8", "trainer.max_epochs=8", "callbacks=default", "network.hidden_sizes=[8]"]
KINDS = {
    "grid": [*JOBS, "trainer.max_epochs=3", "optimizer.lr=1e-3,1e-2", "seed=0,1,2"],
    "search": [
        *(*JOBS, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=6"),
        *("optimizer.lr=tag(log,interval(1e-4,1e-1))", "network.hidden_sizes=choice([4],[8])"),
    ],
    "pruned": [
        *(*JOBS, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=8", "optimizer.lr=tag(log,interval(1e-6,1))"),
        *("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=2"),
        "hydra.sweeper.pruner.n_warmup_steps=1",
    ],
    "repeats": [*JOBS, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "optimizer.lr=1e-3,1e-2,1e-1", "seed=0,1"],
    "together": [*JOBS, "optimizer.lr=1e-3,1e-2", "seed=range(8)"],
}
NUM_KILLS = {"grid": 8, "search": 8, "pruned": 5, "repeats": 5, "together": 5}  # at least
MAX_KILLS = 12  # of one sweep
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

# Starting Python and importing takes seconds, in which there is little to kill: this process has done it, and forks.
SERVER = """
import json, os, signal, sys, traceback
import lightning.pytorch, optuna, tensorboard.summary, torch
from litmlp import build
from litmlp.commands import evaluate, train
for line in sys.stdin:
    arguments, output = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as a process that has not begun
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1), os.dup2(file, 2), os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = ["litmlp-train", *arguments]
        code = 99
        try:
            train.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            sys.stdout.flush()
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Ended(NamedTuple):
    code: int
    was_killed: bool
    seconds: float
    said: str


class Server:
    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], **pipes)
        self.num_commands = 0

    def run(
        self,
        arguments: list[str],
        folder: Path,
        kill: tuple[int, float] | None = None,
        awaited: Callable[[], bool] = lambda: True,
    ) -> Ended:
        """Run a command; once what is awaited holds, wait some seconds and send it a signal, unless it ends before."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.num_commands += 1
        output = folder / f"said-{self.num_commands}.txt"
        self.process.stdin.write(json.dumps([arguments, str(output)]) + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        started = time.perf_counter()
        was_killed = False
        if kill is not None:
            number, seconds = kill
            while not awaited() and self.lives(child):
                time.sleep(0.002)
            time.sleep(seconds)
            was_killed = self.lives(child)
            if was_killed:
                os.kill(child, number)
        code = int(self.process.stdout.readline())
        return Ended(code, was_killed and code != 0, time.perf_counter() - started, output.read_text())

    @staticmethod
    def lives(child: int) -> bool:
        """Whether the process is there, and has not ended."""
        status = Path(f"/proc/{child}/stat")
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.process.communicate(timeout=60)


def finished(folder: Path) -> dict[int, dict[str, bytes]]:
    """All that the folders of jobs that came to their end hold."""
    return {n: contents(folder / str(n)) for n, job in records(folder).items() if job["status"] != "running"}


def runs_a_job(folder: Path, since: float) -> bool:
    return any(file.stat().st_mtime > since for file in folder.glob("*/job.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_sweep_ends_as_one_never_stopped(kind: str, server: Server, tmp_path: Path):
    launcher = "hydra/launcher=population" if kind == "together" else ONE_BY_ONE

    def arguments(folder: Path) -> list[str]:
        return ["-m", *TINY, *KINDS[kind], launcher, f"hydra.sweep.dir={folder}"]

    def scored(outcome: tuple[str, Any, float]) -> tuple[Any, ...]:
        # Together with other runs than before, a run's sums may be rounded in another way.
        return (*outcome[:2], pytest.approx(outcome[2], rel=1e-3 if kind == "together" else 0))

    whole = tmp_path / "whole"
    server.run(["--help"], tmp_path)
    reference = server.run(arguments(whole), tmp_path)
    assert reference.code == 0, reference.said
    expected = {number: scored(outcome) for number, outcome in outcomes(whole).items()}
    num_jobs = len(expected)
    if kind == "pruned":
        assert {status for status, _, _ in expected.values()} == {"completed", "pruned"}
    nothing_left = server.run(arguments(whole), tmp_path)
    per_job = max(0.05, (reference.seconds - nothing_left.seconds) / num_jobs)

    chance = random.Random(f"{kind} 1")
    num_kills = num_sweeps = 0
    hit_jobs = 0
    while num_kills < NUM_KILLS[kind]:
        num_sweeps += 1
        folder = tmp_path / f"killed-{num_sweeps}"
        done: dict[int, dict[str, bytes]] = {}
        story = []
        for attempt in range(MAX_KILLS + 1):
            again = [f"resume={folder}"] if (folder / "sweep.yaml").exists() and chance.random() < 0.3 else None
            kill, awaited = None, partial(runs_a_job, folder, time.time())
            if attempt < MAX_KILLS and chance.random() < 0.5:
                kill = (chance.choice(SIGNALS), chance.uniform(0, per_job))
            elif attempt < MAX_KILLS:
                longest = nothing_left.seconds + per_job * (num_jobs - len(done))
                kill, awaited = (chance.choice(SIGNALS), chance.uniform(0.2, longest)), lambda: True
            ended = server.run(again or arguments(folder), tmp_path, kill, awaited)
            story.append(f"{kill} {again} -> {ended.code}")
            told = "\n".join([*story, ended.said])
            assert not any("Interrupted" in (job.get("traceback") or "") for job in records(folder).values()), told
            now = finished(folder)
            for number, files in done.items():
                changed = [name for name in files if files[name] != now.get(number, {}).get(name)]
                assert now.get(number, {}).keys() == files.keys(), told
                assert not changed, f"job {number} was done, but {changed} changed\n{told}"
            done = now
            if not ended.was_killed:
                assert ended.code == 0, told
                break
            num_kills += 1
            hit_jobs += any(job["status"] == "running" for job in records(folder).values())
            assert kill is not None
            assert ended.code in (-kill[0], 128 + kill[0]), told
        assert outcomes(folder) == expected, told
        assert sorted(row["number"] for row in rows(folder)) == sorted(map(str, range(num_jobs)))
        for row in rows(folder):
            assert float(row["score"]) == expected[int(row["number"])][2]
        lowest = min(score for status, _, score in outcomes(folder).values() if status == "completed")
        assert best(folder)["score"] == lowest
    assert hit_jobs >= 2, f"only {hit_jobs} of {num_kills} kills hit a job"


def test_a_sweep_survives_the_death_of_a_worker(tmp_path: Path):
    grid = [*TINY, "data.batch_size=8", "trainer.max_epochs=60", "optimizer.lr=1e-3,1e-2", "seed=0,1,2"]
    plain = process("-m", *grid, ONE_BY_ONE, f"hydra.sweep.dir={tmp_path / 'whole'}")
    said, _ = plain.communicate(timeout=100)
    assert plain.returncode == 0, said
    folder = tmp_path / "killed"
    launcher = ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2"]
    sweep = process("-m", *grid, *launcher, f"hydra.sweep.dir={folder}")
    killed = None
    while killed is None and sweep.poll() is None:
        for file in folder.glob("*/status.json"):
            status = json.loads(file.read_text() or "{}")
            if status.get("status") == "running":
                killed = status["pid"]
                assert killed != sweep.pid
                os.kill(killed, signal.SIGKILL)
                break
        time.sleep(0.01)
    said, _ = sweep.communicate(timeout=100)
    assert killed is not None, said
    assert sweep.returncode == 0, said
    assert outcomes(folder) == outcomes(tmp_path / "whole"), said
    assert {status for status, _, _ in outcomes(folder).values()} == {"completed"}
