"""Metrics, which are functions of all predictions and observations of an epoch, not of single batches.

This is exact even for metrics that are not means over rows. Besides, no state of a metric must be kept, reset and
synchronised among processes.

The metrics of this module also take several tables at once, in leading dimensions, and return a value for each of them.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed
from torchmetrics.functional.classification import multiclass_confusion_matrix
from torchmetrics.utilities.distributed import gather_all_tensors

ROWS_COUNTED_AT_ONCE = 2**17  # torchmetrics needs memory for several numbers for each row that it counts


class Metric(NamedTuple):
    """A measure of the quality of predictions.

    Attributes:
        function: takes predictions and observations, or the result of `of`; returns a number, or one for each target.
        mode: `min` if smaller values are better, `max` if larger values are better.
        of: computes an intermediate result from predictions and observations. Metrics with the same `of` share it, so
            that it is computed once.
        takes_tables: whether both functions also take several tables of the same size, `[..., N, O]`, and return a
            value for each. Others get one table at a time.
    """

    function: Callable[..., Tensor]
    mode: Literal["min", "max"]
    of: Callable[[Tensor, Tensor], Tensor] | None = None
    takes_tables: bool = False


def values_of(metrics: dict[str, Metric], prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return the value of each metric."""
    shared = {of: of(prediction, target) for of in {metric.of for metric in metrics.values()} if of is not None}
    return {
        name: metric.function(prediction, target) if metric.of is None else metric.function(shared[metric.of])
        for name, metric in metrics.items()
    }


def of_all_processes(rows: Tensor) -> Tensor:
    """Return the rows `[N, ...]` of all processes in one tensor."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    return torch.cat(gather_all_tensors(rows))


def confusion(probability: Tensor, target: Tensor) -> Tensor:
    """Count rows by true class and most probable class, `[..., K, K]`.

    Args:
        probability: of each class, `[..., N, K]`.
        target: class indices, `[..., N]`.
    """
    parts = probability.split(ROWS_COUNTED_AT_ONCE, dim=-2), target.split(ROWS_COUNTED_AT_ONCE, dim=-1)
    first, *others = (_confusion(*chunk) for chunk in zip(*parts, strict=True))
    return sum(others, start=first).float()


def _confusion(probability: Tensor, target: Tensor) -> Tensor:
    *tables, _, num_classes = probability.shape
    if probability.device.type == "cpu":  # the same, but without the checks and choices that take longer than counting
        cells = target * num_classes + probability.argmax(-1)
        num_tables = math.prod(tables)
        if tables:
            cells += torch.arange(num_tables).view(*tables, 1) * num_classes**2
        counts = torch.bincount(cells.flatten(), minlength=num_tables * num_classes**2)
        return counts.view(*tables, num_classes, num_classes)
    if tables:
        return torch.stack([_confusion(*table) for table in zip(probability, target, strict=True)])
    return multiclass_confusion_matrix(probability, target, num_classes, validate_args=False)


def accuracy(counts: Tensor) -> Tensor:
    """Return the fraction of rows whose most probable class is the true one, given the counts of `confusion`."""
    return counts.diagonal(dim1=-2, dim2=-1).sum(-1) / counts.sum((-2, -1))


def balanced_accuracy(counts: Tensor) -> Tensor:
    """Return the mean recall of the classes that occur, given the counts of `confusion`."""
    return (counts.diagonal(dim1=-2, dim2=-1) / counts.sum(-1)).nanmean(-1)  # 0 / 0 for a class that does not occur


def f1(counts: Tensor) -> Tensor:
    """Return the mean over classes of the harmonic mean of precision and recall, given the counts of `confusion`.

    The mean is over classes that occur or are predicted.
    """
    return (2 * counts.diagonal(dim1=-2, dim2=-1) / (counts.sum(-2) + counts.sum(-1))).nanmean(-1)


def log_loss(probability: Tensor, target: Tensor) -> Tensor:
    """Return the mean negative logarithm of the probability of the true class. It does not depend on the training loss.

    Args:
        probability: of each class, `[..., N, K]`.
        target: class indices, `[..., N]`.
    """
    smallest = torch.finfo(probability.dtype).tiny
    return -probability.gather(-1, target[..., None])[..., 0].clamp_min(smallest).log().mean(-1)


def mean_area_under_roc(probability: Tensor, target: Tensor) -> Tensor:
    """Return the area under the ROC curve of each class against the rest, averaged over the classes that occur.

    It is NaN if only one class occurs.

    Args:
        probability: of each class, `[..., N, K]`.
        target: class indices, `[..., N]`.
    """
    if probability.shape[-1] == 2:  # the other class has the same area
        return area_under_roc(probability[..., 1], target == 1)
    areas = [area_under_roc(p, target == k) for k, p in enumerate(probability.unbind(-1))]
    return torch.stack(areas, dim=-1).nanmean(-1)


def area_under_roc(score: Tensor, is_positive: Tensor) -> Tensor:
    """Return the fraction of pairs of a positive and a negative row in which the positive row has the higher score.

    Ties count half (Mann and Whitney 1947). The result is NaN if there are no positive or no negative rows.

    Args:
        score: of each row, `[..., N]`.
        is_positive: for each row, `[..., N] bool`.
    """
    if score.ndim > 1:  # sorting takes longer than all that could be done at once
        return torch.stack([area_under_roc(*table) for table in zip(score, is_positive, strict=True)])
    if score.device.type == "cpu" and score.dtype in (torch.float32, torch.float64):
        area = _area_under_roc(score.numpy(), is_positive.numpy())
        if area is not None:
            return torch.tensor(area, dtype=torch.float32)
    positive, negative = score[is_positive].sort().values, score[~is_positive].sort().values
    lower = torch.searchsorted(negative, positive).sum()
    not_higher = torch.searchsorted(negative, positive, right=True).sum()
    return (lower + not_higher).double().div(2 * len(positive) * len(negative)).float()


def _area_under_roc(score: np.ndarray, is_positive: np.ndarray) -> float | None:
    # NumPy sorts several times as fast as torch does on the CPU. NaN, which both order differently, gives None.
    positive, negative = np.sort(score[is_positive]), np.sort(score[~is_positive])
    num_pairs = len(positive) * len(negative)
    if not num_pairs:
        return math.nan
    if math.isnan(positive[-1]) or math.isnan(negative[-1]):
        return None
    lower, not_higher = (int(negative.searchsorted(positive, side).sum()) for side in ("left", "right"))
    return (lower + not_higher) / (2 * num_pairs)


def root_mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the root of the mean squared error of each target, `[..., O]`; both arguments are `[..., N, O]`."""
    return (prediction - target).square().mean(-2).sqrt()


def mean_absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute error of each target, `[..., O]`; both arguments are `[..., N, O]`."""
    return (prediction - target).abs().mean(-2)


def coefficient_of_determination(prediction: Tensor, target: Tensor) -> Tensor:
    """Return R2 of each target, `[..., O]`: 1 - (sum of squared errors) / (sum of squared deviations from the mean).

    Both arguments are `[..., N, O]`.
    """
    errors = (target - prediction).square().sum(-2)
    return 1 - errors / (target - target.mean(-2, keepdim=True)).square().sum(-2)
