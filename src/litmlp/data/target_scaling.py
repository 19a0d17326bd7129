"""Converts targets from their own units to the values that a network learns, and back."""

from collections.abc import Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor

from litmlp.data.scaling import mean_and_std, standardised

TRANSFORMS = ("none", "log1p")
LARGEST = 1e140  # largest absolute value of a target; squared errors of such values still fit into float64


class TargetScaling:
    """Transforms O targets, then standardises each by its mean and standard deviation.

    Args:
        num_targets: O.
        transform: `none`, or `log1p`, the logarithm of 1 + the target, for amounts that span several powers of ten.

    Attributes:
        mean: of the transformed targets of the training rows, `[O] float64`.
        std: their standard deviations, `[O] float64`; 1 for a constant target.
    """

    def __init__(self, num_targets: int, transform: str = "none") -> None:
        self.transform = transform
        self.mean = torch.zeros(num_targets, dtype=torch.float64)
        self.std = torch.ones(num_targets, dtype=torch.float64)

    def transformed(self, values: np.ndarray) -> np.ndarray:
        """Apply the transform to the values `[N]` of a target; standardising comes afterwards."""
        return np.log1p(values) if self.transform == "log1p" else values

    def fit(self, transformed: Sequence[np.ndarray]) -> None:
        """Compute mean and standard deviation of each target on training rows; a constant target is only shifted."""
        moments = [mean_and_std(values) for values in transformed]
        self.mean, self.std = torch.tensor(moments, dtype=torch.float64).unbind(dim=1)

    def standardised(self, transformed: Sequence[np.ndarray]) -> np.ndarray:
        """Turn O arrays of transformed values, `[N]`, into the values that a network learns, `[N, O] float64`."""
        each = zip(transformed, self.mean.tolist(), self.std.tolist(), strict=True)
        return np.stack([standardised(values, mean, std) for values, mean, std in each], axis=1)

    @classmethod
    def of_tables(cls, scalings: Sequence["TargetScaling"]) -> "TargetScaling":
        """Return the scaling of M tables that have one each, with the same transform, for outputs `[M, N, O]`."""
        one = copy(scalings[0])
        one.mean, one.std = (torch.stack([getattr(own, key) for own in scalings])[:, None] for key in ("mean", "std"))
        return one

    def in_own_units(self, output: Tensor, with_mean: bool = True) -> Tensor:
        """Undo standardising and transform for outputs `[N, O]`.

        The result is float64 on the CPU, because float32 has too few digits.

        Args:
            output: standardised values.
            with_mean: False leaves out the mean, which cancels in differences. With `log1p` it does not cancel, so
                that it is always added.
        """
        values = output.cpu().double() * self.std
        if self.transform == "log1p":
            return (self.mean + values).expm1().clamp(0, LARGEST)
        return self.mean + values if with_mean else values

    def mean_of(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """Return the output `[N, O]` whose value in own units is the weighted mean of those of M outputs, `[N, M, O]`.

        Args:
            outputs: standardised values.
            weights: of the M outputs, `[M]`, with the sum 1.
        """
        if self.transform == "none":
            return torch.einsum("nmo,m->no", outputs, weights)
        std, least = self.std.to(outputs), (-self.mean / self.std).to(outputs)  # the value of `least` is 0
        # The mean cancels: log(mean(exp(mean + std * output))) - mean. Near 0, expm1 and log1p keep digits.
        values = outputs.clamp(min=least) * std
        largest = values.amax(dim=1)
        return (largest + torch.einsum("nmo,m->no", (values - largest[:, None]).expm1(), weights).log1p()) / std
