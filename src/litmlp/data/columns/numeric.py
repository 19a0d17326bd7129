"""Columns of numbers and of truth values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from litmlp.data.amounts import Unit
from litmlp.data.cells import INPUT_ADVICE, Numbers, as_booleans, as_numbers
from litmlp.data.columns.base import Column, Encoded, sampled
from litmlp.data.columns.categorical import FIRST_LEVEL, MISSING, UNSEEN
from litmlp.data.notation import Notation
from litmlp.data.scaling import scaling_named, scaling_with
from litmlp.data.state import check_finite, checked_values
from litmlp.errors import InputError

# A column of whole numbers has levels if it has so many distinct numbers, with so many rows each on average, and if
# they are at most this fraction of the whole numbers between the smallest and the largest. Amounts of a tax table and
# codes are like this. Measurements are not, and do worse with levels; and of fewer numbers, an embedding in bins can
# tell each from the others.
FEWEST_LEVELS, MOST_LEVELS, ROWS_OF_A_LEVEL, DENSITY = 49, 1024, 10, 0.1


class NumericColumn(Column):
    """Scales numbers. A missing cell becomes 0 on the scale, and a second array marks it with 1.

    The second array exists only if enough cells were missing in training to learn what that means. If the numbers are
    few whole numbers that lie far apart, each that is frequent enough is also a level with a code.

    Args:
        name: of the column.
        scaling: `standard`, `robust` or `quantile`.
        absent: texts that mark missing cells in this column.
        min_count: this many training rows must lack a number for the second array to exist; a number needs as many for
            a level.
        may_have_levels: whether numbers may also be levels.
    """

    kind = "numeric"

    def __init__(
        self, name: str, scaling: str, absent: Sequence[str] = (), min_count: int = 1, may_have_levels: bool = True
    ) -> None:
        super().__init__(name, absent)
        self.may_have_levels = may_have_levels
        self.min_count = min_count
        self.scaling = scaling_named(scaling)
        self.unit: Unit | None = None  # None until the column is fitted
        self.is_of_dates = False
        self.is_marked = False
        self.levels = np.zeros(0)  # rising

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
        """Learn the scale, the unit, the levels, and whether missing cells are marked."""
        self.unit = parsed.unit
        num_missing = 0 if parsed.is_missing is None else int(parsed.is_missing[rows].sum())
        self.is_marked = num_missing >= max(self.min_count, 1)
        present = parsed.present(sampled(rows))
        self.scaling.fit(present)
        if self.may_have_levels and not self.is_of_dates:
            self.levels = _levels_of(present, self.min_count)

    def encode(self, parsed: Numbers) -> Encoded:
        """Return the scaled numbers and, if missing cells are marked, an array that is 1 there and 0 elsewhere."""
        scaled = self.scaling.apply(parsed.values)
        is_missing = parsed.is_missing
        if is_missing is not None:
            scaled[is_missing] = 0
        codes = [self._codes(parsed)] if len(self.levels) else []
        if not self.is_marked:
            return Encoded([scaled], codes)
        mark = np.zeros_like(scaled) if is_missing is None else is_missing.astype(np.float32)
        return Encoded([scaled, mark], codes)

    def _codes(self, parsed: Numbers) -> np.ndarray:
        index = np.searchsorted(self.levels, parsed.values).clip(max=len(self.levels) - 1)
        codes = np.where(self.levels[index] == parsed.values, FIRST_LEVEL + index, UNSEEN).astype(np.int16)
        if parsed.is_missing is not None:
            codes[parsed.is_missing] = MISSING
        return codes

    @property
    def numeric_names(self) -> list[str]:
        """The column's own name, and the name of the array that marks missing cells."""
        return [self.name, f"{self.name} is missing"] if self.is_marked else [self.name]

    @property
    def cardinalities(self) -> dict[str, int]:
        """The number of codes if numbers are also levels: one for each, one for others, one for missing cells."""
        return {f"{self.name} level": FIRST_LEVEL + len(self.levels)} if len(self.levels) else {}

    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""
        unit = list(self.unit or Unit())
        return {
            **{"unit": unit, "is_of_dates": self.is_of_dates, "absent": self.absent},
            **{"is_marked": self.is_marked, "scaling": self.scaling.state_dict()},
            "levels": torch.from_numpy(self.levels),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        hints = {"unit": list[str], "is_of_dates": bool, "absent": list[str], "is_marked": bool, "scaling": dict}
        hints |= {"levels": Tensor}
        state = {"levels": torch.zeros(0, dtype=torch.float64), **state}  # earlier states have no levels
        unit, self.is_of_dates, self.absent, self.is_marked, scaling, levels = checked_values(state, hints)
        if levels.dtype != torch.float64 or levels.ndim != 1 or not bool((levels.diff() > 0).all()):
            raise ValueError("a state must have rising levels of float64")
        check_finite(levels)
        self.levels = levels.numpy().copy()
        if len(unit) != len(Unit._fields):
            raise ValueError("a state must hold the text before and after numbers as the two parts of a unit")
        self.unit = Unit(*unit)
        self.scaling = scaling_with(scaling, self.scaling)

    def describe(self) -> str:
        """Return the kind, the unit, and whether cells are missing, for people."""
        unit = f", in {self.unit}" if self.unit and any(self.unit) else ""
        levels = f", {len(self.levels)} of its numbers also levels" if len(self.levels) else ""
        return f"{self.kind}{unit}{', some missing' if self.is_marked else ''}{levels}"


def _levels_of(values: np.ndarray, min_count: int) -> np.ndarray:
    """Return the numbers `[L]` that are also levels, in rising order; none unless they are few and lie far apart."""
    none = np.zeros(0)
    if len(values) < FEWEST_LEVELS * ROWS_OF_A_LEVEL or (values != np.rint(values)).any():
        return none
    numbers, counts = np.unique(values, return_counts=True)
    is_few = FEWEST_LEVELS <= len(numbers) <= min(MOST_LEVELS, len(values) / ROWS_OF_A_LEVEL)
    if not is_few or len(numbers) > DENSITY * (numbers[-1] / 2 - numbers[0] / 2) * 2:  # the difference may overflow
        return none
    return numbers[counts >= min_count].astype(np.float64)


class BooleanColumn(NumericColumn):
    """Encodes truth values as 1 and 0: true and false, yes and no."""

    kind = "boolean"

    def parse(self, cells: pl.Series, notation: Notation) -> Numbers:
        """Read truth values."""
        return as_booleans(cells, notation, self.absent)
