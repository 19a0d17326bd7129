"""Whatever an epoch takes, what is planned ends in time: a simulation of the whole command is the oracle."""

import heapq
import random
from pathlib import Path

import pytest

from litmlp.errors import InputError
from litmlp.files import read_json
from litmlp.sweeps import budget as budgets
from litmlp.sweeps.budget import FILE, SEARCH, SLOWER, Budget
from litmlp.sweeps.folds import NUM_FOLDS, rounds


class Clock:
    """A time that passes only when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(budgets.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def seconds_of(text: str) -> int:
    days, hours, minutes, seconds = map(int, text.split(":"))
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def keys(overrides: list[str]) -> dict[str, str]:
    return dict(override.split("=") for override in overrides)


def end_of(durations: list[float], begin: float, last: float, num_jobs: int) -> float:
    """When the last of runs ends that begin one after another on so many places, none of them after `last`."""
    free = [begin] * num_jobs
    for duration in durations:
        if free[0] <= last:
            heapq.heapreplace(free, free[0] + duration)
    return max(free)


@pytest.mark.parametrize("seed", range(200))
def test_no_run_of_the_search_ends_too_late(seed: int, clock: Clock, tmp_path: Path):
    chance = random.Random(seed)
    seconds, num_jobs = 60 * chance.choice([0.5, 1, 3, 10, 60, 600]), chance.randint(1, 4)
    epoch, steps = 10 ** chance.uniform(-3, 3), chance.choice([1, 50, 5000])
    budget = Budget(tmp_path, seconds, [])
    clock.now = chance.uniform(5, 12)  # the pilot
    bounds = budget.bounds = budget.bound(epoch, steps, 60, num_jobs)
    longest = seconds_of(keys(bounds.overrides)["trainer.max_time"])
    begin = clock.now + budgets.SECONDS_TO_START
    last = clock.now + max(budget.search_seconds(rounds(num_jobs)), budgets.SECONDS_TO_START)
    durations = [bounds.run] + [chance.uniform(0, longest) for _ in range(100)]
    assert end_of(durations, begin, last, num_jobs) <= max(seconds, begin + longest) + 1  # the first run must be
    assert begin + longest <= seconds + 1 or longest <= 3


@pytest.mark.parametrize(
    ("seconds", "epoch", "steps", "epochs"),
    [
        (3600, 0.1, 50, 60),  # all of a short run
        (120, 0.8, 50, 50),  # no fewer than 2,500 steps
        (3600, 20, 4000, 27),  # ten runs, two at a time: a fifth of 3600 - 108 - 8 seconds, of which an epoch takes 25
        (3600, 100, 4000, 10),
        (3600, 1000, 4000, 2),  # as many as there is time for
    ],
)
def test_a_run_has_as_many_epochs_as_leave_time_for_others(
    seconds: float, epoch: float, steps: int, epochs: int, clock: Clock, tmp_path: Path
):
    bounds = Budget(tmp_path, seconds, []).bound(epoch, steps, 60, num_jobs=2)
    assert keys(bounds.overrides)["trainer.max_epochs"] == str(epochs)
    assert int(bounds.run / (epoch * SLOWER) + 1e-6) == epochs


def test_an_epoch_that_is_too_long_ends_before_all_of_its_batches(clock: Clock, tmp_path: Path):
    bounds = Budget(tmp_path, 600, []).bound(10_000.0, 10**6, 60, num_jobs=2)
    given = keys(bounds.overrides)
    assert given["trainer.max_epochs"] == "1"
    fraction = float(given["trainer.limit_train_batches"])
    assert 10_000 * SLOWER * fraction == pytest.approx(600 - 18 - 8, abs=10)  # without the reserve and the start


def test_a_run_without_a_limit_gets_one(clock: Clock, tmp_path: Path):
    for none in (None, -1):
        given = keys(Budget(tmp_path, 3600, []).bound(1.0, 500, none, num_jobs=2).overrides)
        assert 60 < int(given["trainer.max_epochs"]) < 3600


def test_the_search_leaves_time_for_folds_of_its_best_where_there_is_any(clock: Clock, tmp_path: Path):
    budget = Budget(tmp_path, 180, [])
    budget.bounds = budgets.Bounds([], 40.0)
    clock.now = 10.0
    assert 10 + budget.search_seconds(2) + 40 + 2 * 40 == pytest.approx(180 - budget.reserve)
    assert 10 + budget.search_seconds(4) + 40 == pytest.approx(180 - budget.reserve)  # none for four rounds of folds
    budget.bounds = budgets.Bounds([], 1.0)
    assert 10 + budget.search_seconds(2) == SEARCH * 180


@pytest.mark.parametrize(("num_jobs", "expected"), [(1, 4), (2, 2), (3, 2), (4, 1), (8, 1)])
def test_folds_are_trained_in_rounds(num_jobs: int, expected: int):
    assert NUM_FOLDS == 5
    assert rounds(num_jobs) == expected


def test_time_that_was_spent_counts(clock: Clock, tmp_path: Path):
    with Budget(tmp_path, 100, ["a=1"]) as first:
        first.bounds = budgets.Bounds(["b=2"], 3.0)
        clock.now = 30.0
    clock.now = 1000.0
    second = Budget(tmp_path, 100, ["a=1"])
    clock.now = 1020.0
    assert second.spent == pytest.approx(50)
    assert second.bounds == first.bounds
    assert second.left == pytest.approx(100 - 50 - second.reserve)


def test_time_is_stored_while_it_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budgets, "SECONDS_BETWEEN_WRITES", 0.01)
    with Budget(tmp_path, 100, []):
        before = read_json(tmp_path / FILE)["spent"]
        while read_json(tmp_path / FILE)["spent"] == before:  # a process killed now would lose none of it
            pass


def test_a_folder_belongs_to_one_command(tmp_path: Path):
    with Budget(tmp_path, 100, ["a=1"]):
        pass
    for seconds, overrides in ((200, ["a=1"]), (100, ["a=2"])):
        with pytest.raises(InputError, match="holds the work of another command"):
            Budget(tmp_path, seconds, overrides)
