"""Many optimizer steps for each round of Lightning's hooks.

What Lightning does around a step takes longer than a step of a small network: five times as long for 64 units and
batches of 32. Keras has the same remedy and calls it `steps_per_execution`.

Lines that stand for lines of Lightning 2.6 say which, as "Lightning: _TrainingEpochLoop.advance". Whatever this loop
does not know, it leaves to Lightning's own single steps.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar, Timer, TQDMProgressBar
from lightning.pytorch.loops.fetchers import _DataFetcher, _PrefetchDataFetcher
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.trainer.call import _call_callback_hooks
from torch import Tensor
from torch.optim import LBFGS, Optimizer
from torch.utils.data import DataLoader

from litmlp.callbacks.base import Callback
from litmlp.data import Batches
from litmlp.training.optimizers import AdamW

log = logging.getLogger(__name__)

STEPS_A_ROUND = 64
STEP_HOOKS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    "on_before_optimizer_step",
)
TASK_HOOKS = ("backward", "optimizer_step", "optimizer_zero_grad", "lr_scheduler_step", "configure_gradient_clipping")
TRANSFER_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
# As they are now: what is put in their place later, as by a test's patch, counts as overridden.
OF_CALLBACK = {hook: getattr(L.Callback, hook) for hook in STEP_HOOKS}
OF_TASK = {hook: getattr(L.LightningModule, hook) for hook in (*STEP_HOOKS, *TASK_HOOKS, *TRANSFER_HOOKS)}
ZERO_GRAD = Optimizer.zero_grad
OF_DATA = {hook: getattr(L.LightningDataModule, hook) for hook in TRANSFER_HOOKS}


class RoundsOfSteps(_TrainingEpochLoop):
    """Takes the steps of an epoch in rounds: in a plain loop, with hooks once a round.

    A step is the same as Lightning's: `training_step`, backward, clipping, the optimizer, the schedule, the counters.
    A round ends with the epoch, before a validation, and after `STEPS_A_ROUND` steps; and with a step that asks to
    stop, or that logs something for each step. Where something wants to see single steps (`reason_for_single_steps`),
    each step is Lightning's own, and the log says why.
    """

    looked_at: tuple[Any, ...] = ()  # what `reason` was found for
    reason = ""  # why steps are taken one by one

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Go on within an epoch that was broken off.

        Lightning restores the loaders' states in `_FitLoop.setup_data`, but returns from it at once if a schedule has
        asked for the number of batches before.
        """
        self.trainer.fit_loop._load_combined_loader_states()
        super().on_run_start(data_fetcher)

    # Profilers know the time that batches take by the name of Lightning's class.
    def _on_before_fetch(self) -> None:
        trainer: Any = self.trainer
        trainer.profiler.start(f"[{_TrainingEpochLoop.__name__}].train_dataloader_next")

    def _on_after_fetch(self) -> None:
        trainer: Any = self.trainer
        trainer.profiler.stop(f"[{_TrainingEpochLoop.__name__}].train_dataloader_next")

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Take the steps of a round, or a single one."""
        self._look()
        is_plain = type(data_fetcher) is _PrefetchDataFetcher  # `training_step` fetches the batches of another
        if self.reason or self.restarting or self.trainer.accumulate_grad_batches > 1 or not is_plain:
            super().advance(data_fetcher)
        else:
            self._advance_by(self._steps_in_round(), data_fetcher)

    def _look(self) -> None:
        # Once for a task with its callbacks: a trainer can fit several, one after the other.
        trainer: Any = self.trainer
        parts = (trainer.lightning_module, trainer.datamodule, trainer.train_dataloader, trainer.strategy)
        now = (*parts, *trainer.optimizers, *trainer.callbacks)
        if now != self.looked_at:
            self.looked_at = now
            self._take_single_steps(reason_for_single_steps(trainer) or self._logged_in_each())

    def _take_single_steps(self, reason: str) -> None:
        self.reason = reason
        if reason:
            log.info("steps are taken one by one: %s", reason)

    def _logged_in_each(self) -> str:
        names = [metric.meta.name for metric in self._results.values() if metric.meta.on_step]
        return f"training_step logs '{names[0]}' in each" if names else ""

    def _steps_in_round(self) -> int:
        trainer: Any = self.trainer
        done = self.batch_progress.current.ready
        until_validation = trainer.val_check_batch - done % trainer.val_check_batch
        steps = min(STEPS_A_ROUND, trainer.num_training_batches - done, until_validation)
        return steps if self.max_steps == -1 else min(steps, self.max_steps - self.global_step)

    @torch.enable_grad()  # Lightning: Closure.closure
    def _advance_by(self, num_steps: int, data_fetcher: Any) -> None:
        trainer: Any = self.trainer
        task: Any = trainer.lightning_module
        (optimizer,) = trainer.optimizers
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs if config.interval == "step"]
        is_plain = type(trainer.precision_plugin) is Precision and trainer.strategy.model is task
        training_step = task.training_step if is_plain else trainer.strategy.training_step  # as it is, or wrapped
        takes_index = "batch_idx" in self._build_kwargs(OrderedDict(), None, 0)
        progress = self.automatic_optimization.optim_progress.optimizer
        connector, results, num_logged = trainer._logger_connector, self._results, len(self._results)
        moves = trainer.strategy.root_device.type != "cpu"
        loader = data_fetcher.combined_loader._iterator
        batch, num_taken, num_cleared, num_scheduled = None, 0, 0, 0
        if trainer.world_size > 1:
            self._broadcast_sigterm_tensor()  # Lightning: in each step
        try:
            for batch in islice(loader.iterators[0], num_steps):
                # Lightning: _MaxSizeCycle.__next__ and _DataFetcher.__next__
                loader._idx += 1
                data_fetcher.fetched += 1
                data_fetcher.done = self.batch_progress.is_last_batch = data_fetcher.fetched >= data_fetcher.length
                if moves and batch is not None:
                    batch = trainer.strategy.batch_to_device(batch)
                if num_taken == 0:
                    self.batch_progress.increment_ready()
                    connector.on_batch_start(batch)
                    task._current_fx_name = "training_step"  # Lightning: _call_strategy_hook; self.log looks for it
                else:
                    # The end of the step before. Lightning: advance and on_advance_end, as far as a step in which
                    # nothing is logged, drawn or validated comes to it.
                    self.batch_progress.increment_completed()
                    self._batches_that_stepped += 1
                    self.batch_progress.increment_ready()
                    connector._first_loop_iter = False  # Lightning: on_batch_start
                    results.batch, results.batch_size = batch, None
                num_taken += 1
                if batch is not None:
                    self.batch_progress.increment_started()
                    progress.step.increment_ready()  # Lightning: _AutomaticOptimization._optimizer_step
                    output = training_step(batch, self.batch_idx) if takes_index else training_step(batch)
                    more: dict[str, Any] | None = None
                    loss: Tensor | None = output
                    if type(output) is not Tensor:
                        loss, more = self._loss_of(output)
                    num_cleared += 1
                    for parameter in parameters:
                        parameter.grad = None  # all that optimizer.zero_grad() does, in a tenth of the time
                    if loss is not None:
                        loss.backward()
                    if trainer.gradient_clip_val is not None:
                        task.configure_gradient_clipping(
                            optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
                        )
                    optimizer.step()
                    progress.step.increment_completed()  # which trainer.global_step tells
                else:
                    loss, more = None, None
                    self._warning_cache.warn("the training data gave None for a batch: no step is taken for it")
                self.batch_progress.increment_processed()
                for scheduler in schedulers:
                    scheduler.step()  # Lightning: lr_scheduler_step
                    num_scheduled += 1
                stops = trainer.should_stop and trainer.fit_loop._can_stop_early  # not before min_epochs
                if len(results) > num_logged or stops or trainer.received_sigterm:
                    break
        finally:
            task._current_fx_name = None
            progress.zero_grad.increment_by(num_cleared)
            self.scheduler_progress.increment_by(num_scheduled)
        if num_taken == 0:
            raise StopIteration  # fewer batches came than the loader has promised
        if len(results) > num_logged:
            self._take_single_steps(self._logged_in_each())
        # Lightning: the end of advance
        if self._num_ready_batches_reached():
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        outputs = more if loss is None or more is not None else {"loss": loss.detach()}
        _call_callback_hooks(trainer, "on_train_batch_end", outputs, batch, self.batch_idx)
        connector.on_batch_end()
        self.batch_progress.increment_completed()
        connector.update_train_step_metrics()

    def _loss_of(self, output: Any) -> tuple[Tensor | None, dict[str, Any]]:
        # Of a dict with the loss and more, or of None: the batch is skipped. Lightning refuses what is neither.
        if output is None and self.trainer.world_size > 1:
            raise RuntimeError(  # begins as Lightning's error does, so that it is found
                "Skipping the `training_step` by returning None in distributed training is not supported: the other "
                "processes would wait for the gradients of this one"
            )
        result = self.automatic_optimization.output_result_cls.from_training_step_output(output)
        if result.closure_loss is None:
            self._warning_cache.warn("training_step returned None: no step is taken for such a batch")
            return None, {}
        return result.closure_loss, result.asdict()


def reason_for_single_steps(trainer: Any) -> str:
    """Return what looks at single steps, or does something of its own in them; empty if nothing does."""
    return next(_reasons(trainer), "")


def _reasons(trainer: Any) -> Iterator[str]:
    task, data, strategy = trainer.lightning_module, trainer.datamodule, trainer.strategy
    if not task.automatic_optimization:
        yield f"{_name(task)} takes the optimizer's steps itself"
    if not isinstance(trainer.train_dataloader, Batches | DataLoader):
        yield f"batches come from {_name(trainer.train_dataloader)}"
    if not isinstance(trainer.num_training_batches, int):
        yield "nobody knows how many batches there are"
    if not isinstance(trainer.val_check_batch, int) or trainer.check_val_every_n_epoch is None:
        yield "when to validate does not follow from the epoch"
    for config in trainer.lr_scheduler_configs:
        if config.interval == "step" and (config.frequency != 1 or config.reduce_on_plateau):
            yield f"{_name(config.scheduler)} looks at each, or at some"
    if type(trainer.profiler) is not PassThroughProfiler:
        yield f"{_name(trainer.profiler)} measures each"
    if type(strategy) not in (SingleDeviceStrategy, DDPStrategy) or getattr(strategy, "_model_averager", None):
        yield f"{_name(strategy)} may do more in each"
    precision = trainer.precision_plugin
    if type(precision) not in (Precision, MixedPrecision) or getattr(precision, "scaler", None):
        yield f"{_name(precision)} scales each"
    for optimizer in trainer.optimizers:
        if not _is_usual(optimizer):
            yield f"{_name(optimizer)} may do more in each"
    for callback in trainer.callbacks:
        if not _is_content(callback) and _overrides(callback, OF_CALLBACK):
            yield f"{_name(callback)} looks at each"
    for one, originals in ((task, OF_TASK), (data, OF_DATA)):
        if hook := _overrides(one, originals):
            yield f"{_name(one)} has a {hook} of its own"


def _overrides(one: Any, originals: dict[str, Any]) -> str:
    """Return the first hook that is not the original one, of an object's class or of itself; empty if all are."""
    if one is None:
        return ""
    changed = (hook for hook, original in originals.items() if getattr(type(one), hook, None) is not original)
    own = (hook for hook in originals if hook in vars(one))
    return next(changed, "") or next(own, "")


def _is_content(callback: L.Callback) -> bool:
    """Tell whether once a round is often enough for a callback."""
    if type(callback) is ModelCheckpoint:
        return callback._every_n_train_steps == 0 and callback._train_time_interval is None
    if isinstance(callback, Callback):
        return callback.once_a_round
    return type(callback) in (Timer, TQDMProgressBar, RichProgressBar)


def _is_usual(optimizer: Any) -> bool:
    # One of torch's or ours, which do nothing with a closure but call it once; others may call it again.
    where = type(optimizer).__module__
    is_known = where.startswith("torch.optim.") or where == AdamW.__module__
    clears_as_usual = type(optimizer).zero_grad is ZERO_GRAD and "zero_grad" not in vars(optimizer)
    return is_known and clears_as_usual and not isinstance(optimizer, LBFGS)


def _name(one: Any) -> str:
    return type(one).__name__
