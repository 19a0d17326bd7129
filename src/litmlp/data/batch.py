"""The one batch contract."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

EXTREME = 60  # power of two, from which on weights might leave no room for losses and sums


class Batch(NamedTuple):
    """Rows of a table, encoded.

    Attributes:
        numeric: `[N, F] float32`, scaled.
        categorical: `[N, C] int64`, codes.
        target: `[N, O] float32` (standardised values) or `[N] int64` (classes); None where unknown.
        weight: `[N] float32`, how much each row counts in the loss; None where all count the same.
    """

    numeric: Tensor
    categorical: Tensor
    target: Tensor | None = None
    weight: Tensor | None = None

    def rows(self, index: Tensor | slice) -> "Batch":
        """Return the rows with these indices, `[M] int64`, or those of a slice."""

        def taken(tensor: Tensor) -> Tensor:  # tensor[index] would copy cell by cell
            return tensor[index] if isinstance(index, slice) else tensor.index_select(0, index)

        numeric, categorical, *others = (None if tensor is None else taken(tensor) for tensor in self)
        assert numeric is not None
        assert categorical is not None
        return Batch(numeric, categorical.long(), *others)  # a table keeps its codes in fewer bytes

    def to(self, device: torch.device) -> "Batch":
        """Return the same rows on a device."""
        is_async = device.type != "cpu"  # what comes back could be read before it has
        numeric, categorical, *others = (t if t is None else t.to(device, non_blocking=is_async) for t in self)
        assert numeric is not None
        assert categorical is not None
        return Batch(numeric, categorical, *others)

    def split(self, sizes: list[int]) -> list["Batch"]:
        """Return consecutive rows, as views."""
        columns = ([None] * len(sizes) if tensor is None else tensor.split(sizes) for tensor in self)
        return [Batch(*piece) for piece in zip(*columns, strict=True)]


def weights_of_rows(weights: np.ndarray) -> Tensor:
    """Return weights `[N] float64` as float32; where it has no room for them, all are divided by a power of two."""
    exponent = int(np.frexp(weights.max())[1])
    return torch.from_numpy(np.ldexp(weights, -exponent if abs(exponent) > EXTREME else 0).astype(np.float32))
