"""One training step or validation step of a task, as a function of its parameters and of settings of its own."""

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from litmlp.data import Batch
from litmlp.populations.watch import Watch


class Captured:
    """Takes the place of `Collected` in a step that is recorded."""

    rows: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Keep rows."""
        self.rows = rows


class SmoothedCrossEntropy(nn.Module):
    """Cross entropy with a label smoothing that is a tensor."""

    def __init__(self, label_smoothing: Tensor, reduction: str) -> None:
        super().__init__()
        self.label_smoothing, self.reduction = label_smoothing, reduction

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Compare scores `[N, K]` with classes `[N]`."""
        logarithms = scores.log_softmax(dim=1)
        of_class = -logarithms.gather(1, target[:, None])[:, 0]
        losses = torch.lerp(of_class, -logarithms.mean(dim=1), self.label_smoothing.to(scores.dtype))
        return losses.mean() if self.reduction == "mean" else losses


class Unknown:
    """Takes the place of what changes from step to step, such as the batch's number.

    A step that uses it cannot be recorded.

    Args:
        name: of what it stands for.
    """

    name: str

    def __init__(self, name: str) -> None:
        vars(self)["name"] = name

    def _refuse(self, *_: Any) -> Any:
        raise NotRecordable(f"its step uses {self.name}")

    __getattr__ = __setattr__ = __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = __bool__ = __index__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __floordiv__ = __truediv__ = _refuse
    __int__ = __float__ = __str__ = __repr__ = __format__ = __call__ = __getitem__ = __iter__ = __len__ = _refuse


class RawTarget(Unknown):
    """Takes the place of a task's target, since runs have targets of their own."""

    @staticmethod
    def mean_of(output: Tensor) -> Tensor:
        """Return the outputs of all members of a network: their mean is taken later, by the target of each run."""
        return output


class NotRecordable(Exception):
    """A step does something that a repetition of its operations would not do."""


class Step(nn.Module):
    """Calls `training_step` or `validation_step` of a task.

    Args:
        task: of the runs.
    """

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: Batch, free: Mapping[tuple[str, str], Tensor], stage: str) -> Any:
        """Return the loss, 0 for validation rows, and what the step keeps for the metrics.

        Args:
            batch: of one member.
            free: settings of this member, by the name of a module and of its attribute.
            stage: `train` or `val`.
        """
        task: Any = self.task
        seen = (Captured(), Captured(), Captured())
        with ExitStack() as stack:
            modules = dict(task.named_modules())
            stack.enter_context(replaced(task, "target", RawTarget("the target")))
            stack.enter_context(replaced(task, "seen", {stage: seen}))
            for (name, key), value in free.items():
                module: Any = modules[name]
                if key == "label_smoothing":
                    owner, _, attribute = name.rpartition(".")
                    smoothed = SmoothedCrossEntropy(value, module.reduction)
                    stack.enter_context(replaced_module(modules[owner], attribute, smoothed))
                else:
                    stack.enter_context(replaced(module, key, value))
            given = dict(task.named_buffers())
            if stage == "val":
                task.validation_step(batch, Unknown("batch_idx"))
                loss = batch.numeric.new_zeros(())
            else:
                loss = task.training_step(batch, Unknown("batch_idx"))
                if not isinstance(loss, Tensor):
                    raise NotRecordable("training_step does not return the loss alone")
            for name, buffer in task.named_buffers():  # those of a member: what replaces one of them would be lost
                if buffer is not given.get(name):
                    raise NotRecordable(f"its step changes the buffer {name}")
            return loss, [one.rows for one in seen if one.rows is not None]


@contextmanager
def without_side_effects(task: Any) -> Iterator[None]:
    """Raise NotRecordable if what happens in this context changes more than tensors that it makes.

    A step that is recorded would do so once only: it must not change attributes or buffers, draw numbers outside of
    torch, or look at the trainer, whose epoch changes.
    """
    watch, states, trainer = Watch(), _states(), task.trainer
    watch.modules(task, lambda _, key: key != "training")
    task.trainer = Unknown("the trainer")
    try:
        yield
    finally:
        task.trainer = trainer
    if changed := watch.changed():
        raise NotRecordable(f"its step changes {changed}")
    if states != _states():
        raise NotRecordable("its step draws random numbers outside of torch")


def _states() -> tuple[Any, ...]:
    state: Any = np.random.get_state()
    return random.getstate(), state[1].tobytes(), state[2]


@contextmanager
def replaced(owner: Any, key: str, value: Any) -> Iterator[None]:
    """Set an attribute while this context lasts."""
    kept = vars(owner).get(key, ...)
    vars(owner)[key] = value
    try:
        yield
    finally:
        if kept is ...:
            del vars(owner)[key]
        else:
            vars(owner)[key] = kept


@contextmanager
def replaced_module(owner: nn.Module, key: str, value: nn.Module | Tensor) -> Iterator[None]:
    """Set a submodule or a buffer while this context lasts."""
    kept = getattr(owner, key)
    setattr(owner, key, value)
    try:
        yield
    finally:
        setattr(owner, key, kept)
