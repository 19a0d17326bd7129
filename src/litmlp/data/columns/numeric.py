"""Columns of numbers and of truth values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from litmlp.data.amounts import Unit
from litmlp.data.cells import INPUT_ADVICE, Numbers, as_booleans, as_numbers
from litmlp.data.columns.base import Column, Encoded, sampled
from litmlp.data.notation import Notation
from litmlp.data.scaling import scaling_named
from litmlp.data.state import checked_values
from litmlp.errors import InputError


class NumericColumn(Column):
    """Scales numbers. A missing cell becomes 0 on the scale, and a second array marks it with 1.

    The second array exists only if enough cells were missing in training to learn what that means.

    Args:
        name: of the column.
        scaling: `standard`, `robust` or `quantile`.
        absent: texts that mark missing cells in this column.
        min_count: this many training rows must lack a number for the second array to exist.
    """

    kind = "numeric"

    def __init__(self, name: str, scaling: str, absent: Sequence[str] = (), min_count: int = 1) -> None:
        super().__init__(name, absent)
        self.min_count = min_count
        self.scaling = scaling_named(scaling)
        self.unit: Unit | None = None  # None until the column is fitted
        self.is_of_dates = False
        self.is_marked = False

    def parse(self, cells: pl.Series, notation: Notation) -> Numbers:
        """Read numbers. Dates are read as seconds, if the column held dates in training as well."""
        is_of_dates = cells.dtype in (pl.Date, pl.Datetime)
        if self.unit is None:  # training: this decides for all later files
            self.is_of_dates = is_of_dates
        if is_of_dates != self.is_of_dates and cells.null_count() < len(cells):
            kinds = ("dates", "other cells") if is_of_dates else ("no dates", "dates")
            raise InputError(
                f"column '{self.name}' holds {kinds[0]}, but held {kinds[1]} when the network was trained: write it "
                "in the same way"
            )
        return as_numbers(cells, notation, INPUT_ADVICE, self.unit, self.absent)

    def fit(self, parsed: Numbers, rows: np.ndarray) -> None:
        """Learn the scale, the unit, and whether missing cells are marked."""
        self.unit = parsed.unit
        num_missing = 0 if parsed.is_missing is None else int(parsed.is_missing[rows].sum())
        self.is_marked = num_missing >= max(self.min_count, 1)
        self.scaling.fit(parsed.present(sampled(rows)))

    def encode(self, parsed: Numbers) -> Encoded:
        """Return the scaled numbers and, if missing cells are marked, an array that is 1 there and 0 elsewhere."""
        scaled = self.scaling.apply(parsed.values)
        is_missing = parsed.is_missing
        if is_missing is not None:
            scaled[is_missing] = 0
        if not self.is_marked:
            return Encoded([scaled], [])
        return Encoded([scaled, np.zeros_like(scaled) if is_missing is None else is_missing.astype(np.float32)], [])

    @property
    def numeric_names(self) -> list[str]:
        """The column's own name, and the name of the array that marks missing cells."""
        return [self.name, f"{self.name} is missing"] if self.is_marked else [self.name]

    @property
    def cardinalities(self) -> dict[str, int]:
        """An empty dict, because there are no codes."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""
        unit = list(self.unit or Unit())
        return {
            **{"unit": unit, "is_of_dates": self.is_of_dates, "absent": self.absent},
            **{"is_marked": self.is_marked, "scaling": self.scaling.state_dict()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        hints = {"unit": list[str], "is_of_dates": bool, "absent": list[str], "is_marked": bool, "scaling": dict}
        unit, self.is_of_dates, self.absent, self.is_marked, scaling = checked_values(state, hints)
        if len(unit) != len(Unit._fields):
            raise ValueError("a state must hold the text before and after numbers as the two parts of a unit")
        self.unit = Unit(*unit)
        self.scaling.load_state_dict(scaling)

    def describe(self) -> str:
        """Return the kind, the unit, and whether cells are missing, for people."""
        unit = f", in {self.unit}" if self.unit and any(self.unit) else ""
        return f"{self.kind}{unit}{', some missing' if self.is_marked else ''}"


class BooleanColumn(NumericColumn):
    """Encodes truth values as 1 and 0: true and false, yes and no."""

    kind = "boolean"

    def parse(self, cells: pl.Series, notation: Notation) -> Numbers:
        """Read truth values."""
        return as_booleans(cells, notation, self.absent)
