"""An epoch loop that takes many optimizer steps for each call of Lightning's hooks.

Lightning's work around a step takes longer than the step of a small network: five times as long for 64 units and
batches of 32. Keras solves the same problem with `steps_per_execution`.

Comments such as "Lightning: _TrainingEpochLoop.advance" name the code of Lightning 2.6 that a line stands for. This
loop handles only the cases that it knows to be plain. In all others, Lightning takes the steps itself, one by one.
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
# The original methods, stored at import: one that is replaced later (by a test's patch, for example) counts as
# overridden.
CALLBACK_ORIGINALS = {hook: getattr(L.Callback, hook) for hook in STEP_HOOKS}
TASK_ORIGINALS = {hook: getattr(L.LightningModule, hook) for hook in (*STEP_HOOKS, *TASK_HOOKS, *TRANSFER_HOOKS)}
DATA_ORIGINALS = {hook: getattr(L.LightningDataModule, hook) for hook in TRANSFER_HOOKS}
ZERO_GRAD = Optimizer.zero_grad


class RoundsOfSteps(_TrainingEpochLoop):
    """Takes the steps of an epoch in rounds. A round is a plain loop over steps, and calls hooks once.

    A step does the same as Lightning's: `training_step`, backward, clipping, optimizer, schedule, counters. A round
    ends after `STEPS_A_ROUND` steps, at the end of the epoch and before a validation. It also ends after a step that
    asks to stop, or that logs something new. Where something needs single steps (see `reason_for_single_steps`),
    Lightning takes each step itself, and a log message gives the reason.
    """

    inspected: tuple[Any, ...] = ()  # the task, data, callbacks, ... for which `reason` was determined
    reason = ""  # why steps are taken one by one; empty if they are taken in rounds

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Restore the loaders' states, so that an interrupted epoch continues where its checkpoint was written.

        Lightning does so in `_FitLoop.setup_data`. But that returns early if the loader exists already, as it does when
        a schedule has asked for the number of batches before the checkpoint was loaded.
        """
        self.trainer.fit_loop._load_combined_loader_states()
        super().on_run_start(data_fetcher)

    # Lightning names these profiler entries after the loop's class: keep the names that its own loop gives them.
    def _on_before_fetch(self) -> None:
        trainer: Any = self.trainer
        trainer.profiler.start(f"[{_TrainingEpochLoop.__name__}].train_dataloader_next")

    def _on_after_fetch(self) -> None:
        trainer: Any = self.trainer
        trainer.profiler.stop(f"[{_TrainingEpochLoop.__name__}].train_dataloader_next")

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Take the steps of a round, or let Lightning take a single one.

        Lightning takes the first step after a restart: `_TrainingEpochLoop.advance` then also decides whether to finish
        or skip a validation. Lightning takes all steps while gradients accumulate. That can begin at a later epoch, so
        it is checked here each time.
        """
        self._update_reason()
        is_plain = type(data_fetcher) is _PrefetchDataFetcher  # with another fetcher, `training_step` fetches batches
        if self.reason or self.restarting or self.trainer.accumulate_grad_batches > 1 or not is_plain:
            super().advance(data_fetcher)
        else:
            self._advance_by(self._steps_in_round(), data_fetcher)

    def _update_reason(self) -> None:
        # Determined once for a task with its data and callbacks, but a trainer can fit several, one after the other.
        trainer: Any = self.trainer
        parts = (trainer.lightning_module, trainer.datamodule, trainer.train_dataloader, trainer.strategy)
        parts += (*trainer.optimizers, *trainer.callbacks)
        if parts != self.inspected:
            self.inspected = parts
            self._take_single_steps(reason_for_single_steps(trainer) or self._logged_at_each_step())

    def _take_single_steps(self, reason: str) -> None:
        self.reason = reason
        if reason:
            log.info("steps are taken one by one: %s", reason)

    def _logged_at_each_step(self) -> str:
        names = [metric.meta.name for metric in self._results.values() if metric.meta.on_step]
        return f"training_step logs '{names[0]}' at each step" if names else ""

    def _steps_in_round(self) -> int:
        trainer: Any = self.trainer
        done = self.batch_progress.current.ready
        until_validation = trainer.val_check_batch - done % trainer.val_check_batch  # Lightning: _should_check_val_fx
        steps = min(STEPS_A_ROUND, trainer.num_training_batches - done, until_validation)
        return steps if self.max_steps == -1 else min(steps, self.max_steps - self.global_step)

    @torch.enable_grad()  # Lightning: Closure.closure
    def _advance_by(self, num_steps: int, data_fetcher: Any) -> None:
        trainer: Any = self.trainer
        task: Any = trainer.lightning_module
        (optimizer,) = trainer.optimizers
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs if config.interval == "step"]
        # Plain precision and an unwrapped task: `Strategy.training_step` would only call the task's method.
        is_plain = type(trainer.precision_plugin) is Precision and trainer.strategy.model is task
        training_step = task.training_step if is_plain else trainer.strategy.training_step
        takes_index = "batch_idx" in self._build_kwargs(OrderedDict(), None, 0)
        progress = self.automatic_optimization.optim_progress.optimizer
        connector, results, num_logged = trainer._logger_connector, self._results, len(self._results)
        must_move = trainer.strategy.root_device.type != "cpu"
        iterator = data_fetcher.combined_loader._iterator  # _MaxSizeCycle of a single loader, as `_reasons` ensures
        batch, num_taken, num_cleared, num_scheduled = None, 0, 0, 0
        if trainer.world_size > 1:
            self._broadcast_sigterm_tensor()  # Lightning: advance, where it is called in each step
        try:
            for batch in islice(iterator.iterators[0], num_steps):
                # Lightning: _MaxSizeCycle.__next__, _DataFetcher.__next__, then advance
                iterator._idx += 1
                data_fetcher.fetched += 1
                data_fetcher.done = self.batch_progress.is_last_batch = data_fetcher.fetched >= data_fetcher.length
                if must_move and batch is not None:
                    batch = trainer.strategy.batch_to_device(batch)
                if num_taken == 0:
                    self.batch_progress.increment_ready()
                    connector.on_batch_start(batch)
                    task._current_fx_name = "training_step"  # Lightning: _call_strategy_hook; `self.log` reads it
                else:
                    # The end of the previous step. Lightning: the end of advance, and on_advance_end. The rest of both
                    # has nothing to do after a step that logs nothing, calls no hook and precedes no validation.
                    self.batch_progress.increment_completed()
                    self._batches_that_stepped += 1
                    # The start of this step. Lightning: advance, and _LoggerConnector.on_batch_start
                    self.batch_progress.increment_ready()
                    connector._first_loop_iter = False
                    results.batch, results.batch_size = batch, None
                num_taken += 1
                if batch is not None:
                    self.batch_progress.increment_started()
                    progress.step.increment_ready()  # Lightning: _AutomaticOptimization._optimizer_step
                    # Lightning: Closure.closure, with the same order: step, zero_grad, backward
                    output = training_step(batch, self.batch_idx) if takes_index else training_step(batch)
                    output_dict: dict[str, Any] | None = None
                    loss: Tensor | None = output
                    if type(output) is not Tensor:
                        loss, output_dict = self._loss_of(output)
                    num_cleared += 1
                    for parameter in parameters:
                        parameter.grad = None  # all that optimizer.zero_grad() does, in a tenth of the time
                    if loss is not None:
                        loss.backward()
                    if trainer.gradient_clip_val is not None:  # Lightning: Precision._after_closure
                        task.configure_gradient_clipping(
                            optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
                        )
                    optimizer.step()  # also without a loss, as Lightning does: parameters without a gradient stay
                    progress.step.increment_completed()  # trainer.global_step is this counter
                else:
                    loss, output_dict = None, None
                    self._warning_cache.warn("the training data gave None for a batch: no step is taken for it")
                self.batch_progress.increment_processed()
                for scheduler in schedulers:
                    scheduler.step()  # Lightning: _update_learning_rates, which calls lr_scheduler_step
                    num_scheduled += 1
                stops = trainer.should_stop and trainer.fit_loop._can_stop_early  # Lightning: done; after min_epochs
                # More results: this step logged something new. After a SIGTERM, on_advance_end raises.
                if len(results) > num_logged or stops or trainer.received_sigterm:
                    break
        finally:
            # Nothing reads these two counters within a round. They are also updated if a step raises, as in Lightning.
            task._current_fx_name = None
            progress.zero_grad.increment_by(num_cleared)
            self.scheduler_progress.increment_by(num_scheduled)
        if num_taken == 0:
            raise StopIteration  # the loader gave fewer batches than its length; the epoch ends
        if len(results) > num_logged:
            self._take_single_steps(self._logged_at_each_step())
        # The end of the last step. Lightning: the end of advance; _TrainingEpochLoop.run then calls on_advance_end
        if self._num_ready_batches_reached():
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        # Lightning gives hooks a dict with the loss, an empty one if training_step returned None, None for no batch.
        outputs = output_dict if loss is None or output_dict is not None else {"loss": loss.detach()}
        _call_callback_hooks(trainer, "on_train_batch_end", outputs, batch, self.batch_idx)
        connector.on_batch_end()
        self.batch_progress.increment_completed()
        connector.update_train_step_metrics()

    def _loss_of(self, output: Any) -> tuple[Tensor | None, dict[str, Any]]:
        # `output` is no plain tensor: it is a dict with the loss and more, or None, which skips the batch. Lightning
        # refuses any other type.
        if output is None and self.trainer.world_size > 1:
            raise RuntimeError(  # begins like Lightning's message, so that a search for that one finds help
                "Skipping the `training_step` by returning None in distributed training is not supported: the other "
                "processes would wait for the gradients of this one"
            )
        result = self.automatic_optimization.output_result_cls.from_training_step_output(output)
        if result.closure_loss is None:
            self._warning_cache.warn("training_step returned None: no step is taken for such a batch")
            return None, {}
        return result.closure_loss, result.asdict()


def reason_for_single_steps(trainer: Any, precisions: tuple[type, ...] = (Precision, MixedPrecision)) -> str:
    """Return the first reason why Lightning has to take each step itself; empty if there is none.

    Args:
        trainer: that fits a task.
        precisions: classes of plugins that need no step of Lightning's.
    """
    return next(_reasons(trainer, precisions), "")


def _reasons(trainer: Any, precisions: tuple[type, ...]) -> Iterator[str]:
    task, data, strategy = trainer.lightning_module, trainer.datamodule, trainer.strategy
    if not task.automatic_optimization:
        yield f"{_name(task)} takes the optimizer's steps itself"
    if not isinstance(trainer.train_dataloader, Batches | DataLoader):
        yield f"batches come from {_name(trainer.train_dataloader)}"
    if not isinstance(trainer.num_training_batches, int):
        yield "the number of batches is unknown"
    if not isinstance(trainer.val_check_batch, int) or trainer.check_val_every_n_epoch is None:
        yield "the time of a validation does not depend on the batches of an epoch alone"
    for config in trainer.lr_scheduler_configs:
        if config.interval == "step" and (config.frequency != 1 or config.reduce_on_plateau):
            yield f"{_name(config.scheduler)} skips some steps, or needs a metric at each step"
    if type(trainer.profiler) is not PassThroughProfiler:
        yield f"{_name(trainer.profiler)} measures each step"
    if type(strategy) not in (SingleDeviceStrategy, DDPStrategy) or getattr(strategy, "_model_averager", None):
        yield f"{_name(strategy)} may do more in each step"
    precision = trainer.precision_plugin
    if type(precision) not in precisions or getattr(precision, "scaler", None):
        yield f"{_name(precision)} may do more in each step"
    for optimizer in trainer.optimizers:
        if not _is_plain_optimizer(optimizer):
            yield f"{_name(optimizer)} may do more in each step"
    for callback in trainer.callbacks:
        if not _accepts_rounds(callback) and _overridden(callback, CALLBACK_ORIGINALS):
            yield f"{_name(callback)} has a hook for each step"
    for owner, originals in ((task, TASK_ORIGINALS), (data, DATA_ORIGINALS)):
        if hook := _overridden(owner, originals):
            yield f"{_name(owner)} overrides {hook}"


def _overridden(owner: Any, originals: dict[str, Any]) -> str:
    """Return the first hook that differs from the original in the owner's class or in itself; empty if none does."""
    if owner is None:
        return ""
    of_class = (hook for hook, original in originals.items() if getattr(type(owner), hook, None) is not original)
    of_instance = (hook for hook in originals if hook in vars(owner))
    return next(of_class, "") or next(of_instance, "")


def _accepts_rounds(callback: L.Callback) -> bool:
    """Tell whether it suffices to call a callback's hooks once a round."""
    if type(callback) is ModelCheckpoint:
        return callback._every_n_train_steps == 0 and callback._train_time_interval is None
    if isinstance(callback, Callback):
        return callback.once_a_round
    return type(callback) in (Timer, TQDMProgressBar, RichProgressBar)


def _is_plain_optimizer(optimizer: Any) -> bool:
    # torch's optimizers (except LBFGS) and ours call a closure once, before anything else. A round passes no closure.
    # An unknown optimizer may call it several times.
    module = type(optimizer).__module__
    is_known = module.startswith("torch.optim.") or module == AdamW.__module__
    has_original_zero_grad = type(optimizer).zero_grad is ZERO_GRAD and "zero_grad" not in vars(optimizer)
    return is_known and has_original_zero_grad and not isinstance(optimizer, LBFGS)


def _name(instance: Any) -> str:
    return type(instance).__name__
