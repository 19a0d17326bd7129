"""Rounds of steps against Lightning's own loop, which a reason for single steps brings back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from conftest import SLOPE, SMALL, UNDRAWN, compose_config
from litmlp import build
from litmlp.callbacks import Callback
from litmlp.commands.train import quiet_libraries, train
from litmlp.data import Batch, Batches
from litmlp.data.batches import InOrder
from litmlp.tasks import ClassificationTask
from litmlp.training import loop

PENGUINS = ["data=penguins", "data.batch_size=16", *SMALL]  # 14 steps an epoch, 11 of them of full batches
SETTINGS = {
    "default": [],
    "one_cycle": ["scheduler=one_cycle"],
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "optimizer.lr=0.1"],
    "constant": ["scheduler=none", "optimizer=sgd"],
    "clipped": ["trainer.gradient_clip_val=0.01"],
    "clipped by value": ["trainer.gradient_clip_val=0.001", "trainer.gradient_clip_algorithm=value"],
    "dropout": ["network.dropout=0.3", "network.normalization=layer"],
    "l1": ["task.l1=0.01"],
    "weighted": ["task.class_weights=balanced"],
    "validated twice": ["trainer.val_check_interval=0.5"],
    "validated after 5": ["trainer.val_check_interval=5"],
    "validated every second": ["trainer.check_val_every_n_epoch=2"],
    "limited": ["trainer.limit_train_batches=6"],
    "accumulated": ["trainer.accumulate_grad_batches=3"],
    "steps": ["trainer.max_steps=25"],
    "clipped bfloat16": ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=0.01", "optimizer.fused=false"],
    "bfloat16": ["trainer.precision=bf16-mixed"],
    "own optimizer": ["optimizer._target_=torch.optim.RMSprop", "optimizer.fused=null"],
}


class Looking(Callback):
    """Notes how many steps have been taken whenever it is called."""

    once_a_round = True

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.steps.append(trainer.global_step)


def trained(folder: Path, *overrides: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last checkpoint and the reported metrics of a run."""
    config = compose_config(*PENGUINS, "trainer.max_epochs=3", *UNDRAWN, *overrides)
    if config["optimizer"].get("fused", True) is None:
        del config["optimizer"]["fused"]
    metrics = train(config, folder)
    content = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    del content["callbacks"]["Timer"]
    return content, {name: value for name, value in metrics.items() if name != "fit_seconds"}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.fixture
def single_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def apply() -> None:
        monkeypatch.setattr(loop, "reason_for_single_steps", lambda trainer: "the test asks for it")

    return apply


@pytest.mark.parametrize("name", SETTINGS)
def test_rounds_equal_single_steps_to_the_bit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, single_steps: Any
) -> None:
    """Weights, optimizer, schedule, all of Lightning's counters, and the metrics."""
    monkeypatch.setattr(loop, "STEPS_A_ROUND", 4)
    in_rounds, metrics = trained(tmp_path / "rounds", *SETTINGS[name])
    single_steps()
    expected, expected_metrics = trained(tmp_path / "single", *SETTINGS[name])
    assert metrics == expected_metrics
    assert in_rounds.keys() == expected.keys()
    for key, value in in_rounds.items():
        assert same(value, expected[key]), key


def trainer_after(tmp_path: Path, *callbacks: L.Callback, task: type | None = None, **arguments: Any) -> L.Trainer:
    """A trainer that has trained an epoch of penguins."""
    config = compose_config(*PENGUINS, "callbacks=none", "logger=none")
    config["trainer"] |= {"max_epochs": 1, "enable_progress_bar": False, **arguments}
    data = build.data(config)
    data.setup()
    module = build.task(config, data.spec)
    if task is not None:
        module.__class__ = task
    trainer = build.trainer(config, str(tmp_path))
    trainer.callbacks += callbacks
    quiet_libraries()
    trainer.fit(module, datamodule=data)
    return trainer


def test_a_round_ends_with_the_epoch_and_after_some_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STEPS_A_ROUND", 4)
    looking = Looking()
    trainer = trainer_after(tmp_path, looking)
    assert trainer.num_training_batches == 14
    assert looking.steps == [4, 8, 12, 14]


def test_a_round_ends_before_a_validation(tmp_path: Path) -> None:
    looking = Looking()
    trainer_after(tmp_path, looking, val_check_interval=5)
    assert looking.steps == [5, 10, 14]


@pytest.mark.parametrize("hook", loop.STEP_HOOKS)
def test_a_callback_that_looks_at_steps_sees_each(hook: str, tmp_path: Path) -> None:
    calls = []
    watching = type("Watching", (L.Callback,), {hook: lambda self, *_: calls.append(1)})
    trainer_after(tmp_path, watching())
    assert len(calls) == 14


@pytest.mark.filterwarnings("ignore:You have overridden")  # in a task, rather than in the data
@pytest.mark.parametrize("hook", [*loop.STEP_HOOKS, *loop.TASK_HOOKS, *loop.TRANSFER_HOOKS])
def test_a_task_with_a_hook_of_its_own_takes_single_steps(hook: str, tmp_path: Path) -> None:
    calls = []

    def called(self: L.LightningModule, *arguments: Any, **named: Any) -> Any:
        calls.append(1)
        return getattr(ClassificationTask, hook)(self, *arguments, **named)

    trainer_after(tmp_path, task=type("Own", (ClassificationTask,), {hook: called}))
    assert len(calls) >= 14


@pytest.mark.parametrize(
    "arguments",
    [
        {"profiler": "simple"},
        {"val_check_interval": 20, "check_val_every_n_epoch": None},
    ],
    ids=str,
)
def test_settings_that_need_single_steps(arguments: dict[str, Any], tmp_path: Path) -> None:
    assert loop.reason_for_single_steps(trainer_after(tmp_path, **arguments))


def test_a_checkpoint_every_few_steps_is_written_after_them(tmp_path: Path) -> None:
    """Lightning's own callback, as users know it."""
    trainer_after(tmp_path, ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=5, save_top_k=-1))
    assert sorted(path.name for path in tmp_path.glob("step*.ckpt")) == ["step=10.ckpt", "step=5.ckpt"]


def test_an_optimizer_that_calls_back_takes_single_steps(tmp_path: Path) -> None:
    class WithLBFGS(ClassificationTask):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.LBFGS(self.parameters(), max_iter=2)

    assert loop.reason_for_single_steps(trainer_after(tmp_path, task=WithLBFGS))


def test_an_optimizer_with_a_zero_grad_of_its_own_takes_single_steps(tmp_path: Path) -> None:
    calls = []

    class Counting(torch.optim.SGD):
        def zero_grad(self, set_to_none: bool = True) -> None:
            calls.append(1)
            super().zero_grad(set_to_none)

    class WithCounting(ClassificationTask):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return Counting(self.parameters())

    trainer_after(tmp_path, task=WithCounting)
    assert len(calls) == 14


def test_default_run_takes_rounds(tmp_path: Path) -> None:
    assert loop.reason_for_single_steps(trainer_after(tmp_path)) == ""


class Logging(ClassificationTask):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.log("step", float(self.global_step), on_epoch=True, on_step=False)
        self.log("index", float(batch_idx), on_epoch=True, on_step=False)
        return super().training_step(batch, batch_idx)


@pytest.mark.filterwarnings("ignore:Trying to infer the `batch_size`")
def test_what_a_step_logs_is_averaged_over_rows(tmp_path: Path) -> None:
    trainer = trainer_after(tmp_path, task=Logging)
    sizes = torch.tensor([16.0] * 13 + [12.0])
    expected = (torch.arange(14) * sizes).sum() / sizes.sum()
    assert trainer.callback_metrics["step"].item() == pytest.approx(expected.item())
    assert trainer.callback_metrics["index"].item() == pytest.approx(expected.item())


def test_other_loaders_are_served_too(tmp_path: Path) -> None:
    rows = Batch(torch.randn(20, 2), torch.zeros(20, 0, dtype=torch.int64), torch.randn(20, 1))
    pieces = list(Batches(rows, 5, InOrder()))
    config = compose_config(*SLOPE, *SMALL, "callbacks=none", "logger=none")
    config["trainer"] |= {"max_epochs": 2, "enable_progress_bar": False, "enable_checkpointing": False}
    data = build.data(config)
    data.setup()
    weights = []
    quiet_libraries()
    for loader in (DataLoader(pieces, batch_size=None), Batches(rows, 5, InOrder())):
        L.seed_everything(0, verbose=False)
        task, trainer = build.task(config, data.spec), build.trainer(config, str(tmp_path))
        trainer.fit(task, loader, loader)
        assert trainer.global_step == 8
        weights.append(task.network.state_dict())
    assert same(*weights)
