"""From columns of a table to tensors. Encoders are fitted on training rows only, on parsed columns."""

from typing import Any

import polars as pl
import torch
from torch import Tensor

from litmlp.data.scaling import scaling_named
from litmlp.errors import InputError

UNSEEN, MISSING, FIRST_LEVEL = 0, 1, 2


class NumericEncoder:
    """Scales columns; a missing cell becomes the scale's zero, and is marked in a column of its own.

    The mark exists only for columns with missing cells in training, the only ones it could be learned from.

    Args:
        scaling: `standard`, `robust` or `quantile`.
    """

    def __init__(self, scaling: str) -> None:
        self.columns: list[str] = []
        self.marked: list[str] = []
        self.scaling = scaling_named(scaling)

    def fit(self, frame: pl.DataFrame) -> None:
        """Learn the scale and the columns to mark from `frame`."""
        self.marked = [name for name in self.columns if frame[name].null_count() > 0]
        self.scaling.fit(_numbers(frame, self.columns))

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return `[N, F] float32`: the scaled columns, then the marks."""
        scaled = self.scaling.apply(_numbers(frame, self.columns))
        marks = _stack([frame[name].is_null().cast(pl.Float64) for name in self.marked], len(frame))
        return torch.cat([scaled.nan_to_num(nan=0.0), marks], dim=1).float()

    @property
    def names(self) -> list[str]:
        """The name of each encoded column."""
        return [*self.columns, *(f"{name} is missing" for name in self.marked)]

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""
        return {"columns": self.columns, "marked": self.marked, "scaling": self.scaling.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.columns, self.marked = list(state["columns"]), list(state["marked"])
        self.scaling.load_state_dict(state["scaling"])


class CategoricalEncoder:
    """Gives each level a code; code 0 is for levels never seen in training, 1 for missing cells."""

    def __init__(self) -> None:
        self.columns: list[str] = []
        self.levels: list[list[str]] = []

    def fit(self, frame: pl.DataFrame) -> None:
        """Take the levels of each column from `frame`."""
        self.levels = [sorted(frame[name].drop_nulls().unique().to_list()) for name in self.columns]

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return codes, `[N, C] int64`."""
        codes = [_codes(frame[n], levels) for n, levels in zip(self.columns, self.levels, strict=True)]
        return torch.stack(codes, dim=1) if codes else torch.zeros(len(frame), 0, dtype=torch.int64)

    @property
    def cardinalities(self) -> list[int]:
        """The number of codes of each column."""
        return [FIRST_LEVEL + len(levels) for levels in self.levels]

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"columns": self.columns, "levels": self.levels}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.columns, self.levels = list(state["columns"]), [list(levels) for levels in state["levels"]]


def as_numbers(column: pl.Series) -> pl.Series:
    """Return `column` as float64 with null for missing; raise InputError at the first cell that is no finite number."""
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        column = column.cast(pl.String).str.strip_chars()
    numbers = column.cast(pl.Float64, strict=False).fill_nan(None)
    broken = (numbers.is_null() & column.is_not_null() & ~_is_nan(column)) | numbers.is_infinite().fill_null(False)
    if broken.any():
        row = broken.arg_max() or 0
        raise InputError(
            f"column '{column.name}' should hold finite numbers, but its row {row + 1} holds {column[row]!r}: correct "
            "the cell, add the text to data.missing_values, or add the column to data.categorical"
        )
    return numbers


def as_text(column: pl.Series) -> pl.Series:
    """Return `column` as text with null for missing; the same level gets the same text, 1 or 1.0."""
    if not column.dtype.is_float():
        return column.cast(pl.String)
    column = column.fill_nan(None)
    whole = column.cast(pl.Int64, strict=False)
    is_whole = (whole.cast(pl.Float64) == column).fill_null(False)
    return whole.cast(pl.String).zip_with(is_whole, column.cast(pl.String))


def _is_nan(column: pl.Series) -> pl.Series:
    if column.dtype.is_float():
        return column.is_nan().fill_null(False)
    text = column.cast(pl.String).str.to_lowercase()
    return (text == "nan").fill_null(False)


def _numbers(frame: pl.DataFrame, columns: list[str]) -> Tensor:
    return _stack([frame[name].fill_null(float("nan")) for name in columns], len(frame))


def _stack(columns: list[pl.Series], num_rows: int) -> Tensor:
    if not columns:
        return torch.zeros(num_rows, 0, dtype=torch.float64)
    return torch.stack([torch.tensor(column.to_numpy()) for column in columns], dim=1)


def _codes(column: pl.Series, levels: list[str]) -> Tensor:
    codes = column.replace_strict(
        pl.Series(levels, dtype=pl.String),
        pl.Series(range(FIRST_LEVEL, FIRST_LEVEL + len(levels)), dtype=pl.Int64),
        default=UNSEEN,
        return_dtype=pl.Int64,
    )
    return torch.tensor(codes.set(column.is_null(), MISSING).to_numpy())
