"""Bringing a column of numbers to a common scale. Values are `[N] float64`, none missing."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from litmlp.data.interpolation import PiecewiseLinear
from litmlp.data.state import finite, positive, taken
from litmlp.errors import did_you_mean

FARTHEST = 1e9  # deviations from the mean: float32 has room for what a network makes of them
LARGEST = float(np.finfo(np.float64).max)
EXTREME = 900  # power of two, beyond which a difference or a quotient of numbers may be none


class Scaling(ABC):
    """Fitted on training rows; its state is plain numbers and tensors.

    Attributes:
        state: the type of each number or tensor, by its name.
        divisors: those by which values are divided.
    """

    state: ClassVar[dict[str, type]]
    divisors: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fit(self, values: np.ndarray) -> None:
        """Learn from training rows; there may be none with a value."""

    @abstractmethod
    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return scaled values, `[N] float32`."""

    def state_dict(self) -> dict[str, Any]:
        """Return numbers and tensors."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        finite(*taken(state, self.state))
        positive(*(state[name] for name in self.divisors))
        vars(self).update(state)


class StandardScaling(Scaling):
    """Mean 0 and standard deviation 1; a constant column becomes 0, and nothing goes beyond a billion deviations."""

    state: ClassVar = {"mean": float, "std": float}
    divisors = ("std",)

    def fit(self, values: np.ndarray) -> None:
        """Take mean and standard deviation."""
        self.mean, self.std = mean_and_std(values)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Shift and divide."""
        return standardised(values, self.mean, self.std).clip(-FARTHEST, FARTHEST).astype(np.float32)


class RobustScaling(Scaling):
    """Median 0 and interquartile range 1, then bent smoothly so that nothing goes beyond 3.

    Outliers neither set the scale nor dominate a row. Source: Holzmüller et al. 2024, "Better by Default" (RealMLP).
    """

    state: ClassVar = {"median": float, "spread": float}
    divisors = ("spread",)
    limit = 3.0

    def fit(self, values: np.ndarray) -> None:
        """Take median and quartiles; where these coincide, half the range."""
        low, quarter, self.median, three_quarters, high = quantiles(values, [0, 0.25, 0.5, 0.75, 1]).tolist()
        spread = three_quarters - quarter or high / 2 - low / 2
        self.spread = min(spread, LARGEST) or 1.0

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Shift, divide and bend: z / sqrt(1 + (z / 3)^2)."""
        z = standardised(values, self.median, self.spread).clip(-FARTHEST, FARTHEST)
        return (z / np.hypot(1, z / self.limit)).astype(np.float32)


class QuantileScaling(Scaling):
    """A column's distribution becomes the standard normal one, whatever it was; order is all that is kept.

    Between 1001 quantiles of the training rows the map is linear, and flat beyond the outer ones. A value that fills
    several quantiles gets the middle one.
    """

    state: ClassVar = {"knots": Tensor, "scores": Tensor}
    num_knots = 1001

    def fit(self, values: np.ndarray) -> None:
        """Take evenly spaced quantiles, and the normal quantiles of the same fractions."""
        all_knots = quantiles(values, np.linspace(0, 1, self.num_knots))
        knots, first, repeats = np.unique(all_knots, return_index=True, return_counts=True)
        fraction = (first + (repeats - 1) / 2) / (self.num_knots - 1)
        edge = 0.5 / self.num_knots
        self.knots = torch.tensor(knots)
        self.scores = torch.special.ndtri(torch.tensor(fraction).clamp(edge, 1 - edge))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned: rising knots, and a score for each."""
        super().load_state_dict(state)
        if self.knots.ndim != 1 or self.knots.shape != self.scores.shape or not len(self.knots):
            raise ValueError("a state has a score for each knot")
        if self.knots.dtype != torch.float64 or not bool((self.knots.diff() > 0).all()):
            raise ValueError("a state has rising knots")

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Look up each value's normal quantile."""
        return PiecewiseLinear(self.knots.numpy(), self.scores.numpy())(values)


SCALINGS: dict[str, type[Scaling]] = {
    "standard": StandardScaling,
    "robust": RobustScaling,
    "quantile": QuantileScaling,
}


def scaling_named(name: str) -> Scaling:
    """Return a new scaling; raise ValueError with the nearest name if there is none."""
    if name not in SCALINGS:
        raise ValueError(f"scaling is '{name}': {did_you_mean(name, SCALINGS)}")
    return SCALINGS[name]()


def mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Return both; a deviation of 1 where values are constant but for rounding, or none."""
    if len(values) == 0:
        return 0.0, 1.0
    exponent = exponent_of(values)
    near_one = np.ldexp(values, -exponent)  # exact; the sum of squares of others would leave the numbers that there are
    mean, std = near_one.mean(), near_one.std()
    varies = std > 1e-13 * abs(mean)
    return math.ldexp(mean, exponent), (math.ldexp(std, exponent) if varies else 0.0) or 1.0


def standardised(values: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Return how many deviations values lie above the mean, `[N] float64`; infinity beyond the largest number."""
    exponent = math.frexp(std)[1]
    with np.errstate(over="ignore"):
        if abs(exponent) > EXTREME:
            return (np.ldexp(values, -exponent) - np.ldexp(mean, -exponent)) / np.ldexp(std, -exponent)
        return (values - mean) / std


def exponent_of(values: np.ndarray) -> int:
    """Return the power of two above all absolute values `[N]`."""
    return math.frexp(max(float(values.max()), -float(values.min())))[1]


def quantiles(values: np.ndarray, fractions: np.ndarray | list[float]) -> np.ndarray:
    """Return the values below which `fractions` of the rows lie, `[len(fractions)]`; 0 where there are no rows."""
    if len(values) == 0:
        return np.zeros(len(fractions))
    if exponent_of(values) < EXTREME:
        return np.quantile(values, fractions)
    return 4 * np.quantile(values / 4, fractions)  # the distance of two values is a number, then
