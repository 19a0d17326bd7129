"""Metrics that torchmetrics lacks, or warns about where a small set misses a class."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class RowMean(Metric):
    """Weighted mean of means; NaN stays NaN."""

    higher_is_better = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("weight", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, mean: Tensor, weight: Tensor | float) -> None:
        """Add rows whose mean is known; without weights of their own, `weight` is their number."""
        self.total += mean * weight
        self.weight += weight

    def compute(self) -> Tensor:
        """Return the mean over all rows."""
        return self.total / self.weight


class LogLoss(RowMean):
    """Mean negative logarithm of the probability given to the true class, whatever the training loss."""

    def update(self, probability: Tensor, target: Tensor) -> None:  # type: ignore[override]
        """Add N rows: probabilities `[N, K]` and class indices `[N]`."""
        smallest = torch.finfo(probability.dtype).tiny
        super().update(-probability.gather(1, target[:, None]).clamp_min(smallest).log().mean(), len(target))


class MeanAUROC(Metric):
    """Area under the ROC curve of each class against the rest, averaged over the classes that occur.

    By the ranks of the scores (Mann and Whitney 1947), ties counting half; NaN where only one class occurs.
    """

    higher_is_better = True
    probabilities: list[Tensor]
    targets: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, probability: Tensor, target: Tensor) -> None:
        """Add N rows: probabilities `[N, K]` and class indices `[N]`."""
        self.probabilities.append(probability)
        self.targets.append(target)

    def compute(self) -> Tensor:
        """Return the mean over classes."""
        scores, targets = dim_zero_cat(self.probabilities), dim_zero_cat(self.targets)
        if scores.shape[1] == 2:  # the other class has the same area
            return area_under_roc(scores[:, 1], targets == 1)
        areas = torch.stack([area_under_roc(scores[:, k], targets == k) for k in range(scores.shape[1])])
        return areas.nanmean()


def area_under_roc(score: Tensor, is_positive: Tensor) -> Tensor:
    """Return how often a positive row scores higher than a negative one, of scores `[N]`; NaN without both kinds."""
    _, place, counts = score.unique(return_inverse=True, return_counts=True)
    mean_rank = counts.cumsum(0).double() - (counts - 1) / 2
    num_positive = is_positive.sum().double()
    num_negative = len(score) - num_positive
    surplus = mean_rank[place][is_positive].sum() - num_positive * (num_positive + 1) / 2
    return (surplus / (num_positive * num_negative)).float()
