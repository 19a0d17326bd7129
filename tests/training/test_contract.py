"""What a task, a callback, a loader or a setting may do with Lightning, it may do with rounds of steps.

Each case trains twice, with Lightning's own loop and with rounds: weights, what was logged when, what each step and
hook saw, and all of Lightning's counters must be the same.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, GradientAccumulationScheduler, LearningRateMonitor
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from litmlp import callbacks
from litmlp.training import loop
from litmlp.training.loop import RoundsOfSteps

NUM_BATCHES, EPOCHS = 11, 3
ROWS = torch.randn(4 * NUM_BATCHES, 3, generator=torch.Generator().manual_seed(1))


class Records(Logger):
    """Keeps what is logged."""

    name = version = "records"

    def __init__(self) -> None:
        self.values: list[tuple[dict[str, float], int | None]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.values.append((dict(metrics), step))

    def log_hyperparams(self, *arguments: Any, **named: Any) -> None:
        pass


class Plain(L.LightningModule):
    """A task as any, which notes what its steps can see."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        self.seen: list[tuple[Any, ...]] = []

    def loss(self, batch: Tensor) -> Tensor:
        trainer = self.trainer
        fit = trainer.fit_loop
        self.seen.append(
            (
                *(trainer.global_step, trainer.current_epoch, trainer.is_last_batch, fit.batch_idx),
                *(fit.total_batch_idx, trainer.optimizers[0].param_groups[0]["lr"], torch.is_grad_enabled()),
                *(fit.epoch_loop.batch_progress.current.completed, fit.epoch_loop._batches_that_stepped),
            )
        )
        return (self.network(batch) - batch.sum(dim=1, keepdim=True)).square().mean()

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return self.loss(batch)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", (self.network(batch) - batch.sum(dim=1, keepdim=True)).square().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.9), "interval": "step"}]


class ReturnsMore(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return {"loss": self.loss(batch), "index": batch_idx, "rows": batch.mean(dim=0)}


class SkipsSome(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return None if batch_idx % 3 == 1 else self.loss(batch)


class TakesNoIndex(Plain):
    def training_step(self, batch: Tensor) -> Any:
        return self.loss(batch)


class TakesAnyArguments(Plain):
    def training_step(self, *arguments: Any) -> Any:
        return self.loss(arguments[0]) * len(arguments)


class TakesTheIterator(Plain):
    def training_step(self, dataloader_iter: Iterator[Any]) -> Any:
        batch, _, _ = next(dataloader_iter)
        return self.loss(batch)


class LogsEachStep(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss


class LogsForTheEpoch(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log_dict({"train/loss": loss, "index": float(batch_idx)}, on_step=False, on_epoch=True)
        return loss


class LogsNowAndThen(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = self.loss(batch)
        if self.trainer.global_step % 5 == 3:
            self.log("now and then", loss)
        self.log("both", loss, on_epoch=True, on_step=batch_idx >= 0)
        return loss


class LogsLate(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if self.trainer.global_step >= 15:
            self.log("late", float(batch_idx))
        return self.loss(batch)


class StopsWithin(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if self.trainer.global_step == 14:
            self.trainer.should_stop = True
        return self.loss(batch)


class StopsManually(Plain):
    automatic_optimization = False

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()


class Fails(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if self.trainer.global_step == 16:
            raise RuntimeError("as asked")
        return self.loss(batch)


class ReturnsNothingUseful(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return "a text" if self.trainer.global_step == 4 else self.loss(batch)


class ReturnsNoLoss(Plain):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return {"los": self.loss(batch)}


class EpochSchedule(Plain):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


class SlowSchedule(Plain):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        schedule = {"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5), "interval": "step", "frequency": 3}
        return [optimizer], [schedule]


class CallsTwice(Plain):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


class WithoutOptimizer(Plain):
    def loss(self, batch: Tensor) -> Tensor:
        return self.network(batch).mean()

    def configure_optimizers(self) -> None:
        return None


class Clips(Plain):
    def configure_gradient_clipping(self, optimizer: Any, *arguments: Any, **named: Any) -> None:
        self.clip_gradients(optimizer, gradient_clip_val=0.02)


def hooked(base: type, hook: str) -> Callable[[], Any]:
    """A subclass that notes each call of a hook, and then does what it did."""

    def noted(self: Any, *arguments: Any, **named: Any) -> Any:
        self.seen.append((hook, len(arguments), sorted(named)))
        return getattr(base, hook)(self, *arguments, **named)

    return type(f"With_{hook}", (base,), {hook: noted})


class Watches(callbacks.Callback):
    """Notes what it is given at the end of each epoch and validation, and at exceptions."""

    once_a_round = True

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seen.append((trainer.global_step, {k: float(v) for k, v in trainer.callback_metrics.items()}))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seen.append(("validated", trainer.global_step, trainer.fit_loop.batch_idx))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.seen.append((type(exception).__name__, str(exception)))


class SeesOutputs(Callback):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append((batch_idx, sorted(outputs), float(outputs.get("loss", 0))))


class SkipsTheRest(Callback):
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> int | None:
        return -1 if batch_idx == 4 else None


class PromisesMore(DataLoader):
    def __len__(self) -> int:
        return super().__len__() + 3


class SomeNone(DataLoader):
    def __iter__(self) -> Any:
        return (None if index % 4 == 2 else batch for index, batch in enumerate(super().__iter__()))


TASKS = [
    *(ReturnsMore, SkipsSome, TakesNoIndex, TakesAnyArguments, TakesTheIterator, LogsEachStep, LogsForTheEpoch),
    *(LogsNowAndThen, LogsLate, StopsWithin, StopsManually, Fails, ReturnsNothingUseful, ReturnsNoLoss),
    *(EpochSchedule, SlowSchedule, CallsTwice, WithoutOptimizer, Clips),
]
SETTINGS: list[dict[str, Any]] = [
    {},
    *({"accumulate_grad_batches": 3}, {"gradient_clip_val": 0.05}, {"val_check_interval": 4}, {"max_steps": 17}),
    *({"limit_train_batches": 5}, {"overfit_batches": 2}, {"check_val_every_n_epoch": 2}, {"min_epochs": 3}),
    *({"log_every_n_steps": 4}, {"fast_dev_run": 2}, {"val_check_interval": 7, "check_val_every_n_epoch": None}),
    *({"num_sanity_val_steps": 1}, {"reload_dataloaders_every_n_epochs": 1}, {"barebones": True}, {"precision": 64}),
]
HOOKS = [*loop.STEP_HOOKS, *loop.TASK_HOOKS, *loop.TRANSFER_HOOKS]


def outcome(
    in_rounds: bool, task: Callable[[], Any] = Plain, more: Any = list, loader: Any = DataLoader, **settings: Any
) -> dict[str, Any]:
    """Train, and return all that must not depend on the loop."""
    torch.manual_seed(0)
    records, watches, module = Records(), Watches(), task()
    added = more()
    is_bare = settings.get("barebones", False)
    given: dict[str, Any] = {"max_epochs": EPOCHS, "accelerator": "cpu", **settings}
    if not is_bare:
        quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
        given = {"num_sanity_val_steps": 0, "log_every_n_steps": 1, "logger": records, **quiet, **given}
    trainer: Any = L.Trainer(callbacks=[watches, *added], **given)
    if in_rounds:
        trainer.fit_loop.epoch_loop = RoundsOfSteps(trainer, trainer.min_steps, trainer.max_steps)
    error = None
    try:
        trainer.fit(module, loader(ROWS, batch_size=4), DataLoader(ROWS, batch_size=22))
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    seen = [one.seen for one in (module, watches, *added) if hasattr(one, "seen")]
    metrics = {name: float(value) for name, value in trainer.logged_metrics.items()}
    state = {"loops": trainer.fit_loop.state_dict(), "weights": [p.tolist() for p in module.parameters()]}
    return {"error": error, "seen": seen, "logged": records.values, "last": metrics, **state}


@pytest.fixture(autouse=True)
def _short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STEPS_A_ROUND", 4)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


def check(*names: str, **case: Any) -> None:
    expected, found = outcome(False, **case), outcome(True, **case)
    for name in names or expected:
        assert found[name] == expected[name], name


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(does not have many workers|isinstance|returned `?None|overridden|overfit)"),
    pytest.mark.filterwarnings("ignore:.*(Trying to infer the|with no optimizer|gave None|yielded None|Trainer was)"),
    pytest.mark.filterwarnings("ignore:.*(exceeds the length|You have turned on|dataloader_iter|Length of)"),
    pytest.mark.filterwarnings("ignore:.*(number of training batches|barebones|Precision 64|supported for historical)"),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_what_a_task_may_do(task: type) -> None:
    check(task=task)


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_of_a_task(hook: str) -> None:
    check(task=hooked(Plain, hook))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("task", [Plain, SkipsSome, LogsNowAndThen, EpochSchedule], ids=lambda task: task.__name__)
def test_what_a_setting_may_do(settings: dict[str, Any], task: type) -> None:
    check(task=task, **settings)


@pytest.mark.parametrize(
    "more",
    [
        *(lambda: [SeesOutputs()], lambda: [SkipsTheRest()], lambda: [LearningRateMonitor("step")]),
        *(lambda: [GradientAccumulationScheduler({1: 2})], lambda: [EarlyStopping("val/loss", patience=0)]),
    ],
    ids=["sees outputs", "skips the rest", "learning rate", "accumulates later", "stops early"],
)
@pytest.mark.parametrize("task", [ReturnsMore, SkipsSome], ids=lambda task: task.__name__)
def test_what_a_callback_may_do(more: Any, task: type) -> None:
    check(task=task, more=more)


@pytest.mark.parametrize("loader", [PromisesMore, SomeNone], ids=lambda loader: loader.__name__)
def test_what_a_loader_may_do(loader: type) -> None:
    check(loader=loader)


def test_the_log_says_why_steps_are_single(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=loop.__name__)
    reasons = {
        "With_on_after_backward overrides on_after_backward": {"task": hooked(Plain, "on_after_backward")},
        "SeesOutputs has a hook for each step": {"more": lambda: [SeesOutputs()]},
        "training_step logs 'train/loss' at each step": {"task": LogsEachStep},
        "StopsManually takes the optimizer's steps itself": {"task": StopsManually},
        "LBFGS may do more in each step": {"task": CallsTwice},
        "StepLR skips some steps, or needs a metric at each step": {"task": SlowSchedule},
    }
    for reason, case in reasons.items():
        caplog.clear()
        outcome(True, **case)
        assert caplog.messages == [f"steps are taken one by one: {reason}"]
    caplog.clear()
    for task in (Plain, ReturnsMore, SkipsSome, TakesNoIndex, LogsForTheEpoch, EpochSchedule):
        outcome(True, task=task)
    assert caplog.messages == []
