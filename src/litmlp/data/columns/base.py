"""What a kind of column must say: how its cells are parsed, fitted and encoded.

Columns are fitted on training rows only, and their state is plain values and tensors.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import polars as pl

from litmlp.data.cells import is_text
from litmlp.data.notation import Notation
from litmlp.errors import InputError

MAX_TOLERATED = 100  # different texts of rows that do not count
ROWS_FOR_SCALE = 2**18  # evenly spaced training rows that set a scale; a larger table has no more to say


class Encoded(NamedTuple):
    """What the network sees of a column.

    Attributes:
        numeric: arrays `[N] float32`.
        codes: arrays `[N]` of whole numbers.
    """

    numeric: list[np.ndarray]
    codes: list[np.ndarray]


class Column(ABC):
    """An input column of a table."""

    kind: ClassVar[str]

    def __init__(self, name: str, absent: Sequence[str] = ()) -> None:
        self.name = name
        self.absent = list(absent)  # texts that stand for missing cells in this column

    @abstractmethod
    def parse(self, cells: pl.Series, notation: Notation) -> Any:
        """Read raw cells; raise InputError at the first that does not fit."""

    @abstractmethod
    def fit(self, parsed: Any, rows: np.ndarray) -> None:
        """Learn from the training rows, whose places among the parsed ones are `rows`."""

    @abstractmethod
    def encode(self, parsed: Any) -> Encoded:
        """Return what the network sees of all rows."""

    def tolerate(self, cells: pl.Series, notation: Notation) -> None:
        """Take what cannot be read in rows that do not count, as a line of totals, for missing cells from now on."""
        for text in cells.cast(pl.String).unique().drop_nulls().head(MAX_TOLERATED) if is_text(cells) else ():
            try:
                self.parse(pl.Series(cells.name, [text]), notation)
            except InputError:
                self.absent.append(text.strip())

    def remark(self, parsed: Any) -> str:
        """Return what is strange about the cells of another file, for people; empty if nothing is."""
        return ""

    @property
    @abstractmethod
    def numeric_names(self) -> list[str]:
        """A name for each numeric array of `encode`."""

    @property
    @abstractmethod
    def cardinalities(self) -> dict[str, int]:
        """A name and the number of codes for each array of codes of `encode`."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def describe(self) -> str:
        """Return what was made of the column, for people."""
        return self.kind

    @property
    def reads_text(self) -> bool:
        """Whether cells of a CSV file must reach `parse` as they are written, though they look like numbers."""
        return False


def sampled(rows: np.ndarray) -> np.ndarray:
    """Return evenly spaced rows, as many as a scale needs."""
    if len(rows) <= ROWS_FOR_SCALE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, ROWS_FOR_SCALE).astype(np.int64)]
