"""Metrics are functions of all predictions and observations of an epoch, whatever batches they came in.

That is exact for metrics that are no means of rows, and an epoch needs no state that is kept, reset and synchronised.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed
from torchmetrics.functional.classification import multiclass_confusion_matrix
from torchmetrics.utilities.distributed import gather_all_tensors

ROWS_COUNTED_AT_ONCE = 2**17  # are counted, for which torchmetrics takes the memory of several numbers a row


class Metric(NamedTuple):
    """A measure of predictions.

    Attributes:
        function: of predictions and observations, or of what `of` makes of them; returns a number, or one for each
            target.
        mode: which way it is better, `min` or `max`.
        of: makes what several metrics fraction of predictions and observations, once for all of them.
    """

    function: Callable[..., Tensor]
    mode: Literal["min", "max"]
    of: Callable[[Tensor, Tensor], Tensor] | None = None


def values_of(metrics: dict[str, Metric], prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return the value of each metric."""
    shared = {of: of(prediction, target) for of in {metric.of for metric in metrics.values()} if of is not None}
    return {
        name: metric.function(prediction, target) if metric.of is None else metric.function(shared[metric.of])
        for name, metric in metrics.items()
    }


def of_all_processes(rows: Tensor) -> Tensor:
    """Return the rows `[N, ...]` of all processes together."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    return torch.cat(gather_all_tensors(rows))


def confusion(probability: Tensor, target: Tensor) -> Tensor:
    """Count rows by true class and most probable class, `[K, K]`, of `[N, K]` and class indices `[N]`."""
    parts = zip(probability.split(ROWS_COUNTED_AT_ONCE), target.split(ROWS_COUNTED_AT_ONCE), strict=True)
    return torch.stack([multiclass_confusion_matrix(*part, probability.shape[1]) for part in parts]).sum(0).float()


def accuracy(counts: Tensor) -> Tensor:
    """Return the fraction of rows whose most probable class is the true one, of `confusion`'s counts."""
    return counts.trace() / counts.sum()


def balanced_accuracy(counts: Tensor) -> Tensor:
    """Return the mean accuracy of the classes that occur, of `confusion`'s counts."""
    return (counts.diagonal() / counts.sum(1)).nanmean()


def f1(counts: Tensor) -> Tensor:
    """Return the mean over classes of the harmonic mean of precision and recall, of `confusion`'s counts.

    Of classes that occur or are given.
    """
    return (2 * counts.diagonal() / (counts.sum(0) + counts.sum(1))).nanmean()


def log_loss(probability: Tensor, target: Tensor) -> Tensor:
    """Return the mean negative logarithm of the probability given to the true class, whatever the training loss.

    Of probabilities `[N, K]` and class indices `[N]`.
    """
    smallest = torch.finfo(probability.dtype).tiny
    return -probability.gather(1, target[:, None]).clamp_min(smallest).log().mean()


def mean_area_under_roc(probability: Tensor, target: Tensor) -> Tensor:
    """Return the area under the ROC curve of each class against the rest, averaged over the classes that occur.

    Of probabilities `[N, K]` and class indices `[N]`; NaN where only one class occurs.
    """
    if probability.shape[1] == 2:  # the other class has the same area
        return area_under_roc(probability[:, 1], target == 1)
    return torch.stack([area_under_roc(p, target == k) for k, p in enumerate(probability.unbind(1))]).nanmean()


def area_under_roc(score: Tensor, is_positive: Tensor) -> Tensor:
    """Return how often a positive row scores higher than a negative one, of scores `[N]`; NaN without both kinds.

    By counting such pairs, ties as half (Mann and Whitney 1947).
    """
    positive, negative = ascending(score[is_positive]), ascending(score[~is_positive])
    lower = torch.searchsorted(negative, positive).sum()
    not_higher = torch.searchsorted(negative, positive, right=True).sum()
    return (lower + not_higher).double().div(2 * len(positive) * len(negative)).float()


def ascending(values: Tensor) -> Tensor:
    """Return values `[N]` in ascending order; NumPy sorts several times as fast as torch does on the CPU."""
    if values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(np.sort(values.numpy()))
    return values.sort().values


def coefficient_of_determination(prediction: Tensor, target: Tensor) -> Tensor:
    """Return R2 of each target, of `[N, O]` both: 1 less the squared errors' fraction of the squared deviations."""
    errors = (target - prediction).square().sum(0)
    return 1 - errors / (target - target.mean(0)).square().sum(0)
