"""Computes temperatures and metrics of all members at once, by the methods of their task."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from litmlp.data.target_scaling import TargetScaling
from litmlp.data.targets import NumericTarget
from litmlp.populations.likeness import is_free
from litmlp.populations.member import Member
from litmlp.populations.step import replaced, replaced_module
from litmlp.tasks import ClassificationTask, RegressionTask, Task
from litmlp.tasks.calibration import temperatures_of
from litmlp.tasks.metrics import Metric, values_of
from litmlp.tasks.task import Known

NUMBERS_AT_ONCE = 2**15  # outputs; a core's cache holds as many in float64, and temporary results fill no more memory
METHODS = (
    *("on_validation_epoch_end", "on_train_epoch_end", "take_metrics", "known_of", "rows_seen"),
    *("compared", "predict", "fitted_temperature", "own_weights"),
)


@torch.no_grad()
def measure(task: Task, members: Sequence[Member]) -> None:
    """Let each member know its temperature, and those of its metrics that can be computed for several tables at once.

    A member knows nothing if a class of the user's own may compute something else, or if no other one has as many rows.

    Args:
        task: a copy of a member's task, whose numbers are replaced for a while.
        members: that have the outputs of an epoch.
    """
    groups: dict[Any, list[Member]] = {}
    for member in members:
        member.known = {}
        if is_known(member.task):
            groups.setdefault(_key(member), []).append(member)
    for group in groups.values():
        size = NUMBERS_AT_ONCE // max(rows.numel() for rows in (group[0].outputs[0], group[0].val_outputs[0]))
        for start in range(0, len(group), max(size, 1)):
            some = group[start : start + size]
            if len(some) > 1:
                _measure(task, some)


def is_known(task: Task) -> bool:
    """Tell whether a task computes its temperature and metrics as the classes of this package do."""
    own = next((kind for kind in (ClassificationTask, RegressionTask) if isinstance(task, kind)), None)
    return own is not None and all(
        getattr(getattr(task, name, None), "__func__", None) is getattr(own, name, None) for name in METHODS
    )


def _key(member: Member) -> Any:
    shapes = [rows[0].shape for rows in (member.outputs, member.val_outputs)]
    smoothing = member.task.loss.label_smoothing if _is_cross_entropy(member.task) else None
    return *shapes, smoothing, member.task.target.transform, *_metrics(member.task).items()


def _metrics(task: Task) -> dict[str, Metric]:
    return {name: metric for name, metric in task.metrics.items() if metric.takes_tables}


def _measure(task: Task, members: Sequence[Member]) -> None:
    train, val = (_stacked(rows) for rows in ([m.outputs for m in members], [m.val_outputs for m in members]))
    with _numbers_of_all(task, [member.task for member in members]):
        temperatures = [1.0] * len(members)
        if isinstance(task, ClassificationTask):
            if task.calibration == "temperature":
                temperatures = temperatures_of(val[0], val[1], task.own_weights(val[1], val[2]))
            task.temperature[:, 0, 0] = torch.tensor(temperatures, dtype=torch.float64)
        for stage, (outputs, targets, weights) in (("train", train), ("val", val)):
            own_task: Any = members[0].task
            losses = _losses(own_task, outputs, targets, weights)
            values = losses | values_of(_metrics(own_task), *task.compared(outputs, targets))
            # Copies, because a checkpoint would hold the numbers of all members along with a view.
            each: Any = {name: torch.unbind_copy(of_all) for name, of_all in values.items()}  # type: ignore[func-returns-value]
            for row, (member, temperature) in enumerate(zip(members, temperatures, strict=True)):
                rows = member.outputs if stage == "train" else member.val_outputs
                member.known[stage] = Known(rows[0], {name: own[row] for name, own in each.items()}, temperature)


def _is_cross_entropy(task: Any) -> bool:
    is_ones_own = getattr(task.mean_loss, "__func__", None) is not Task.mean_loss or "loss" in task.metrics
    return is_free(task.loss, "label_smoothing") and not is_ones_own


def _losses(task: Any, outputs: Tensor, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
    """Return the cross entropies, `[M]`; nothing for other losses, which cost each run less, and for weighted rows."""
    if weights is not None or not _is_cross_entropy(task):
        return {}
    # With classes in the second dimension, several times as fast as in the last one, as a run has them.
    losses = cross_entropy(outputs.mT, targets, reduction="none", label_smoothing=task.loss.label_smoothing)
    return {"loss": losses.mean(1)}


def _stacked(rows: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return outputs, targets and weights of all members, `[M, N, ...]`; None if rows have no weights."""
    outputs, targets, *weights = (torch.stack(of_all) for of_all in zip(*rows, strict=True))
    return outputs, targets, weights[0] if weights else None


@contextmanager
def _numbers_of_all(task: Task, tasks: Sequence[Any]) -> Iterator[None]:
    """Let a task have the numbers in which tasks differ, in a dimension that comes first, while this context lasts."""
    with ExitStack() as stack:
        if isinstance(task, ClassificationTask):
            temperatures = torch.stack([own.temperature for own in tasks])[:, None, None]
            stack.enter_context(replaced_module(task, "temperature", temperatures))
            if task.class_weights is not None:
                weights = torch.stack([own.class_weights for own in tasks])
                stack.enter_context(replaced_module(task, "class_weights", weights))
        if isinstance(task.target, NumericTarget):
            target = copy(task.target)
            target.scaling = TargetScaling.of_tables([own.target.scaling for own in tasks])
            stack.enter_context(replaced(task, "target", target))
        yield
