"""Calibrates class probabilities: finds the temperature by which class scores are divided."""

import math

import torch
from torch import Tensor

MAX_SCORES = 2**17  # numbers used; on n rows, the fitted log-loss is about 1 / (2 n) above the smallest possible one
PRIOR_ROWS = 4.0  # 1 / 0.5**2: near T = 1, the prior is that of a log T with mean 0 and standard deviation 0.5
LIMIT = 2.0**10  # the largest temperature, and 1 / LIMIT is the smallest one
MAX_STEPS, TOLERANCE = 50, 1e-5  # the error after the last of Newton's steps is about the square of this


def temperature_of(scores: Tensor, target: Tensor, weight: Tensor | None = None) -> float:
    """Return the temperature T with which the probabilities softmax(scores / T) have the smallest log-loss.

    Probabilities become less extreme if T is above 1, and more extreme if it is below 1. The likeliest class stays.

    With b = 1 / T, the minimised sum is that of the rows' log-losses, plus `PRIOR_ROWS` times b - log b. The latter is
    a gamma prior for b, which is smallest at T = 1. Without it, T would be 0 if all rows were right. Both are convex in
    b, so there is one minimum, which Newton's method finds within a shrinking interval.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks", which has no prior.

    Args:
        scores: of each class, `[N, K]`; of more than `MAX_SCORES` numbers, evenly spaced rows are used.
        target: class indices, `[N]`.
        weight: how much each row counts, `[N]`, in any unit; None if all rows count the same.
    """
    gaps, rows = _gaps_and_rows(scores, target, weight)
    search = Search()
    while not search.is_over:
        search.step(*map(float, _derivatives(gaps, rows, search.inverse)))
    return 1 / search.inverse


def temperatures_of(scores: Tensor, target: Tensor, weight: Tensor | None = None) -> list[float]:
    """Return the temperature of each of M tables, which does not depend on the other tables.

    Args:
        scores: see `temperature_of`, `[M, N, K]`.
        target: `[M, N]`.
        weight: `[M, N]`.
    """
    gaps, rows = _gaps_and_rows(scores, target, weight)
    searches = left = [Search() for _ in gaps]
    while left:
        inverse = torch.tensor([search.inverse for search in left], dtype=torch.float64)[:, None, None]
        slopes, curvatures = _derivatives(gaps, rows, inverse)
        for search, *of_each in zip(left, slopes.tolist(), curvatures.tolist(), strict=True):
            search.step(*of_each)
        if any(search.is_over for search in left):
            kept = [index for index, search in enumerate(left) if not search.is_over]
            left, gaps, rows = [left[index] for index in kept], gaps[kept], rows[kept]
    return [1 / search.inverse for search in searches]


class Search:
    """Newton's method for the inverse b of a temperature, within an interval that shrinks."""

    def __init__(self) -> None:
        self.low, self.high, self.inverse = 1 / LIMIT, LIMIT, 1.0
        self.steps_left, self.is_over = MAX_STEPS, False

    def step(self, slope: float, curvature: float) -> None:
        """Take a step, given the derivatives of the sum of the rows' log-losses."""
        before = self.inverse
        slope, curvature = slope + PRIOR_ROWS * (1 - 1 / before), curvature + PRIOR_ROWS / before**2
        self.low, self.high = (self.low, before) if slope > 0 else (before, self.high)
        after = before - slope / curvature
        self.inverse = after if self.low <= after <= self.high else math.sqrt(self.low * self.high)
        self.steps_left -= 1
        self.is_over = abs(self.inverse - before) <= TOLERANCE * self.inverse or self.steps_left == 0


def _gaps_and_rows(scores: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return scores less that of the true class, `[..., K, N]`, and how much each row counts, `[..., N]`."""
    every = math.ceil(scores.shape[-2] * scores.shape[-1] / MAX_SCORES)
    classes = scores[..., ::every, :].cpu().mT.to(torch.float64, memory_format=torch.contiguous_format)
    true = target[..., ::every].cpu()
    gaps = classes - classes.gather(-2, true[..., None, :])
    if weight is None:
        return gaps, torch.ones(true.shape, dtype=torch.float64)
    return gaps, _in_rows(weight[..., ::every].cpu().double())


def _in_rows(weight: Tensor) -> Tensor:
    """Scale weights to sum to the number of rows of equal weight that would tell as much (Kish 1965).

    The prior is worth a fixed number of rows, so the unit of the weights would matter otherwise.
    """
    squares = weight.square().sum(-1, keepdim=True)
    return weight * weight.sum(-1, keepdim=True) / squares.clamp_min(torch.finfo(torch.float64).tiny)


def _derivatives(gaps: Tensor, rows: Tensor, inverse: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the second derivative of the sum of the rows' log-losses by b, where b is `inverse`."""
    probability = (gaps * inverse).softmax(dim=-2)
    mean = (probability * gaps).sum(dim=-2)
    variance = probability.mul_((gaps - mean.unsqueeze(-2)).square_()).sum(dim=-2)
    return torch.linalg.vecdot(rows, mean), torch.linalg.vecdot(rows, variance)
