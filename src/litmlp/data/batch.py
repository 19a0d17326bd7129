"""The one batch contract, and batches cut from whole tensors."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

EXTREME = 60  # power of two, from which on weights might leave no room for losses and sums
ROWS_AT_ONCE = 16384  # taken from a table, for several batches


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
        """Return the rows at the places in `index`, `[M] int64`, or of a stretch."""

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


class InOrder:
    """All rows, as they come."""

    epoch = 0

    def indices(self, num_rows: int) -> Tensor:
        """Return `[num_rows] int64`."""
        return torch.arange(num_rows)


class Shuffled:
    """All rows in an order drawn from (seed, epoch) alone, so that a resumed run sees the same batches."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def indices(self, num_rows: int) -> Tensor:
        """Return a permutation, `[num_rows] int64`."""
        state = int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0])
        return torch.randperm(num_rows, generator=torch.Generator().manual_seed(state))


class Batches:
    """Iterates over `table` in batches, indexing whole tensors rather than collating rows.

    Each of `world_size` processes gets every `world_size`-th row of the same order. As in torch's DataLoader,
    `sampler` is where Lightning calls `set_epoch`. Batches come to `device`, many at once, which costs as much as
    moving one; without it they stay where the table is.
    """

    batch_sampler = None

    def __init__(
        self,
        table: Batch,
        batch_size: int,
        sampler: InOrder | Shuffled,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
    ) -> None:
        self.table = table
        self.batch_size = batch_size
        self.sampler = sampler
        self.rank = rank
        self.world_size = world_size
        self.device = device or table.numeric.device
        self.place = (-1, 0)  # epoch, and batches that it has had
        self.resumed = self.place

    def __len__(self) -> int:
        """Count the batches; the same in each process, so that none waits for another forever."""
        return -(-self._rows_each() // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.sampler.indices(len(self.table.numeric))
        mine = order[self.rank :: self.world_size][: self._rows_each()]
        epoch = self.sampler.epoch
        done = self.resumed[1] if self.resumed[0] == epoch else 0
        at_once = max(1, ROWS_AT_ONCE // self.batch_size)
        for first in range(done, len(self), at_once):
            ends = [self._end(number, len(mine)) for number in range(first, min(first + at_once, len(self)) + 1)]
            index = mine[ends[0] : ends[-1]].to(self.table.numeric.device)
            batches = self.table.rows(index).to(self.device).split([b - a for a, b in pairwise(ends)])
            for number, batch in enumerate(batches, first + 1):
                self.place = (epoch, number)
                yield batch

    def _end(self, number: int, num_rows: int) -> int:
        # Of the first batches in this process's rows. It may have a row less than another, but never a batch less.
        if num_rows == self._rows_each():
            return min(number * self.batch_size, num_rows)
        each, more = divmod(num_rows, len(self))
        return number * each + min(number, more)

    def state_dict(self) -> dict[str, Any]:
        """Return how far the epoch has come."""
        return {"place": list(self.place)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict` was called, if that epoch comes next."""
        self.resumed = tuple(state_dict["place"])

    def _rows_each(self) -> int:
        # Shuffled rows left over come up in another epoch; rows in order must all be seen.
        num_rows = len(self.table.numeric)
        if isinstance(self.sampler, Shuffled):
            return num_rows // self.world_size
        return -(-num_rows // self.world_size)
