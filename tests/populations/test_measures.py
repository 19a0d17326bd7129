"""The metrics and temperatures that a population computes are those that each run computes alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor

from litmlp.commands.train import train
from litmlp.data.targets import Target
from litmlp.populations import measures
from litmlp.populations.together import Work, train_together
from litmlp.tasks import ClassificationTask, RegressionTask, calibration
from litmlp.tasks.metrics import Metric
from populations.training import PENGUINS, SMALL, configs

CALIFORNIA = ["data=california", "data.train_rows=300", "data.batch_size=32", *SMALL, "logger=none"]
SEEDS = [["seed=1"], ["seed=2", "optimizer.lr=0.01"], ["seed=3"]]
EXACT = ("trainer.precision=64-true", "trainer.max_epochs=3")


class Watch(L.Callback):
    """Keeps what each epoch logs, and the rows that callbacks see."""

    def __init__(self) -> None:
        self.logged: list[dict[str, Tensor]] = []
        self.rows: list[Tensor] = []

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.rows += [collected.rows().clone() for collected in pl_module.seen["val"][:2]]
        self.rows += [collected.rows().clone() for collected in pl_module.seen["train"][:2]]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.logged.append(dict(trainer.callback_metrics))

    on_train_end = on_train_epoch_start


def same_as_alone(overrides: Sequence[str], members: Sequence[Sequence[str]], folder: Path) -> list[int]:
    """Fail unless runs log the same together as alone; return how many members were measured at once each time."""
    given = configs(*overrides, *EXACT, members=members)
    alone = [Watch() for _ in given]
    for number, config in enumerate(given):
        train(config, folder / f"alone{number}", columns=(), callbacks=[alone[number]])
    together = [Watch() for _ in given]

    def work(number: int) -> None:
        train(given[number], folder / str(number), columns=(), callbacks=[together[number]])

    sizes: list[int] = []
    original = measures._measure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "_measure", lambda own, some: (sizes.append(len(some)), original(own, some)))
        train_together([Work(lambda number=number: work(number)) for number in range(len(given))])
    for one, other in zip(together, alone, strict=True):
        assert len(one.logged) == 4
        for logged, expected in zip(one.logged, other.logged, strict=True):
            assert list(logged) == list(expected)
            torch.testing.assert_close(logged, expected, rtol=1e-9, atol=1e-9, equal_nan=True)
            assert all(value._base is None for value in logged.values())
        torch.testing.assert_close(one.rows, other.rows, rtol=1e-9, atol=1e-9)
    return sizes


CASES = {
    "classes": (PENGUINS, SEEDS),
    "class weights": ([*PENGUINS, "task.class_weights=balanced"], [*SEEDS, ["task.class_weights=[3,1,2]"]]),
    "label smoothing": ([*PENGUINS, "task.loss.label_smoothing=0.1"], [*SEEDS, ["task.loss.label_smoothing=0.2"]] * 2),
    "brier": ([*PENGUINS, "task/loss=brier"], SEEDS),
    "members": ([*PENGUINS, "network=tabm", "network.hidden_sizes=[8]", "network.members=3"], SEEDS),
    "numbers": (CALIFORNIA, [[*one, f"data.seed={number}"] for number, one in enumerate(SEEDS)]),
    "logarithm": (CALIFORNIA, [*SEEDS, ["data.target_transform=log1p"], ["data.target_transform=log1p", "seed=4"]]),
}


QUICK = ("classes", "numbers")


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_each_epoch_logs_what_it_logs_alone(case: str, tmp_path: Path):
    sizes = same_as_alone(*CASES[case], tmp_path)
    assert sizes == {"logarithm": [3, 2] * 3, "label smoothing": [6, 2] * 3}.get(case, [len(CASES[case][1])] * 3)


class WithLargest(RegressionTask):
    """Has one more metric, which takes a single table only."""

    @staticmethod
    def build_metrics(target: Target) -> dict[str, Metric]:
        def largest(predicted: Tensor, observed: Tensor) -> Tensor:
            assert predicted.ndim == observed.ndim == 2
            return (predicted - observed).abs().amax(dim=0)

        return {"largest": Metric(largest, "min"), **RegressionTask.build_metrics(target)}


class Warmer(ClassificationTask):
    """Fits another temperature."""

    def fitted_temperature(self) -> float:
        return 1 + super().fitted_temperature()


class Refitting(ClassificationTask):
    """Does something at the end of a validation."""

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.temperature.fill_(2)


def of_ones_own(kind: type) -> str:
    return f"task._target_={__name__}.{kind.__name__}"


def test_a_metric_of_ones_own_is_computed_run_by_run_and_the_others_at_once(tmp_path: Path):
    assert same_as_alone([*CALIFORNIA, of_ones_own(WithLargest)], SEEDS, tmp_path) == [3, 3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Warmer, Refitting])
def test_a_task_that_computes_something_else_is_measured_as_alone(kind: type, tmp_path: Path):
    assert same_as_alone([*PENGUINS, of_ones_own(kind)], SEEDS, tmp_path) == []


@pytest.mark.slow
def test_runs_with_other_numbers_of_rows_are_measured_as_alone(tmp_path: Path):
    # Of 275 penguins, two folds have 92 for validation, and one has 91.
    members = [["data.folds=3", f"data.fold={fold}", "seed=1"] for fold in range(3)]
    assert same_as_alone(PENGUINS, members, tmp_path) == [2, 2, 2]


def test_epochs_without_validation_have_the_metrics_of_the_temperature_before(tmp_path: Path):
    same_as_alone([*PENGUINS, "+trainer.check_val_every_n_epoch=2"], SEEDS, tmp_path)


@pytest.mark.slow
def test_members_whose_rows_are_many_are_measured_in_parts_or_as_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    rows = 3 * 240  # numbers of a member, about
    monkeypatch.setattr(measures, "NUMBERS_AT_ONCE", 2 * rows)
    assert same_as_alone(PENGUINS, SEEDS, tmp_path / "parts") == [2, 2, 2]
    monkeypatch.setattr(measures, "NUMBERS_AT_ONCE", rows // 2)
    assert same_as_alone(PENGUINS, SEEDS, tmp_path / "alone") == []


def test_no_member_fits_a_temperature_that_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    fitted: list[int] = []
    original = calibration.Search.step
    monkeypatch.setattr("litmlp.tasks.classification.temperature_of", lambda *_: fitted.append(1) or 1.0)
    steps: list[int] = []
    monkeypatch.setattr(calibration.Search, "step", lambda own, *of: (steps.append(1), original(own, *of))[1])
    given = configs(*PENGUINS, members=SEEDS)
    works = [Work(lambda k=k: train(given[k], tmp_path / str(k), columns=())) for k in range(3)]
    train_together(works)
    assert steps
    assert not fitted
