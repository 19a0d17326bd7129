"""Rows of many batches in one piece of memory."""

import torch
from torch import Tensor

ENOUGH = 2048  # rows to copy at once


class Collected:
    """Keeps rows that come batch by batch, until they are taken.

    The memory is kept for the next epoch, and filled by several small batches at once, since copying each would cost a
    small network a tenth of its step. A list of all the batches' tensors would be shorter, but small tensors that
    outlive a step keep the allocator from using the memory between them again: gigabytes, on large tables.
    """

    def __init__(self) -> None:
        self.pending: list[Tensor] = []
        self.num_pending = 0
        self.memory: Tensor | None = None
        self.num_rows = 0

    def add(self, rows: Tensor) -> None:
        """Keep rows `[N, ...]`, which must not change until they are taken."""
        self.pending.append(rows)
        self.num_pending += len(rows)
        if self.num_pending >= ENOUGH:
            self._copy()

    def rows(self) -> Tensor | None:
        """Return all rows, or None if there are none; the same memory holds those of the next epoch."""
        if self.pending:
            self._copy()
        return None if self.memory is None or self.num_rows == 0 else self.memory[: self.num_rows]

    def take(self) -> Tensor | None:
        """Return all rows, and forget them."""
        rows = self.rows()
        self.num_rows = 0
        return rows

    def _copy(self) -> None:
        first, memory = self.pending[0], self.memory
        kind = (first.dtype, first.device, first.shape[1:])
        if memory is None or (memory.dtype, memory.device, memory.shape[1:]) != kind:
            memory, self.num_rows = _empty(self.num_pending, first), 0
        end = self.num_rows + self.num_pending
        if end > len(memory):
            larger = _empty(2 * end, first)
            larger[: self.num_rows] = memory[: self.num_rows]
            memory = larger
        torch.cat(self.pending, out=memory[self.num_rows : end])
        self.pending.clear()
        self.memory, self.num_rows, self.num_pending = memory, end, 0


def _empty(num_rows: int, like: Tensor) -> Tensor:
    with torch.inference_mode(False):  # or it could not be written to in training
        return torch.empty(num_rows, *like.shape[1:], dtype=like.dtype, device=like.device)
