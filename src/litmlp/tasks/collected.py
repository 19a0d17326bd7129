"""Rows of many batches in one piece of memory."""

import torch
from torch import Tensor

MOST_PENDING = 64


class Collected:
    """Keeps rows that come batch by batch, until they are taken.

    The memory is kept for the next epoch, and filled by many batches at once, since copying each would cost a small
    network a tenth of its step. A list of all the batches' tensors would be shorter, but small tensors that outlive a
    step keep the allocator from using the memory between them again: gigabytes, on large tables.
    """

    def __init__(self) -> None:
        self.pending: list[Tensor] = []
        self.memory: Tensor | None = None
        self.num_rows = 0

    def add(self, rows: Tensor) -> None:
        """Keep rows `[N, ...]`, which must not change until they are taken."""
        self.pending.append(rows)
        if len(self.pending) == MOST_PENDING:
            self._copy(torch.cat(self.pending))

    def rows(self) -> Tensor | None:
        """Return all rows, or None if there are none; the same memory holds those of the next epoch."""
        if self.pending:
            self._copy(torch.cat(self.pending))
        return None if self.memory is None or self.num_rows == 0 else self.memory[: self.num_rows]

    def take(self) -> Tensor | None:
        """Return all rows, and forget them."""
        rows = self.rows()
        self.num_rows = 0
        return rows

    def _copy(self, rows: Tensor) -> None:
        self.pending.clear()
        end = self.num_rows + len(rows)
        memory = self.memory
        if memory is None or (memory.dtype, memory.device, memory.shape[1:]) != (
            rows.dtype,
            rows.device,
            rows.shape[1:],
        ):
            self.num_rows, end = 0, len(rows)
            memory = self._grown(rows, end)
        elif end > len(memory):
            memory = self._grown(memory[: self.num_rows], 2 * end)
        memory[self.num_rows : end] = rows
        self.memory, self.num_rows = memory, end

    def _grown(self, rows: Tensor, num_rows: int) -> Tensor:
        with torch.inference_mode(False):  # or it could not be written to in training
            memory = torch.empty(num_rows, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
        memory[: self.num_rows] = rows[: self.num_rows]
        return memory
