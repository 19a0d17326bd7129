"""From a target's own units to the values that a network learns, and back."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from litmlp.data.scaling import mean_and_std, standardised

TRANSFORMS = ("none", "log1p")
LARGEST = 1e140  # number: the squares of what a network makes of it are numbers, too


class TargetScaling:
    """Transforms O targets, then standardises each by its mean and standard deviation.

    Args:
        num_targets: O.
        transform: `none`, or `log1p`, the logarithm of 1 + the target, which suits amounts over powers of ten.

    Attributes:
        mean: of the transformed targets of the training rows, `[O] float64`.
        std: their standard deviations, `[O] float64`; 1 for a constant target.
    """

    def __init__(self, num_targets: int, transform: str = "none") -> None:
        self.transform = transform
        self.mean = torch.zeros(num_targets, dtype=torch.float64)
        self.std = torch.ones(num_targets, dtype=torch.float64)

    def transformed(self, values: np.ndarray) -> np.ndarray:
        """Return values `[N]` of a target as they are standardised."""
        return np.log1p(values) if self.transform == "log1p" else values

    def fit(self, transformed: Sequence[np.ndarray]) -> None:
        """Take mean and standard deviation of each target in the training rows; a constant one is only shifted."""
        both = [mean_and_std(values) for values in transformed]
        self.mean, self.std = torch.tensor(both, dtype=torch.float64).unbind(dim=1)

    def standardised(self, transformed: Sequence[np.ndarray]) -> np.ndarray:
        """Return what a network learns, `[N, O] float64`, of O arrays of transformed values, `[N]`."""
        each = zip(transformed, self.mean.tolist(), self.std.tolist(), strict=True)
        return np.stack([standardised(values, mean, std) for values, mean, std in each], axis=1)

    def in_own_units(self, output: Tensor, with_mean: bool = True) -> Tensor:
        """Undo both for outputs `[N, O]`, as float64 on the CPU, since float32 has too few digits.

        Args:
            output: standardised values.
            with_mean: False leaves out the mean, which has no part in differences; a logarithm's mean always has.
        """
        values = output.cpu().double() * self.std
        if self.transform == "log1p":
            return (self.mean + values).expm1().clamp(0, LARGEST)
        return self.mean + values if with_mean else values
