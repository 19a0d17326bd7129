"""What a column is, by its cells: a guess that the user can correct."""

import re
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from litmlp.data.cells import (
    FALSE_WORDS,
    TRUE_WORDS,
    as_levels,
    date_format,
    is_text,
    number_style,
    shortened,
    value_of,
)

LEFT_OUT = "left out"
SHARE_OF_IDENTIFIERS = 0.95  # different texts among the rows of a column that names rows rather than describes them
SHARE_OF_NUMBERS = 0.8  # of the levels of a column that may be meant as numbers
FEWEST_ROWS = 20  # to tell that from chance
_IDENTIFIER = re.compile(
    r"(?i:(^|[\s_.-])(id|uuid|guid|index|idx|row)$|^unnamed: ?\d+$|^__index_level_\d+__$|^$)|[a-z]I[dD]$"
)


class Kind(NamedTuple):
    """A guess.

    Attributes:
        name: that of a column class in `columns.KINDS`, or LEFT_OUT.
        reason: for people: why it is left out, or what may be wrong with the guess.
        written: how its numbers or dates are written in text.
    """

    name: str
    reason: str = ""
    written: str | None = None


def kind_of(cells: pl.Series, missing_values: list[str]) -> Kind:
    """Guess a column's kind from all of its cells."""
    if is_text(cells):
        return _kind_of_text(cells, missing_values)
    dtype = cells.dtype
    if dtype.is_float():
        cells = cells.fill_nan(None)
    if cells.null_count() == len(cells):
        return Kind(LEFT_OUT, "it has no values")
    if dtype in (pl.Date, pl.Datetime):
        return _unless_constant(cells, Kind("date"))
    if dtype == pl.Boolean:
        return _unless_constant(cells, Kind("boolean"))
    if dtype.is_integer() and _names_rows(cells, lambda: cells.drop_nulls().n_unique(), cells.count()):
        return Kind(LEFT_OUT, "it looks like an identifier: each row has another number")
    if dtype.is_numeric() or dtype in (pl.Time, pl.Duration):
        return _unless_constant(cells, Kind("numeric"))
    return Kind(LEFT_OUT, f"its cells are of type {dtype}")


def _unless_constant(cells: pl.Series, kind: Kind) -> Kind:
    plain = cells.to_physical()  # Polars panics at moments that no calendar has
    if cells.null_count() == 0 and plain.min() == plain.max():
        return Kind(LEFT_OUT, f"all rows have the same value, {shortened(str(value_of(cells, 0)))}")
    return kind


def _names_rows(cells: pl.Series, count_different: Callable[[], int], num_present: int) -> bool:
    is_named_so = _IDENTIFIER.search(cells.name) is not None
    return is_named_so and num_present >= FEWEST_ROWS and count_different() == num_present


def _kind_of_text(cells: pl.Series, missing_values: list[str]) -> Kind:
    levels = as_levels(cells, missing_values)
    num_levels, num_present = len(levels.names), int((levels.codes >= 0).sum())
    if num_present == 0:
        return Kind(LEFT_OUT, "it has no values")
    if num_levels == 1 and num_present == len(cells):
        return Kind(LEFT_OUT, f"all rows have the same value, {shortened(levels.names[0])}")
    if style := number_style(cells, missing_values):
        if _names_rows(cells, lambda: num_levels, num_present):
            return Kind(LEFT_OUT, "it looks like an identifier: each row has another number")
        return Kind("numeric", written=style)
    if written := date_format(cells, missing_values):
        return Kind("date", written=written)
    words = {name.lower() for name in levels.names}
    if len(words) == 2 and len(words & {*TRUE_WORDS}) == 1 and len(words & {*FALSE_WORDS}) == 1:
        return Kind("boolean")
    doubt = _doubt(cells, levels.names)
    if num_present >= FEWEST_ROWS and num_levels > SHARE_OF_IDENTIFIERS * num_present:
        return Kind(LEFT_OUT, doubt or "it looks like an identifier: (nearly) each row has another text")
    return Kind("categorical", doubt)


def _doubt(cells: pl.Series, names: list[str]) -> str:
    # Of a column that is perhaps meant to be numeric.
    numbers = pl.Series(names).cast(pl.Float64, strict=False)
    is_odd = ~numbers.is_finite().fill_null(False)
    if not is_odd.any() or is_odd.sum() >= (1 - SHARE_OF_NUMBERS) * len(names):
        return ""
    odd = names[is_odd.arg_max() or 0]
    row = (cells.cast(pl.String).str.strip_chars() == odd).arg_max() or 0
    return (
        f"most of its levels are numbers, but row {row + 1} holds {shortened(repr(odd))}: if that stands for a missing "
        "cell, add it to data.missing_values"
    )
