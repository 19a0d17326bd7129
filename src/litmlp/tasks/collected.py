"""Collects the rows of many batches in one tensor."""

import torch
from torch import Tensor

MIN_COPIED = 2048  # rows; smaller batches are copied together


class Collected:
    """Keeps rows that arrive batch by batch until they are taken.

    The memory is kept for the next epoch. Several small batches are copied at once, because copying each of them would
    take a tenth of the time of a small network's step. A list of the batches' tensors would be less code, but small
    tensors that outlive a step keep the allocator from reusing the memory between them. On large tables this would
    waste gigabytes.
    """

    def __init__(self) -> None:
        self.pending: list[Tensor] = []
        self.num_pending = 0
        self.memory: Tensor | None = None
        self.num_rows = 0
        self.whole: Tensor | None = None  # all rows, if they were put

    def add(self, rows: Tensor) -> None:
        """Keep rows `[N, ...]`. The caller must not change them, because they may be copied later."""
        self.pending.append(rows)
        self.num_pending += len(rows)
        if self.num_pending >= MIN_COPIED:
            self._copy()

    def put(self, rows: Tensor) -> None:
        """Keep all rows of an epoch, `[N, ...]`, without a copy if there are no others. Later ones overwrite them."""
        if self.pending or self.num_rows:
            self.add(rows)
        else:
            self.memory, self.num_rows, self.whole = rows, len(rows), rows

    def holds(self, rows: Tensor) -> bool:
        """Tell whether all rows are these, which were put."""
        return self.whole is rows and not self.pending

    def rows(self) -> Tensor | None:
        """Return all rows, or None if there are none. The rows of the next epoch overwrite the same memory."""
        if self.pending:
            self._copy()
        return None if self.memory is None or self.num_rows == 0 else self.memory[: self.num_rows]

    def take(self) -> Tensor | None:
        """Return all rows and start anew."""
        rows = self.rows()
        self.num_rows, self.whole = 0, None
        return rows

    def _copy(self) -> None:
        first, memory = self.pending[0], self.memory
        layout = (first.dtype, first.device, first.shape[1:])
        if memory is None or (memory.dtype, memory.device, memory.shape[1:]) != layout:
            memory, self.num_rows = _empty(self.num_pending, first), 0
        end = self.num_rows + self.num_pending
        if end > len(memory):  # doubling keeps the number of such copies small
            larger = _empty(2 * end, first)
            larger[: self.num_rows] = memory[: self.num_rows]
            memory = larger
        torch.cat(self.pending, out=memory[self.num_rows : end])
        self.pending.clear()
        self.memory, self.num_rows, self.num_pending, self.whole = memory, end, 0, None


def _empty(num_rows: int, like: Tensor) -> Tensor:
    with torch.inference_mode(False):  # training could not write to a tensor made in inference mode
        return torch.empty(num_rows, *like.shape[1:], dtype=like.dtype, device=like.device)
