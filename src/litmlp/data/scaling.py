"""Scalings bring columns of numbers to a common scale. Values are `[N] float64`, without missing ones."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from litmlp.data.interpolation import PiecewiseLinear
from litmlp.data.state import check_finite, check_positive, checked_values
from litmlp.errors import did_you_mean

FARTHEST = 1e9  # standard deviations from the mean; what a network computes from such inputs still fits into float32
LARGEST = float(np.finfo(np.float64).max)
EXTREME = 900  # exponent of two; differences and quotients of larger numbers may not fit into float64


class Scaling(ABC):
    """The base class of scalings, which are fitted on training rows. Their state consists of numbers and tensors.

    Attributes:
        state: maps the name of each number or tensor of the state to its type.
        divisors: names of those by which values are divided, so that they must be above 0.
    """

    state: ClassVar[dict[str, type]]
    divisors: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fit(self, values: np.ndarray) -> None:
        """Learn from the values of training rows; there may be no values."""

    @abstractmethod
    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return scaled values, `[N] float32`."""

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers and tensors that `fit` has set."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        check_finite(*checked_values(state, self.state))
        check_positive(*(state[name] for name in self.divisors))
        vars(self).update(state)


class StandardScaling(Scaling):
    """Scales to mean 0 and standard deviation 1. A constant column becomes 0; results are clipped to +-FARTHEST."""

    state: ClassVar = {"mean": float, "std": float}
    divisors = ("std",)

    def fit(self, values: np.ndarray) -> None:
        """Compute mean and standard deviation."""
        self.mean, self.std = mean_and_std(values)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Subtract the mean and divide by the standard deviation."""
        return standardised(values, self.mean, self.std).clip(-FARTHEST, FARTHEST).astype(np.float32)


class RobustScaling(Scaling):
    """Scales to median 0 and interquartile range 1, then clips smoothly so that all results lie between -3 and 3.

    Outliers neither determine the scale nor dominate a row. Source: Holzmüller et al. 2024, "Better by Default"
    (RealMLP).
    """

    state: ClassVar = {"median": float, "spread": float}
    divisors = ("spread",)
    limit = 3.0

    def fit(self, values: np.ndarray) -> None:
        """Compute the median and the interquartile range; if that is 0, half the range takes its place."""
        low, quarter, self.median, three_quarters, high = quantiles(values, [0, 0.25, 0.5, 0.75, 1]).tolist()
        spread = three_quarters - quarter or high / 2 - low / 2
        self.spread = min(spread, LARGEST) or 1.0  # the difference may be infinite; 0 where the column is constant

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Shift and divide to get z, then return z / sqrt(1 + (z / 3)^2)."""
        z = standardised(values, self.median, self.spread).clip(-FARTHEST, FARTHEST)
        return (z / np.hypot(1, z / self.limit)).astype(np.float32)


class QuantileScaling(Scaling):
    """Maps a column of any distribution to the standard normal distribution. Only the order of values is kept.

    The map is linear between 1001 quantiles of the training rows and constant beyond the outer ones. A value that
    fills several quantiles is mapped to the middle one of them.
    """

    state: ClassVar = {"knots": Tensor, "scores": Tensor}
    num_knots = 1001

    def fit(self, values: np.ndarray) -> None:
        """Compute evenly spaced quantiles of the values, and the normal quantiles of the same fractions."""
        all_knots = quantiles(values, np.linspace(0, 1, self.num_knots))
        knots, first, repeats = np.unique(all_knots, return_index=True, return_counts=True)
        fraction = (first + (repeats - 1) / 2) / (self.num_knots - 1)
        edge = 0.5 / self.num_knots  # the normal quantiles of 0 and 1 would be infinite
        self.knots = torch.tensor(knots)
        self.scores = torch.special.ndtri(torch.tensor(fraction).clamp(edge, 1 - edge))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned: rising knots, and a score for each of them."""
        super().load_state_dict(state)
        if self.knots.ndim != 1 or self.knots.shape != self.scores.shape or not len(self.knots):
            raise ValueError("a state must have one or more knots, and a score for each of them")
        if self.knots.dtype != torch.float64 or not bool((self.knots.diff() > 0).all()):
            raise ValueError("a state must have rising knots of float64")

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Look up the normal quantile of each value."""
        return PiecewiseLinear(self.knots.numpy(), self.scores.numpy())(values)


SCALINGS: dict[str, type[Scaling]] = {
    "standard": StandardScaling,
    "robust": RobustScaling,
    "quantile": QuantileScaling,
}


def scaling_named(name: str) -> Scaling:
    """Return a new scaling; raise ValueError with the nearest name if there is no scaling of this name."""
    if name not in SCALINGS:
        raise ValueError(f"scaling is '{name}': {did_you_mean(name, SCALINGS)}")
    return SCALINGS[name]()


def scaling_with(state: dict[str, Any], usual: Scaling) -> Scaling:
    """Return the scaling that a state is of, with that state: `usual`, or another one among columns of an ensemble."""
    scalings = [usual, *(scaling() for scaling in SCALINGS.values())]
    found = next((scaling for scaling in scalings if scaling.state.keys() == state.keys()), usual)
    found.load_state_dict(state)
    return found


def mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation; the latter is 1 if values are constant except for rounding, or absent."""
    if len(values) == 0:
        return 0.0, 1.0
    exponent = exponent_of(values)
    near_one = np.ldexp(values, -exponent)  # exact, and keeps the sum of squares within the range of float64
    mean, std = near_one.mean(), near_one.std()
    varies = std > 1e-13 * abs(mean)
    return math.ldexp(mean, exponent), (math.ldexp(std, exponent) if varies else 0.0) or 1.0


def standardised(values: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Return how many standard deviations values lie above the mean, `[N] float64`; infinity if float64 overflows."""
    exponent = math.frexp(std)[1]
    with np.errstate(over="ignore"):
        if abs(exponent) > EXTREME:
            return (np.ldexp(values, -exponent) - np.ldexp(mean, -exponent)) / np.ldexp(std, -exponent)
        return (values - mean) / std


def exponent_of(values: np.ndarray) -> int:
    """Return the exponent of a power of two that is above all absolute values `[N]`."""
    return math.frexp(max(float(values.max()), -float(values.min())))[1]


def quantiles(values: np.ndarray, fractions: np.ndarray | list[float]) -> np.ndarray:
    """Return the values below which `fractions` of the rows lie, `[len(fractions)]`; zeros if there are no rows."""
    if len(values) == 0:
        return np.zeros(len(fractions))
    if exponent_of(values) < EXTREME:
        return np.quantile(values, fractions)
    return 4 * np.quantile(values / 4, fractions)  # interpolation subtracts two values, which could overflow
