"""The base class of input columns, which parse, fit and encode their cells.

Columns are fitted on training rows only. Their state consists of plain values and tensors.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import polars as pl

from litmlp.data.cells import is_text
from litmlp.data.notation import Notation
from litmlp.errors import InputError

MAX_TOLERATED = 100  # distinct texts that are looked at in the rows without a target
ROWS_FOR_SCALE = 2**18  # evenly spaced training rows from which a scale is computed; more would hardly change it


class Encoded(NamedTuple):
    """The arrays that the network sees in place of a column.

    Attributes:
        numeric: arrays `[N] float32`.
        codes: arrays of integers, `[N]`.
    """

    numeric: list[np.ndarray]
    codes: list[np.ndarray]


class Column(ABC):
    """An input column of a table."""

    kind: ClassVar[str]

    def __init__(self, name: str, absent: Sequence[str] = ()) -> None:
        self.name = name
        self.absent = list(absent)  # further texts that mark a missing cell in this column

    @abstractmethod
    def parse(self, cells: pl.Series, notation: Notation) -> Any:
        """Read raw cells; raise InputError at the first cell that does not fit."""

    @abstractmethod
    def fit(self, parsed: Any, rows: np.ndarray) -> None:
        """Learn from the training rows; `rows` are their indices among the parsed cells."""

    @abstractmethod
    def encode(self, parsed: Any) -> Encoded:
        """Return the arrays of all rows that the network sees."""

    def tolerate(self, cells: pl.Series, notation: Notation) -> None:
        """Add the texts among `cells` that cannot be read to the marks of a missing cell.

        The cells belong to rows without a target, such as a line of totals. Another file may hold such a line as well.
        """
        for text in cells.cast(pl.String).unique().drop_nulls().head(MAX_TOLERATED) if is_text(cells) else ():
            try:
                self.parse(pl.Series(cells.name, [text]), notation)
            except InputError:
                self.absent.append(text.strip())

    def remark(self, parsed: Any) -> str:
        """Return a sentence about what is unusual in the cells of another file; empty if nothing is."""
        return ""

    @property
    @abstractmethod
    def numeric_names(self) -> list[str]:
        """The names of the numeric arrays of `encode`."""

    @property
    @abstractmethod
    def cardinalities(self) -> dict[str, int]:
        """The names of the arrays of codes of `encode`, each with its number of codes."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def describe(self) -> str:
        """Return a short description of how the column is encoded, for people."""
        return self.kind

    @property
    def reads_text(self) -> bool:
        """Whether `parse` needs the original text of a CSV file's cells even if they look like numbers."""
        return False


def sampled(rows: np.ndarray) -> np.ndarray:
    """Return evenly spaced row indices, at most ROWS_FOR_SCALE of them."""
    if len(rows) <= ROWS_FOR_SCALE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, ROWS_FOR_SCALE).astype(np.int64)]
