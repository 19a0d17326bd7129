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
    every = math.ceil(scores.numel() / MAX_SCORES)
    classes, true = scores[::every].cpu().double().T.contiguous(), target[::every].cpu()  # [K, N]
    gaps = classes - classes.gather(0, true[None])  # to the score of the true class
    rows = torch.ones(len(true), dtype=torch.float64) if weight is None else _in_rows(weight[::every].cpu().double())
    low, high, inverse = 1 / LIMIT, LIMIT, 1.0
    for _ in range(MAX_STEPS):
        slope, curvature = _derivatives(gaps, rows, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        before, step = inverse, inverse - slope / curvature
        inverse = step if low <= step <= high else math.sqrt(low * high)
        if abs(inverse - before) <= TOLERANCE * inverse:
            break
    return 1 / inverse


def _in_rows(weight: Tensor) -> Tensor:
    """Scale weights to sum to the number of rows of equal weight that would tell as much (Kish 1965).

    The prior is worth a fixed number of rows, so the unit of the weights would matter otherwise.
    """
    return weight * weight.sum() / weight.square().sum().clamp_min(torch.finfo(torch.float64).tiny)


def _derivatives(gaps: Tensor, rows: Tensor, inverse: float) -> tuple[float, float]:
    """Return the first and the second derivative of the minimised sum by b, where b is `inverse`; gaps are `[K, N]`."""
    probability = (inverse * gaps).softmax(dim=0)
    mean = (probability * gaps).sum(dim=0)
    variance = (probability * (gaps - mean).square()).sum(dim=0)
    slope = float(rows @ mean) + PRIOR_ROWS * (1 - 1 / inverse)
    return slope, float(rows @ variance) + PRIOR_ROWS / inverse**2
