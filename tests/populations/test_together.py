"""Runs join and leave a population; those that cannot be trained together are trained alone, and say why."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn

from conftest import compose_config
from litmlp import build
from litmlp.commands.train import train
from litmlp.data import Batch
from litmlp.errors import TrainingDiverged
from litmlp.networks import MLP
from litmlp.populations.together import Work, train_together
from litmlp.run_folder import status_of
from litmlp.tasks import ClassificationTask
from populations.training import ALONE, PENGUINS, TOGETHER, Ran, alone, assert_same, configs, together

SEEDS = [[f"seed={random.randrange(2**31)}"] for _ in range(4)]
DOUBLE = "trainer.precision=64-true"


def all_alone(given: list[dict[str, Any]], folder: Path) -> list[Ran]:
    return [alone(config, folder / f"alone{number}") for number, config in enumerate(given)]


@pytest.mark.parametrize("most", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_runs_that_end_leave_and_others_take_their_places(most: int, tmp_path: Path):
    epochs = [["trainer.max_epochs=1"], ["trainer.max_epochs=5"], ["trainer.max_epochs=2"], ["trainer.max_epochs=3"]]
    members = [[*seed, *own] for seed, own in zip(SEEDS, epochs, strict=True)]
    given = configs(*PENGUINS, DOUBLE, "scheduler=none", members=members)
    for one, other in zip(together(given, tmp_path, most), all_alone(given, tmp_path), strict=True):
        assert_same(one, other, 1e-9)


def test_a_run_that_stops_early_or_diverges_does_not_disturb_the_others(tmp_path: Path):
    rates = [
        ["optimizer.lr=1e-3"],
        ["optimizer.lr=1e30"],
        ["optimizer.lr=1e-4", "+callbacks.early_stopping.min_delta=100"],
        ["optimizer.lr=1e-2"],
    ]
    stops = ["callbacks.early_stopping.patience=2", "trainer.max_epochs=8", "optimizer=sgd", "scheduler=none"]
    members = [[*seed, *rate] for seed, rate in zip(SEEDS, rates, strict=True)]
    given = configs(*PENGUINS, DOUBLE, *stops, members=members)
    failed = []

    def run(number: int) -> None:
        try:
            train(given[number], tmp_path / str(number), columns=())
        except TrainingDiverged:
            failed.append(number)

    train_together([Work(partial(run, number)) for number in range(4)], 4)
    assert failed == [1]
    for number in (0, 2, 3):
        state = torch.load(tmp_path / f"{number}/checkpoints/last.ckpt", weights_only=True)
        expected = alone(given[number], tmp_path / f"alone{number}").state
        assert state["epoch"] == expected["epoch"]
        assert (number != 2) or state["epoch"] == 3
        for name, weight in expected["state_dict"].items():
            torch.testing.assert_close(state["state_dict"][name], weight, rtol=1e-9, atol=1e-9)


def test_runs_of_two_structures_are_trained_in_two_groups_and_a_single_one_alone(tmp_path: Path):
    sizes = ["[8]", "[4,4]", "[8]", "[4,4]", "[3]"]
    members = [[f"network.hidden_sizes={size}", f"seed={number}"] for number, size in enumerate(sizes)]
    given = configs(*PENGUINS, DOUBLE, members=members)
    got = together(given, tmp_path)
    for one, other in zip(got, all_alone(given, tmp_path), strict=True):
        assert_same(one, other, 1e-9)
    assert [TOGETHER.format(1) in one.log for one in got] == [True] * 4 + [False]
    assert f"{ALONE}other runs differ in network.hidden_sizes" in got[4].log


def test_where_a_step_keeps_a_core_busy_runs_are_trained_one_by_one(tmp_path: Path):
    given = configs(*PENGUINS, "network.hidden_sizes=[300,300]", "trainer.max_epochs=1", members=SEEDS[:2])
    got = together(given, tmp_path, most="auto")  # type: ignore[arg-type]
    for one, other in zip(got, all_alone(given, tmp_path), strict=True):
        assert_same(one, other, 0.0)  # to the bit
        assert "keep a core busy" in one.log.partition(ALONE)[2]


# What a user writes. Each class is named in a config by this module's name.


class Counts(MLP):
    """Counts its calls."""

    calls = 0

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return super().forward(numeric, categorical)


class Normalizes(MLP):
    """Normalises by the batch, and keeps running statistics."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return self.norm(super().forward(numeric, categorical))


class Branches(MLP):
    """Does something else for some values."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        outputs = super().forward(numeric, categorical)
        return outputs * 2 if outputs.mean() > 0 else outputs


class Residual(MLP):
    """Is an ordinary network that nobody has planned for."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.more = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 5), nn.SiLU(), nn.Linear(5, 3))

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        outputs = super().forward(numeric, categorical)
        return outputs + self.more(outputs)


class EveryOther(ClassificationTask):
    """Halves the loss of every other batch."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (1.0 if batch_idx % 2 else 0.5)


class Anneals(ClassificationTask):
    """Weighs the loss by the epoch."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) / (1 + self.current_epoch)


class Flips(ClassificationTask):
    """Draws from Python's generator."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * random.random()


class Penalty(ClassificationTask):
    """Adds a term of its own to the loss."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        outputs = self.forward(batch)
        return super().training_step(batch, batch_idx) + 0.01 * outputs.square().mean()


def target(kind: type) -> str:
    group = "task" if issubclass(kind, L.LightningModule) else "network"
    return f"{group}._target_={__name__}.{kind.__name__}"


@pytest.mark.parametrize("kind", [pytest.param(Residual, marks=pytest.mark.slow), Penalty])
def test_networks_and_tasks_of_ones_own_are_trained_together_without_a_change(kind: type, tmp_path: Path):
    given = configs(*PENGUINS, DOUBLE, target(kind), members=SEEDS[:3])
    for one, other in zip(together(given, tmp_path), all_alone(given, tmp_path), strict=True):
        assert TOGETHER.format(2) in one.log
        assert_same(one, other, 1e-9)


REASONS = {
    Counts: "its step changes network.calls",
    Normalizes: "its step cannot be recorded",
    Branches: "its step cannot be recorded",
    EveryOther: "its step uses batch_idx",
    Anneals: "its step uses the trainer",
    Flips: "its step draws random numbers outside of torch",
}


@pytest.mark.parametrize("kind", REASONS)
def test_a_step_that_cannot_be_repeated_is_refused_with_its_reason(kind: type, tmp_path: Path):
    given = configs(*PENGUINS, "trainer.max_epochs=2", target(kind), members=SEEDS[:2])
    got = together(given, tmp_path)
    for one, other in zip(got, all_alone(given, tmp_path), strict=True):
        assert REASONS[kind] in one.log.partition(ALONE)[2]
        assert_same(one, other, 0.0)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (
            ["optimizer=adam", "optimizer._target_=torch.optim.Rprop", "~optimizer.fused", "~optimizer.weight_decay"],
            "steps of Rprop are not proportional",
        ),
        (["trainer.accumulate_grad_batches=2"], "an epoch does not take a step for each batch"),
        (["+trainer.val_check_interval=0.5"], "it validates or ends within an epoch"),
        (["+trainer.max_steps=5"], "it validates or ends within an epoch"),
    ],
)
def test_a_run_whose_epochs_are_not_plain_is_trained_alone(overrides: list[str], reason: str, tmp_path: Path):
    given = configs(
        *PENGUINS,
        "trainer.max_epochs=2",
        "seed=1",
        *overrides,
        members=[[], []],
    )
    got = together(given, tmp_path)
    expected = alone(given[0], tmp_path / "alone")
    for one in got:
        assert reason in one.log.partition(ALONE)[2]
        assert_same(one, expected, 0.0)


def test_callbacks_see_the_same_epochs(tmp_path: Path):
    calls: dict[int, list[Any]] = {}

    class Watch(L.Callback):
        def __init__(self, number: int) -> None:
            self.calls = calls.setdefault(number, [])

        def on_train_epoch_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
            self.calls.append(("start", trainer.current_epoch, trainer.global_step, task.training))

        def on_validation_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
            self.calls.append(
                (
                    "val",
                    trainer.current_epoch,
                    trainer.validating,
                    round(float(trainer.callback_metrics["val/loss"]), 9),
                )
            )

        def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
            norm = sum(float(p.grad.square().sum()) for p in task.parameters() if p.grad is not None)
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self.calls.append(("end", trainer.current_epoch, trainer.global_step, round(norm, 9), round(rate, 12)))

        def on_train_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
            self.calls.append(("done", trainer.current_epoch, trainer.global_step))

    given = configs(*PENGUINS, DOUBLE, members=SEEDS[:2])

    def run(number: int) -> None:
        train(given[number % 2], tmp_path / str(number), columns=(), callbacks=[Watch(number)])

    train_together([Work(partial(run, number)) for number in (0, 1)], 2)
    for number in (2, 3):
        run(number)
    assert len(calls[0]) == 13
    assert calls[0] == calls[2]
    assert calls[1] == calls[3]


class Failing(L.Callback):
    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise OSError("gone")


def test_a_run_of_the_kind_of_earlier_ones_is_not_said_to_differ(tmp_path: Path):
    given = configs(*PENGUINS, "trainer.max_epochs=1", members=SEEDS[:3])
    got = together(given, tmp_path, most=2)
    assert TOGETHER.format(1) in got[0].log
    assert f"{ALONE}there is no other run to train it with" in got[2].log


def test_runs_without_an_end_leave_by_their_own_stops(tmp_path: Path):
    stops = ["trainer.max_epochs=-1", "scheduler=none", "callbacks.early_stopping.patience=1"]
    waits = [[f"+callbacks.early_stopping.min_delta={delta}"] for delta in (100, 100, 0)]
    members = [[*seed, *wait] for seed, wait in zip(SEEDS[:3], waits, strict=True)]
    given = configs(*PENGUINS, DOUBLE, *stops, "optimizer.lr=0.1", members=members)
    for one, other in zip(together(given, tmp_path), all_alone(given, tmp_path), strict=True):
        assert_same(one, other, 1e-9)


def test_an_error_that_stops_one_work_stops_all(tmp_path: Path):
    class Stop(BaseException):
        pass

    class Stops(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                raise Stop

    given = configs(*PENGUINS, members=SEEDS[:3])

    def run(number: int) -> None:
        train(given[number], tmp_path / str(number), columns=(), callbacks=[Stops()] if number == 1 else [])

    with pytest.raises(Stop):
        train_together([Work(partial(run, number)) for number in range(3)], 3)
    assert [status_of(tmp_path / str(number))["status"] for number in range(3)] == ["failed"] * 3


def test_an_error_of_one_work_only_interrupts_the_others(tmp_path: Path):
    given = configs(*PENGUINS, members=SEEDS[:3])

    def run(number: int) -> None:
        stops = [Failing()] if number == 1 else []
        train(given[number], tmp_path / str(number), columns=(), callbacks=stops)

    with pytest.raises(OSError, match="gone"):
        train_together([Work(partial(run, number)) for number in range(3)], 3)
    statuses = [status_of(tmp_path / str(number))["status"] for number in range(3)]
    assert statuses == ["interrupted", "failed", "interrupted"]


def test_a_run_of_its_own_process_knows_nothing_of_populations(tmp_path: Path):
    trainer = build.trainer(compose_config(*PENGUINS), str(tmp_path))
    assert type(trainer.fit_loop).__name__ == "_FitLoop"
