"""One of the runs that are trained together: Lightning's loop over epochs, without its loop over steps."""

import logging
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any, NamedTuple

import lightning.pytorch as L
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, Timer
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.plugins.precision import DoublePrecision, Precision
from lightning.pytorch.trainer.states import RunningStage
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from litmlp.data import Batches
from litmlp.networks.hidden import evaluating
from litmlp.populations.baton import Baton, own, park
from litmlp.populations.likeness import is_fixed
from litmlp.populations.optimizer import is_linear
from litmlp.populations.watch import Watch
from litmlp.tasks import Task
from litmlp.tasks.task import Known
from litmlp.training.compat import has_step_hooks
from litmlp.training.loop import reason_for_single_steps

log = logging.getLogger(__name__)

TASK_HOOKS = (
    "validation_step",
    "on_validation_epoch_start",
    "on_validation_start",
    "on_validation_end",
    "on_train_epoch_start",
    "log_stage",
    "step",
)
OF_TRAINER = (
    *("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "limit_val_batches"),
    *("num_training_batches", "val_check_batch", "max_steps"),
)
STATE = "optimizer.state"
VALIDATION_HOOKS = ("on_validation_batch_start", "on_validation_batch_end")


class MemberLoop(_FitLoop):
    """Calls the hooks of each epoch; a population takes the steps of all members.

    An epoch that was interrupted is finished by Lightning's own loop, and so is a run that has to train alone.

    Args:
        trainer: of the run.
        config: of the run.

    Attributes:
        side_by_side: the number of runs that share the time of the process.
    """

    side_by_side = 1

    def __init__(self, trainer: Any, config: Mapping[str, Any]) -> None:
        super().__init__(trainer, trainer.min_epochs, trainer.max_epochs)
        self.config = config

    def run(self) -> None:
        """Train until the run is done."""
        self.setup_data()
        if self.skip:
            return
        member = None
        reason = reason_alone(self.trainer)
        if reason:
            current().share()
        else:
            park(member := Member(self))
            reason = member.reason_alone
        if member is None or reason:
            log.info("this run is trained alone: %s", reason)
            super().run()
            return
        self.reset()
        self.on_run_start()
        changed = ""
        while not self.done:
            is_plain = not (changed or self.restarting or self.epoch_loop.restarting)
            if is_plain:
                member.begin_epoch()
                changed = member.changed()
                if not changed:
                    member.wait_for_steps()
                    member.end_epoch()
                    continue
                log.info(
                    "from epoch %d on, this run is trained alone: %s has changed", self.trainer.current_epoch, changed
                )
                member.leave()
            try:
                if not is_plain:
                    self.on_advance_start()
                self.advance()
                self.on_advance_end()
            finally:
                self.on_iteration_done()
        self._restarting = False
        self.on_run_end()


def current() -> Baton:
    """Return the baton of the run that calls this."""
    baton = own()
    assert baton is not None
    return baton


def reason_alone(trainer: Any) -> str:
    """Return why the steps of a run cannot be taken together with those of others; empty if they can."""
    return next(_reasons(trainer), "")


def _reasons(trainer: Any) -> Iterator[str]:
    task = trainer.lightning_module
    if reason := reason_for_single_steps(trainer, (Precision, DoublePrecision)):
        yield reason
    if not isinstance(task, Task):
        yield f"{type(task).__name__} is no Task"
    for hook in TASK_HOOKS:
        if getattr(type(task), hook) is not getattr(Task, hook):
            yield f"{type(task).__name__} overrides {hook}"
    for hook in VALIDATION_HOOKS:
        for callback in trainer.callbacks:
            if getattr(type(callback), hook) is not getattr(L.Callback, hook):
                yield f"{type(callback).__name__} has a hook for each batch of validation"
    if not isinstance(trainer.train_dataloader, Batches) or trainer.world_size > 1:
        yield "its batches come from another loader"
    elif trainer.num_training_batches != len(trainer.train_dataloader) or trainer.accumulate_grad_batches > 1:
        yield "an epoch does not take a step for each batch"
    if trainer.val_check_batch != trainer.num_training_batches or trainer.max_steps != -1:
        yield "it validates or ends within an epoch"
    if isinstance(trainer.limit_val_batches, int) or 0 < trainer.limit_val_batches < 1:
        yield "it does not validate with all rows"
    for config in trainer.lr_scheduler_configs:
        if config.interval == "step" and type(config.scheduler).__module__ != LambdaLR.__module__:
            yield f"{type(config.scheduler).__name__} may change more than the learning rate"
    if has_step_hooks(trainer.optimizers[0]):
        yield f"{type(trainer.optimizers[0]).__name__} has hooks for its steps"
    if trainer.strategy.root_device.type != "cpu":
        yield "it is on an accelerator"
    if not is_linear(trainer.optimizers[0]):
        yield f"steps of {type(trainer.optimizers[0]).__name__} are not proportional to the learning rate"


class Plan(NamedTuple):
    """What the schedules of a run do in an epoch.

    Attributes:
        rates: the learning rate of each group of parameters, for each step.
        settings: for each step and group, other settings that a schedule changes, such as momentum; empty if none does.
    """

    rates: list[list[float]]
    settings: list[list[dict[str, Any]]]


class Member:
    """A run that waits for a population to take the steps of its epoch.

    Attributes:
        config: of the run.
        trainer, task, data, optimizer: of the run.
        num_steps: of an epoch.
        has_begun: whether it waits for the steps of an epoch that has begun, not for others to train with.
        reason_alone: why the run has to train alone; the population sets it while the run has not begun.
        watch: of what must not change while a population takes the steps; `of_trainer` is what the trainer has of it.
        parameters: that are trained, in the order in which the population has them.
        outputs: of the training rows, in the order of the steps; with their targets and weights.
        val_outputs: of the validation rows.
        known: what the population has computed from both, by stage.
        loss: of the last step.
    """

    parameters: list[nn.Parameter]
    watch: Watch
    of_trainer: dict[str, Any]
    outputs: list[Tensor]
    val_outputs: list[Tensor]
    known: dict[str, Known]
    loss: Tensor

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.trainer: Any = loop.trainer
        self.config = loop.config
        self.baton = current()
        self.task: Any = self.trainer.lightning_module
        self.data: Any = self.trainer.datamodule
        self.optimizer: Any = self.trainer.optimizers[0]
        configs = self.trainer.lr_scheduler_configs
        self.schedulers: list[Any] = [c.scheduler for c in configs if c.interval == "step"]
        self.has_epoch_schedulers = len(self.schedulers) < len(configs)
        self.hooks: dict[str, list[Any]] = {}
        self.num_steps = int(self.trainer.num_training_batches)
        self.has_begun = False
        self.reason_alone = ""
        self.was_said = False

    def begin_to_watch(self) -> None:
        """Remember all that the steps of a population take for granted; hooks may change it between epochs."""
        self.watch, self.of_trainer = Watch(numbers=False), self._of_trainer()
        self.watch.modules(self.task, is_fixed)
        planned = {"lr"} if self.has_plain_rates() else {"lr", "betas", "momentum"}
        for number, group in enumerate(self.optimizer.param_groups):
            self.watch.container(f"optimizer.param_groups.{number}", group, lambda key: key not in planned)

    def expect_state(self) -> None:
        """Let the optimizer have an empty state for each parameter, so that it is seen when a hook clears them."""
        if not self.optimizer.state:
            for group in self.optimizer.param_groups:
                self.optimizer.state.update({parameter: {} for parameter in group["params"]})
            self.of_trainer[STATE] = self._of_trainer()[STATE]

    def _of_trainer(self) -> dict[str, Any]:
        trainer = self.trainer
        return {
            "trainer.optimizers": [id(optimizer) for optimizer in trainer.optimizers],
            "trainer.lr_scheduler_configs": [id(config.scheduler) for config in trainer.lr_scheduler_configs],
            **{f"trainer.{key}": getattr(trainer, key) for key in OF_TRAINER},
            "optimizer.param_groups": [id(group) for group in self.optimizer.param_groups],
            STATE: (id(self.optimizer.state), len(self.optimizer.state)),
        }

    def changed(self) -> str:
        """Return the name of something that has changed since the population was made; empty if nothing has."""
        if (now := self._of_trainer()) != self.of_trainer:
            return next(key for key, value in now.items() if self.of_trainer[key] != value)
        return self.watch.changed()

    def leave(self) -> None:
        """Take from the population what it has of this run, which goes on alone."""
        if self._of_trainer()[STATE] == self.of_trainer[STATE]:  # else a hook has put another one in its place
            self.optimizer.consolidate_state_dict()
        del self.optimizer.consolidate_state_dict
        for parameter in self.task.parameters():
            parameter.data = parameter.data.clone()

    def order(self) -> Tensor:
        """Return the training rows in the order of the epoch, `[N]`."""
        order: Tensor = self.loader.sampler.indices(len(self.data.tables["train"].numeric))
        return order

    def wait_for_steps(self) -> None:
        """Park until the population has taken the steps of the epoch.

        Lightning's timer then counts only the time that was taken for this run.
        """
        parked, used = perf_counter(), self.baton.clock()
        park(self)
        others = perf_counter() - parked - (self.baton.clock() - used)
        if not self.was_said:
            self.was_said = True
            log.info("steps are taken together with those of %d other runs", self.loop.side_by_side - 1)
        for callback in self.trainer.callbacks:
            if isinstance(callback, Timer):
                started = callback._start_time[RunningStage.TRAINING]
                callback._start_time[RunningStage.TRAINING] = (started or 0.0) + others

    def begin_epoch(self) -> None:
        """As Lightning: _FitLoop.on_advance_start, _TrainingEpochLoop.reset."""
        loop, epoch_loop = self.loop, self.loop.epoch_loop
        (self.loader,) = loop._combined_loader.flattened
        self.has_begun = True
        self.loader.sampler.set_epoch(loop.epoch_progress.current.processed)
        loop.epoch_progress.increment_ready()
        self.call("on_train_epoch_start")
        loop.epoch_progress.increment_started()
        epoch_loop.batch_progress.reset_on_run()
        epoch_loop.scheduler_progress.reset_on_run()
        epoch_loop.automatic_optimization.optim_progress.reset_on_run()
        epoch_loop.val_loop.batch_progress.total.reset()

    def end_epoch(self) -> None:
        """As Lightning: the end of _TrainingEpochLoop.advance, its on_advance_end, and _FitLoop.on_advance_end."""
        trainer, loop, task = self.trainer, self.loop, self.task
        epoch_loop = loop.epoch_loop
        steps = self.num_steps
        epoch_loop.batch_progress.increment_by(steps, True)
        progress = epoch_loop.automatic_optimization.optim_progress.optimizer
        progress.step.total.increment_by(steps)
        progress.step.current.increment_by(steps)
        progress.zero_grad.total.increment_by(steps)
        progress.zero_grad.current.increment_by(steps)
        if self.schedulers:
            epoch_loop.scheduler_progress.increment_by(steps * len(self.schedulers))
        epoch_loop._batches_that_stepped += steps
        self.loader.position = (self.loader.sampler.epoch, steps)
        for collected, rows in zip(task.seen["train"], self.outputs, strict=False):
            collected.put(rows)
        if self.has_epoch_schedulers:
            self.optimizer._opt_called = True  # torch would warn that no step was taken yet
            epoch_loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        self.call("on_train_batch_end", {"loss": self.loss}, None, steps - 1)
        if epoch_loop._should_check_val_epoch():
            self.validate()
        trainer._logger_connector.epoch_end_reached()
        loop.epoch_progress.increment_processed()
        self.call("on_train_epoch_end", kinds="others")
        task.on_train_epoch_end()
        self.call("on_train_epoch_end", kinds="monitoring")
        if self.has_epoch_schedulers:
            epoch_loop.update_lr_schedulers("epoch", update_plateau_schedulers=True)
        loop.epoch_progress.increment_completed()
        if trainer.received_sigterm:
            raise SIGTERMException

    def validate(self) -> None:
        """As Lightning: _EvaluationLoop.run."""
        trainer, task = self.trainer, self.task
        task.zero_grad()
        trainer.validating = True
        before = [*self.methods("on_validation_start", ""), *self.methods("on_validation_epoch_start", "")]
        if not all(type(method.__self__) is Timer for method in before):
            self.loop.epoch_loop.val_loop.run()  # such hooks may change the weights that are validated
            trainer.training = True
            return
        val_loop = self.loop.epoch_loop.val_loop
        val_loop.setup_data()  # Lightning has not done it if the first epoch has no validation
        progress = val_loop.batch_progress
        progress.reset_on_run()
        progress.increment_by(trainer.num_val_batches[0], True)
        with evaluating(task):
            for collected, rows in zip(task.seen["val"], self.val_outputs, strict=False):
                collected.put(rows)
            task.known.update(self.known)
            for method in before:
                method(trainer, task)
            self.call("on_validation_epoch_end")
            task.on_validation_epoch_end()
            self.call("on_validation_end")
        trainer.training = True

    def call(self, hook: str, *arguments: Any, kinds: str = "") -> None:
        """Call a hook of those callbacks that have one."""
        for method in self.methods(hook, kinds):
            method(self.trainer, self.task, *arguments)

    def methods(self, hook: str, kinds: str) -> list[Any]:
        """Return the methods that callbacks have for a hook: of those that monitor a metric, of others, or of all."""
        if hook + kinds not in self.hooks:
            callbacks = self.trainer.callbacks
            if kinds:
                callbacks = [
                    c for c in callbacks if isinstance(c, EarlyStopping | Checkpoint) == (kinds == "monitoring")
                ]
            self.hooks[hook + kinds] = [
                getattr(c, hook) for c in callbacks if getattr(type(c), hook) is not getattr(L.Callback, hook)
            ]
        return self.hooks[hook + kinds]

    def plan(self) -> Plan:
        """Return what the schedules do in the epoch, and advance them to its end."""
        groups = self.optimizer.param_groups
        if not self.schedulers:
            return Plan([[group["lr"] for group in groups]] * self.num_steps, [])
        if self.has_plain_rates():
            return Plan(self._rates_of_lambda(self.schedulers[0]), [])
        self.optimizer._opt_called = True  # torch would warn that no step was taken yet
        rates, settings = [], []
        for _ in range(self.num_steps):
            rates.append([group["lr"] for group in groups])
            settings.append([changing(group) for group in groups])
            for scheduler in self.schedulers:
                scheduler.step()
        return Plan(rates, settings)

    def has_plain_rates(self) -> bool:
        """Tell whether the schedules change nothing but learning rates, as a function of the step."""
        return all(type(scheduler) is LambdaLR for scheduler in self.schedulers) and len(self.schedulers) < 2

    def _rates_of_lambda(self, scheduler: LambdaLR) -> list[list[float]]:
        # LambdaLR.step, without its work in Python for each step
        first = scheduler.last_epoch
        pairs = list(zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True))
        steps = range(first, first + self.num_steps + 1)
        rates = [[float(base) * factor(step) for base, factor in pairs] for step in steps]
        rates[0] = [group["lr"] for group in self.optimizer.param_groups]  # a hook may have set another one
        scheduler.last_epoch += self.num_steps
        scheduler._step_count += self.num_steps
        scheduler._last_lr = [*rates[-1]]
        for group, rate in zip(self.optimizer.param_groups, rates[-1], strict=True):
            group["lr"] = rate
        return rates[:-1]


def changing(group: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that schedules of torch change, besides the rate."""
    return {key: group[key] for key in ("betas", "momentum") if key in group}
