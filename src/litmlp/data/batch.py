"""The format of a batch, which data, networks and tasks share."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

EXTREME = 60  # exponent of two; with larger weights, losses and their sums might not fit into float32


class Batch(NamedTuple):
    """Encoded rows of a table.

    Attributes:
        numeric: scaled numbers, `[N, F] float32`.
        categorical: codes, `[N, C] int64`.
        target: `[N, O] float32` (standardised values) or `[N] int64` (classes); None if the target is unknown.
        weight: how much each row counts in the loss, `[N] float32`; None if all rows count the same.
    """

    numeric: Tensor
    categorical: Tensor
    target: Tensor | None = None
    weight: Tensor | None = None

    def rows(self, index: Tensor | slice) -> "Batch":
        """Return the rows with these indices, `[M] int64`, or the rows of a slice."""

        def rows_of(tensor: Tensor) -> Tensor:  # index_select copies whole rows; tensor[index] would copy each cell
            return tensor[index] if isinstance(index, slice) else tensor.index_select(0, index)

        numeric, categorical, *target_and_weight = (None if tensor is None else rows_of(tensor) for tensor in self)
        assert numeric is not None
        assert categorical is not None
        return Batch(numeric, categorical.long(), *target_and_weight)  # a table stores its codes in fewer bytes

    def to(self, device: torch.device) -> "Batch":
        """Return the same rows on a device."""
        is_async = device.type != "cpu"  # a copy to the CPU must be complete before it is read
        moved = (t if t is None else t.to(device, non_blocking=is_async) for t in self)
        numeric, categorical, *target_and_weight = moved
        assert numeric is not None
        assert categorical is not None
        return Batch(numeric, categorical, *target_and_weight)

    def split(self, sizes: list[int]) -> list["Batch"]:
        """Return consecutive parts of these sizes. They are views, not copies."""
        columns = ([None] * len(sizes) if tensor is None else tensor.split(sizes) for tensor in self)
        return [Batch(*piece) for piece in zip(*columns, strict=True)]


def weights_of_rows(weights: np.ndarray) -> Tensor:
    """Return weights `[N] float64` as float32; if they do not fit into it, all are divided by the same power of two."""
    exponent = int(np.frexp(weights.max())[1])
    return torch.from_numpy(np.ldexp(weights, -exponent if abs(exponent) > EXTREME else 0).astype(np.float32))
