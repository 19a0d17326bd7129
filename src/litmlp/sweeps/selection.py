"""Chooses the members of an ensemble by their predictions for validation rows."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

ROUNDING = 1e-6


def selected(
    outputs: Sequence[Tensor], mean_of: Callable[[Tensor, Tensor], Tensor], error: Callable[[Tensor], float], size: int
) -> Counter[int]:
    """Return how often each of C candidates is chosen, which is its weight in the ensemble.

    The ensemble is empty at first. In each of `size` rounds, the candidate joins it that lowers its error most; the
    same one may join again. The result is the ensemble after the round with the smallest error, or after an earlier one
    whose error differs only by rounding. Source: Caruana et al. 2004, "Ensemble Selection from Libraries of Models".

    Args:
        outputs: of each candidate for the validation rows, C tensors `[N, O]`.
        mean_of: returns the output `[N, O]` of a weighted average, given `[N, M, O]` and weights `[M]`.
        error: of an output `[N, O]`; smaller is better.
        size: number of rounds.
    """
    chosen: list[int] = []
    ensemble, best_error, best_size = outputs[0], math.inf, 0
    for turn in range(size):
        weights = torch.tensor([turn, 1.0], dtype=outputs[0].dtype) / (turn + 1)
        extended = [output if turn == 0 else mean_of(torch.stack([ensemble, output], 1), weights) for output in outputs]
        errors = [math.inf if math.isnan(value) else value for value in map(error, extended)]
        new = min(range(len(outputs)), key=errors.__getitem__)
        chosen.append(new)
        ensemble = extended[new]
        if best_size == 0 or best_error - errors[new] > ROUNDING * abs(best_error):
            best_error, best_size = errors[new], turn + 1
    return Counter(chosen[:best_size])
