"""Which settings are trained on other validation rows, in the time that is left."""

import random
from pathlib import Path

import pytest

from litmlp.files import write_json, write_yaml
from litmlp.sweeps.folds import MARGIN, NUM_FOLDS, Trial, affordable, train_folds, trials, val_size

METRICS = {"objective": 1.0, "epochs": 1, "steps": 1, "fit_seconds": 1.0, "parameters": 1}


def trial(folder: Path, number: int, seconds: float) -> Trial:
    return Trial(folder / f"search/{number}", seconds, {k: folder / f"folds/{number}/{k}" for k in range(1, NUM_FOLDS)})


def ended(run: Path, status: str) -> None:
    run.mkdir(parents=True)
    write_json(run / "status.json", {"status": status, "pid": 1})
    write_json(run / "metrics.json", METRICS)


@pytest.mark.parametrize("seed", range(50))
def test_all_folds_of_those_chosen_fit_and_no_better_settings_that_fit_are_left_out(seed: int, tmp_path: Path):
    chance = random.Random(seed)
    seconds, num_jobs = chance.uniform(1, 1000), chance.randint(1, 4)
    ranked = [trial(tmp_path, number, 10 ** chance.uniform(-1, 2)) for number in range(10)]
    chosen = affordable(ranked, seconds, num_jobs)

    def work(some: list[Trial]) -> float:
        return sum(4 * MARGIN * one.seconds for one in some)

    assert work(chosen) <= num_jobs * seconds
    for index, one in enumerate(ranked):
        better = [other for other in ranked[:index] if other in chosen]
        fits = work([*better, one]) <= num_jobs * seconds and one.seconds * MARGIN <= seconds
        assert (one in chosen) == fits


def test_only_folds_that_are_missing_count(tmp_path: Path):
    one = trial(tmp_path, 0, 10.0)
    assert affordable([one], 30.0, 1) == []
    for fold in (1, 3):
        ended(one.folds[fold], "completed")
    assert sorted(one.left) == [2, 4]
    assert affordable([one], 30.0, 1) == [one]
    for fold in (2, 4):
        ended(one.folds[fold], "completed")
    assert affordable([one], 30.0, 1) == []  # nothing is left to be done


def test_settings_with_a_fold_that_failed_are_given_up(tmp_path: Path):
    one = trial(tmp_path, 0, 10.0)
    ended(one.folds[1], "failed")
    assert one.has_failed
    assert affordable([one], 1000.0, 1) == []


@pytest.mark.parametrize(("mode", "order"), [("min", ["2", "0"]), ("max", ["0", "2"])])
def test_completed_trials_are_ranked_by_their_scores(mode: str, order: list[str], tmp_path: Path):
    assert trials(tmp_path) == []
    (tmp_path / "search").mkdir()
    write_yaml(tmp_path / "search/sweep.yaml", {"mode": mode, "space": {}})
    for number, status, score in (
        (0, "completed", 2.0),
        (1, "pruned", 0.5),
        (2, "completed", 1.0),
        (3, "failed", None),
    ):
        run = tmp_path / f"search/{number}"
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints/best.ckpt").touch()
        record = {"number": number, "status": status, "overrides": [], "score": score, "seconds": 3.0}
        write_json(run / "job.json", record | {"metrics": {"fit_seconds": 5.0}})
    found = trials(tmp_path)
    assert [one.run.name for one in found] == order
    assert found[0].seconds == 5.0  # the record of a run that was resumed says how long its last part took


def test_nothing_begins_after_its_time(tmp_path: Path):
    assert list(train_folds([trial(tmp_path, 0, 1.0)], -1.0, 1)) == []
    assert not (tmp_path / "folds").exists()


@pytest.mark.parametrize(
    ("num_rows", "expected"),
    [(344, 0.16), (6_250, 0.16), (10_000, 0.1), (20_640, 0.05), (10**7, 0.05)],
)
def test_large_tables_have_a_smaller_fraction_for_validation(num_rows: int, expected: float):
    rows = {"train": round(0.64 * num_rows), "val": round(0.16 * num_rows), "test": round(0.2 * num_rows)}
    assert val_size(rows) == pytest.approx(expected, abs=0.001)
