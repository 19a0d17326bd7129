import json
import math
import sys
from pathlib import Path

import pytest

import ablate
import litmlp

QUICK = ["data=penguins", *ablate.SETTINGS, "trainer.max_epochs=2"]


@pytest.fixture(autouse=True)
def _threads_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        monkeypatch.setenv(name, "1")  # which is undone after the test, as is what the program sets


def test_each_variant_differs_from_the_default_and_from_the_others() -> None:
    changes = [[], *ablate.VARIANTS.values()]
    assert len({ablate.digest(["data=california", *overrides]) for overrides in changes}) == len(changes)


def test_a_config_is_known_by_what_it_says() -> None:
    assert ablate.digest(["data=penguins"]) == ablate.digest(["data=penguins", "data.scaling=standard"])
    assert ablate.digest(["data=penguins"]) == ablate.digest(["data=penguins", "seed=7"])


def test_lines_give_changes_in_per_cent() -> None:
    numbers = {
        ("a", "default"): ("RMSE", 0.5, 10.0),
        ("b", "default"): ("log-loss", 0.25, 1.0),
        ("a", "worse"): ("RMSE", 0.55, 5.0),
        ("b", "worse"): ("log-loss", 0.2, 2.0),
        ("a", "hopeless"): ("RMSE", math.nan, 10.0),
        ("b", "hopeless"): ("log-loss", 0.75, 1.0),
    }
    means = {place: dict(zip(("metric", "score", "seconds"), each, strict=True)) for place, each in numbers.items()}
    assert list(ablate.lines(["a", "b"], means)) == [
        "| | a, RMSE | b, log-loss | seconds |",
        "| --- | --: | --: | --: |",
        "| default | 0.5000 | 0.2500 | 1.00 |",
        "| worse | +10.0 % | -20.0 % | 1.25 |",
        "| hopeless | diverged | +200.0 % | 1.00 |",
    ]


def test_results_of_a_file_are_averaged_over_seeds_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(ablate, "VARIANTS", {"other": ["optimizer.lr=0.01"]})
    scores = {"default": (0.1, 0.3), "other": (0.2, 0.8)}
    changes = {"default": [], **ablate.VARIANTS}
    with (tmp_path / "results.jsonl").open("w") as file:
        for name, of_seeds in scores.items():
            config = ablate.digest(["data=penguins", *ablate.SETTINGS, *changes[name]])
            for seed, score in enumerate(of_seeds):
                result = {"config": config, "seed": seed, "metric": "log-loss", "score": score, "seconds": 1 + seed}
                file.write(json.dumps(result) + "\n")
    command = ["ablate", "--tables", "penguins", "--seeds", "0", "1", "--results", str(tmp_path / "results.jsonl")]
    monkeypatch.setattr(sys, "argv", command)
    ablate.main()
    assert capsys.readouterr().out.splitlines()[-2:] == ["| default | 0.2000 | 1.00 |", "| other | +150.0 % | 1.00 |"]


def test_training_that_diverges_has_no_score() -> None:
    result = ablate.trained([*QUICK, "optimizer.lr=1e30", "scheduler=none"], seed=0)
    assert math.isnan(result["score"])


@pytest.mark.slow
def test_what_a_file_lacks_is_trained(tmp_path: Path) -> None:
    file = tmp_path / "folder/results.jsonl"
    ablate.train_missing({("a", 3): QUICK}, file, jobs=1)
    (result,) = ablate.results_in(file).values()
    metrics = litmlp.train(*QUICK, "seed=3", folder=tmp_path / "run").metrics
    assert (result["metric"], result["score"]) == ("log-loss", metrics["test/log_loss"])
    before = file.read_text()
    ablate.train_missing({("a", 3): QUICK, ("b", 3): [*QUICK, "network/embedding=none"]}, file, jobs=2)
    assert file.read_text().startswith(before)
    assert list(ablate.results_in(file)) == [("a", 3), ("b", 3)]
