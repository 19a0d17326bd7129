"""Processes that help a sweep: who trains what, and what happens when one of them fails or dies."""

import multiprocessing
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from litmlp.errors import InputError
from litmlp.sweeps import workers
from litmlp.sweeps.workers import Workers, walk
from populations.training import TOGETHER
from sweeping import outcomes, sweep
from waiting import MOST_SECONDS, Gated


@dataclass
class Shared:
    """A job whose chunks whose first number is odd are trained one by one, as with claims of folders."""

    claims: dict[int, threading.Lock]
    chunks: list[tuple[int, ...]] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    def train(self, numbers: Sequence[int], share: Callable[[], None]) -> None:
        self.chunks.append(tuple(numbers))
        if numbers[0] % 2:
            share()
        for number in numbers:
            if self.claims[number].acquire(blocking=False):
                time.sleep(random.random() / 1000)
                self.done.append(number)


@pytest.mark.parametrize("_", range(10))
def test_each_job_is_done_once_and_only_shared_chunks_are_looked_through_twice(_: int, tmp_path: Path):
    num_jobs, num_walkers = random.randrange(1, 40), random.randrange(1, 5)
    numbers = list(range(num_jobs))
    starts = sorted({0, *random.choices(numbers, k=5)})
    chunks = [numbers[one:end] for one, end in zip(starts, [*starts[1:], num_jobs], strict=True)]
    job: Any = Shared({number: threading.Lock() for number in numbers})
    walkers = [threading.Thread(target=walk, args=(job, chunks, tmp_path)) for _ in range(num_walkers)]
    for walker in walkers:
        walker.start()
    for walker in walkers:
        walker.join(MOST_SECONDS)
        assert not walker.is_alive()
    assert sorted(job.done) == numbers
    times = Counter(job.chunks)
    assert times.keys() == {*map(tuple, chunks)}
    assert all(times[chunk] == 1 or chunk[0] % 2 for chunk in times)


def run(job: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "SECONDS_ALONE", 0.0)
    job.workers = Workers(job, [[0], [1]], 2)  # type: ignore[arg-type]
    job.workers.run()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "expected"),
    [("well", None), ("error", (InputError, "the table has vanished")), ("death", (RuntimeError, "exit code -9"))],
)
def test_how_another_process_ends_is_known(
    end: str, expected: tuple[type[Exception], str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    job = Gated(tmp_path, end)
    if expected is None:
        run(job, monkeypatch)
    else:
        with pytest.raises(expected[0], match=expected[1]):
            run(job, monkeypatch)
    assert int((tmp_path / "1").read_text()) != os.getpid()
    assert not multiprocessing.active_children()
    assert not job.workers.folder.exists()


def test_without_memory_for_others_a_process_goes_on_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(workers.machine, "own_memory", lambda: 2**50)
    job = Gated(tmp_path)
    job.workers = Workers(job, [[0], [1]], 2)  # type: ignore[arg-type]
    job.workers._start()
    assert job.workers.processes == []
    assert caplog.messages == ["the memory is enough for 1 of 2 processes"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["WaitsForOthers", "WaitsAtSteps"])
def test_a_grid_in_two_processes_ends_as_in_one(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # With a hook for steps, runs are trained one by one, and each process takes some of the other one's chunk.
    monkeypatch.setattr(workers, "SECONDS_ALONE", 0.0)
    for number in (1, 2):
        waits = [f"+callbacks.wait._target_=waiting.{kind}", f"+callbacks.wait.folder='{tmp_path / f'pids{number}'}'"]
        grid = ["seed=range(32)", "hydra/launcher=population", *waits, f"+callbacks.wait.number={number}"]
        said = sweep(tmp_path / str(number), *grid, f"hydra.launcher.processes={number}")
        assert said.code == 0, said
        assert said.err == ""
    found, expected = outcomes(tmp_path / "2"), outcomes(tmp_path / "1")
    assert found.keys() == expected.keys()
    is_alone = kind == "WaitsAtSteps"
    for number, (status, overrides, score) in found.items():
        assert (status, overrides) == expected[number][:2]
        assert score == pytest.approx(expected[number][2], rel=0 if is_alone else 1e-4)
        log = (tmp_path / f"2/{number}/train.log").read_text()
        assert (TOGETHER.format(15) in log) != is_alone
