"""Bringing numeric columns to a common scale. Values are `[N, F] float64`, with NaN where missing."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from litmlp.errors import did_you_mean


class Scaling(ABC):
    """Fitted on training rows; its state is a few tensors."""

    @abstractmethod
    def fit(self, values: Tensor) -> None:
        """Learn from training rows."""

    @abstractmethod
    def apply(self, values: Tensor) -> Tensor:
        """Return scaled values, `[N, F]`; NaN stays NaN."""

    def state_dict(self) -> dict[str, Any]:
        """Return the fitted tensors."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        vars(self).update(state)


class StandardScaling(Scaling):
    """Mean 0 and standard deviation 1; a constant column becomes 0."""

    def fit(self, values: Tensor) -> None:
        """Take mean and standard deviation."""
        self.mean, self.std = mean_and_std(values)

    def apply(self, values: Tensor) -> Tensor:
        """Shift and divide."""
        return (values - self.mean) / self.std


class RobustScaling(Scaling):
    """Median 0 and interquartile range 1, then bent smoothly so that nothing goes beyond 3.

    Outliers neither set the scale nor dominate a row. Source: Holzmüller et al. 2024, "Better by Default" (RealMLP).
    """

    limit = 3.0

    def fit(self, values: Tensor) -> None:
        """Take median and quartiles; where these coincide, half the range."""
        low, quarter, half, three_quarters, high = _quantiles(values, [0, 0.25, 0.5, 0.75, 1])
        spread = torch.where(three_quarters > quarter, three_quarters - quarter, (high - low) / 2)
        self.median = half
        self.spread = torch.where(spread > 0, spread, 1.0)

    def apply(self, values: Tensor) -> Tensor:
        """Shift, divide and bend: z / sqrt(1 + (z / 3)^2)."""
        z = (values - self.median) / self.spread
        return z / torch.sqrt(1 + (z / self.limit) ** 2)


class QuantileScaling(Scaling):
    """Each column's distribution becomes the standard normal one, whatever it was; order is all that is kept."""

    num_knots = 1001

    def fit(self, values: Tensor) -> None:
        """Take evenly spaced quantiles, `[knots, F]`."""
        self.knots = _quantiles(values, np.linspace(0, 1, self.num_knots).tolist())

    def apply(self, values: Tensor) -> Tensor:
        """Look up each value's share of smaller ones, and the normal quantile of that share."""
        shares = [_share_below(column, knots) for column, knots in zip(values.T, self.knots.T, strict=True)]
        edge = 0.5 / self.num_knots
        share = torch.stack(shares, dim=1) if shares else values
        return torch.special.ndtri(share.clamp(edge, 1 - edge))


def mean_and_std(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return both for each column, `[F]`; a deviation of 1 where a column is constant but for rounding."""
    mean = values.nanmean(dim=0).nan_to_num()
    std = ((values - mean) ** 2).nanmean(dim=0).nan_to_num().sqrt()
    return mean, torch.where(std > 1e-13 * mean.abs(), std, 1.0)


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


def _quantiles(values: Tensor, shares: list[float]) -> Tensor:
    # [len(shares), F]; 0 for a column without any value.
    columns = [column[~column.isnan()].numpy() for column in values.T]
    quantiles = [np.quantile(column, shares) if len(column) else np.zeros(len(shares)) for column in columns]
    return torch.tensor(np.array(quantiles).reshape(len(columns), len(shares)).T)


def _share_below(column: Tensor, knots: Tensor) -> Tensor:
    # The mean of both directions gives ties the middle of their stretch of equal knots.
    shares = np.linspace(0, 1, len(knots))
    x, y = column.numpy(), knots.numpy()
    return torch.tensor((np.interp(x, y, shares) + (1 - np.interp(-x, -y[::-1], shares))) / 2)
