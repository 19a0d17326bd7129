"""Greedy selection, against a second implementation in NumPy and against all ensembles of a size."""

from collections import Counter
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from torch import Tensor

from litmlp.sweeps.selection import selected


def mean_of(outputs: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("nmo,m->no", outputs, weights)


def drawn(candidates: int, seed: int, rows: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Outputs `[C, N, 2]` and targets `[N, 2]`."""
    generator = np.random.default_rng(seed)
    target = generator.normal(size=(rows, 2))
    noise = generator.normal(size=(candidates, rows, 2)) * generator.uniform(0.5, 1.5, size=(candidates, 1, 1))
    return target + noise, target


def rmse(output: np.ndarray, target: np.ndarray) -> float:
    return float(np.sqrt(((output - target) ** 2).mean()))


def chosen(outputs: np.ndarray, target: np.ndarray, size: int) -> Counter[int]:
    return selected(
        [torch.from_numpy(output) for output in outputs], mean_of, lambda output: rmse(output.numpy(), target), size
    )


def greedy(outputs: np.ndarray, target: np.ndarray, size: int) -> Counter[int]:
    """Each round tries the plain mean of all that were chosen and one more."""
    picks: list[int] = []
    errors = []
    for _ in range(size):
        tried = [rmse(outputs[[*picks, i]].mean(axis=0), target) for i in range(len(outputs))]
        picks.append(int(np.argmin(tried)))
        errors.append(min(tried))
    return Counter(picks[: 1 + int(np.argmin(errors))])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_each_round_takes_the_candidate_with_the_smallest_error(seed: int, size: int):
    outputs, target = drawn(5, seed)
    assert chosen(outputs, target, size) == greedy(outputs, target, size)


@pytest.mark.parametrize("seed", range(10))
def test_is_never_worse_than_the_best_one_and_never_better_than_the_best_of_all_ensembles(seed: int):
    outputs, target = drawn(4, seed)
    found = chosen(outputs, target, size=3)
    error = rmse(outputs[[*found.elements()]].mean(axis=0), target)
    every = [list(c) for size in (1, 2, 3) for c in combinations_with_replacement(range(4), size)]
    errors = [rmse(outputs[choice].mean(axis=0), target) for choice in every]
    assert min(errors) - 1e-12 <= error <= min(errors[:4]) + 1e-12


def test_the_first_one_is_the_best_and_the_first_of_equals():
    outputs, target = drawn(4, 0)
    outputs[3] = outputs[1] = target
    assert chosen(outputs, target, size=1) == {1: 1}


def test_rounding_adds_nothing():
    outputs, target = drawn(1, 0)
    assert chosen(outputs, target, size=50) == {0: 1}


def test_an_error_that_is_not_a_number_is_never_chosen():
    outputs, target = drawn(3, 0)
    outputs[0] = np.nan
    assert 0 not in chosen(outputs, target, size=5)
