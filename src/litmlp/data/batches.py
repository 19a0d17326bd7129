"""Batches that are cut from whole tensors, the order of their rows, and the device that holds the rows."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from litmlp.data.batch import Batch

ROWS_INDEXED_AT_ONCE = 16384  # rows that one indexing operation takes from a table, for several batches
FRACTION_OF_DEVICE = 0.5  # the part of a GPU's free memory that the rows may fill


def belong_on(tables: Mapping[str, Batch], device: torch.device, requested: bool | None) -> bool:
    """Return whether all rows are kept on the device, so that a training step need not move any.

    `requested` decides if it is not None; otherwise a GPU keeps the rows if they fit.
    """
    if device.type != "cuda" or requested is not None:
        return bool(requested)
    size = sum(tensor.nbytes for table in tables.values() for tensor in table if tensor is not None)
    free, _ = torch.cuda.mem_get_info(device)
    return size < FRACTION_OF_DEVICE * free


class InOrder:
    """Visits all rows in the order of the table."""

    epoch = 0

    def indices(self, num_rows: int) -> Tensor:
        """Return 0, 1, ..., `[num_rows] int64`."""
        return torch.arange(num_rows)


class Shuffled:
    """Visits all rows in a random order that depends only on seed and epoch, so a resumed run sees the same batches."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next order; Lightning calls this before each epoch."""
        self.epoch = epoch

    def indices(self, num_rows: int) -> Tensor:
        """Return a permutation, `[num_rows] int64`."""
        state = int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0])
        return torch.randperm(num_rows, generator=torch.Generator().manual_seed(state))


class Batches:
    """Iterates over `table` in batches. It indexes whole tensors instead of collating single rows.

    Each of `world_size` processes gets every `world_size`-th row of the same order. As in torch's DataLoader,
    Lightning calls `set_epoch` of the attribute `sampler`. Several batches are moved to `device` at once, which costs
    as much as moving one. Without a `device` they stay on the device of the table.
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
        self.position = (-1, 0)  # the epoch, and how many of its batches were yielded
        self.resumed = self.position

    def __len__(self) -> int:
        """Count the batches. All processes have the same number, so that none waits for another one forever."""
        return -(-self._rows_each() // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.sampler.indices(len(self.table.numeric))
        own = order[self.rank :: self.world_size][: self._rows_each()]
        epoch = self.sampler.epoch
        done = self.resumed[1] if self.resumed[0] == epoch else 0
        at_once = max(1, ROWS_INDEXED_AT_ONCE // self.batch_size)
        for first in range(done, len(self), at_once):
            ends = [self._end(number, len(own)) for number in range(first, min(first + at_once, len(self)) + 1)]
            index = own[ends[0] : ends[-1]].to(self.table.numeric.device)
            batches = self.table.rows(index).to(self.device).split([b - a for a, b in pairwise(ends)])
            for number, batch in enumerate(batches, first + 1):
                self.position = (epoch, number)  # before the yield: the batch counts as done while it is trained on
                yield batch

    def _end(self, number: int, num_rows: int) -> int:
        # Return how many of this process's rows are in its first `number` batches. A process may have one row fewer
        # than another, but never one batch fewer: its rows are then spread evenly over the batches.
        if num_rows == self._rows_each():
            return min(number * self.batch_size, num_rows)
        each, remainder = divmod(num_rows, len(self))
        return number * each + min(number, remainder)

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch and how many of its batches were yielded."""
        return {"place": list(self.position)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after the stored batch if the next epoch is the stored one."""
        self.resumed = tuple(state_dict["place"])

    def _rows_each(self) -> int:
        # Return how many rows each process gets at most. Shuffled rows that are left over are dropped, because they
        # come up in another epoch. Rows in order must all be seen, so their number is rounded up.
        num_rows = len(self.table.numeric)
        if isinstance(self.sampler, Shuffled):
            return num_rows // self.world_size
        return -(-num_rows // self.world_size)
