"""Many optimizer steps for each round of Lightning's hooks.

What Lightning does around a step takes longer than a step of a small network: five times as long for 64 units and
batches of 32. Keras has the same remedy and calls it `steps_per_execution`.
"""

import inspect
from itertools import islice
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, Timer
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.trainer.call import _call_callback_hooks
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from litmlp.data import Batches

STEPS_A_ROUND = 64
STEP_HOOKS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    "on_before_optimizer_step",
)
TASK_HOOKS = ("backward", "optimizer_step", "optimizer_zero_grad", "lr_scheduler_step")
TRANSFER_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


class RoundsOfSteps(_TrainingEpochLoop):
    """Takes the steps of an epoch in rounds: in a plain loop, with hooks once a round.

    A step is the same as Lightning's: `training_step`, backward, clipping, the optimizer, the schedule, the counters.
    A round ends with the epoch, before a validation, and after `STEPS_A_ROUND` steps. Where a callback, the task or a
    setting wants to see single steps (`takes_rounds`), each step is Lightning's own.
    """

    in_rounds: bool | None = None

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Go on within an epoch: Lightning would not where a schedule has asked for the number of batches before."""
        self.trainer.fit_loop._load_combined_loader_states()
        super().on_run_start(data_fetcher)

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Take the steps of a round."""
        if self.in_rounds is None:
            self.in_rounds = takes_rounds(self.trainer)
        if self.in_rounds and not self.restarting and self.trainer.accumulate_grad_batches == 1:
            self._advance_by(self._steps_in_round(), data_fetcher)
        else:
            super().advance(data_fetcher)

    def _steps_in_round(self) -> int:
        trainer: Any = self.trainer
        done = self.batch_progress.current.ready
        until_validation = trainer.val_check_batch - done % trainer.val_check_batch
        steps = min(STEPS_A_ROUND, trainer.num_training_batches - done, until_validation)
        return steps if self.max_steps == -1 else min(steps, self.max_steps - self.global_step)

    def _advance_by(self, num_steps: int, data_fetcher: Any) -> None:
        trainer: Any = self.trainer
        task: Any = trainer.lightning_module
        (optimizer,) = trainer.optimizers
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs if config.interval == "step"]
        is_plain = type(trainer.precision_plugin) is Precision and trainer.strategy.model is task
        training_step = task.training_step if is_plain else trainer.strategy.training_step  # as it is, or wrapped
        progress = self.automatic_optimization.optim_progress.optimizer
        moves = trainer.strategy.root_device.type != "cpu"
        loader = data_fetcher.combined_loader._iterator
        loader._idx += num_steps
        data_fetcher.fetched += num_steps
        data_fetcher.done = self.batch_progress.is_last_batch = data_fetcher.fetched >= data_fetcher.length
        for number, batch in enumerate(islice(loader.iterators[0], num_steps)):
            if moves:
                batch = trainer.strategy.batch_to_device(batch)
            if number == 0:
                trainer._logger_connector.on_batch_start(batch)
                task._current_fx_name = "training_step"  # self.log looks for it, and for the batch
            else:
                self.batch_progress.increment_completed()
                self._batches_that_stepped += 1
                self._results.batch, self._results.batch_size = batch, None
            self.batch_progress.increment_ready()
            self.batch_progress.increment_started()
            loss = training_step(batch, self.batch_idx)
            for parameter in parameters:
                parameter.grad = None  # all that optimizer.zero_grad() does, in a tenth of the time
            loss.backward()
            if trainer.gradient_clip_val is not None:
                task.configure_gradient_clipping(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
            optimizer.step()
            progress.step.increment_by(1)  # which trainer.global_step tells
            self.batch_progress.increment_processed()
            for scheduler in schedulers:
                scheduler.step()
        task._current_fx_name = None
        progress.zero_grad.increment_by(num_steps)
        self.scheduler_progress.increment_by(num_steps * len(schedulers))
        if self._num_ready_batches_reached():
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        _call_callback_hooks(trainer, "on_train_batch_end", {"loss": loss.detach()}, batch, self.batch_idx)
        trainer._logger_connector.on_batch_end()
        self.batch_progress.increment_completed()
        trainer._logger_connector.update_train_step_metrics()


def takes_rounds(trainer: Any) -> bool:
    """Return whether nothing looks at single steps, or does something of its own in them."""
    task, data = trainer.lightning_module, trainer.datamodule
    callbacks = [callback for callback in trainer.callbacks if not _is_content(callback)]
    return (
        task.automatic_optimization
        and isinstance(trainer.train_dataloader, Batches | DataLoader)
        and isinstance(trainer.num_training_batches, int)
        and isinstance(trainer.val_check_batch, int)
        and trainer.check_val_every_n_epoch is not None
        and all(
            (config.frequency == 1 and not config.reduce_on_plateau) or config.interval == "epoch"
            for config in trainer.lr_scheduler_configs
        )
        and isinstance(trainer.profiler, PassThroughProfiler)
        and isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy)
        and _is_plain(trainer.precision_plugin)
        and all(_is_usual(optimizer) for optimizer in trainer.optimizers)
        and not any(is_overridden(hook, one) for hook in STEP_HOOKS for one in (task, *callbacks))
        and not any(is_overridden(hook, task) for hook in TASK_HOOKS)
        and not any(is_overridden(hook, one) for hook in TRANSFER_HOOKS for one in (task, data))
    )


def _is_content(callback: pl.Callback) -> bool:
    # with being called once a round
    if isinstance(callback, ModelCheckpoint):
        return callback._every_n_train_steps == 0 and callback._train_time_interval is None
    return isinstance(callback, ProgressBar | Timer) or getattr(callback, "once_a_round", False)


def _is_plain(precision: Precision) -> bool:
    return type(precision) is Precision or (isinstance(precision, MixedPrecision) and precision.scaler is None)


def _is_usual(optimizer: Optimizer) -> bool:
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    needs_closure = closure is not None and closure.default is inspect.Parameter.empty
    return not needs_closure and type(optimizer).zero_grad is Optimizer.zero_grad
