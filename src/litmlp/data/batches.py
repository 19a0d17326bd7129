"""Batches cut from whole tensors, their order, and the device that the rows are on."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from litmlp.data.batch import Batch

ROWS_TAKEN_AT_ONCE = 16384  # taken from a table, for several batches
FRACTION_OF_DEVICE = 0.5  # of a GPU's free memory, for rows


def belong_on(tables: Mapping[str, Batch], device: torch.device, asked: bool | None) -> bool:
    """Return whether all rows are kept on the device, so that a step moves none: as asked, or if they fit."""
    if device.type != "cuda" or asked is not None:
        return bool(asked)
    size = sum(tensor.nbytes for table in tables.values() for tensor in table if tensor is not None)
    free, _ = torch.cuda.mem_get_info(device)
    return size < FRACTION_OF_DEVICE * free


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
        at_once = max(1, ROWS_TAKEN_AT_ONCE // self.batch_size)
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
