"""Parses the cells of a raw column as numbers, levels, truth values or dates.

Text is parsed once per distinct value, not once per cell: a column of millions of cells has few distinct values.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from litmlp.data import amounts, date_formats
from litmlp.data.amounts import Unit
from litmlp.data.notation import Notation
from litmlp.errors import InputError

# The first and the last day of Python's calendar, counted from 1970.
FIRST_DAY, LAST_DAY = ((day - date(1970, 1, 1)).days for day in (date.min, date.max))
PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
INPUT_ADVICE = ", add the text to data.missing_values, or add the column to data.categorical or data.ignore"
MAX_SHOWN = 80  # characters of a cell or a name that a message shows
_WHOLE = re.compile(r"^([+-]?\d+)\.0+$")
TRUE_WORDS = ("true", "yes", "t", "y", "on", "1", "1.0")
FALSE_WORDS = ("false", "no", "f", "n", "off", "0", "0.0")


class Numbers(NamedTuple):
    """Numbers of a column.

    Attributes:
        values: `[N] float64` (dates: `int64`), 0 where missing.
        is_missing: `[N] bool`; None if no cell is missing.
        unit: the text before and after the numbers, such as a currency.
        doubt: a log message about what may have been misread; empty if nothing is doubtful.
    """

    values: np.ndarray
    is_missing: np.ndarray | None = None
    unit: Unit = Unit()
    doubt: str = ""

    def at(self, rows: np.ndarray | slice) -> "Numbers":
        """Return the numbers at `rows`."""
        return Numbers(self.values[rows], None if self.is_missing is None else self.is_missing[rows], self.unit)

    def present(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return the values at `rows` that are not missing."""
        values = self.values[rows]
        return values if self.is_missing is None else values[~self.is_missing[rows]]


class Levels(NamedTuple):
    """Levels of a column.

    Attributes:
        names: the distinct levels.
        codes: `[N] int32`, indices into `names`; -1 where missing.
    """

    names: list[str]
    codes: np.ndarray


class Texts(NamedTuple):
    """A column of text, stored as its distinct values and an index per cell.

    Attributes:
        distinct: the texts without surrounding blanks. Texts that differ only in such blanks occur several times.
        indices: `[N]`, the index of each cell in `distinct`; -1 where the cell is null.
    """

    distinct: pl.Series
    indices: np.ndarray

    def spread(self, values: pl.Series | np.ndarray, null_value: Any) -> np.ndarray:
        """Return for each cell the value of its text; `values` has one per distinct text."""
        # The value of null cells comes last, where their index -1 points.
        return np.append(np.asarray(values), np.asarray([null_value], np.asarray(values).dtype)).take(self.indices)


def texts_of(cells: pl.Series) -> Texts:
    """Return a column as its distinct texts and an index per cell."""
    coded = dictionary_coded(cells)
    codes, used = coded.to_physical(), coded.unique().drop_nulls()
    raw = pl.DataFrame({"code": used.to_physical(), "text": used.cast(pl.String).str.strip_chars()}).sort("code")
    last = raw["code"].to_list()[-1] + 1 if len(raw) else 0  # an unused code, which stands for null
    index_of_code = np.full(last + 1, -1, dtype=np.int32)
    index_of_code[raw["code"].to_numpy()] = np.arange(len(raw))
    return Texts(raw["text"].alias(cells.name), index_of_code.take(codes.fill_null(last).to_numpy()))


def as_numbers(
    cells: pl.Series, notation: Notation, advice: str = "", unit: Unit | None = None, absent: Sequence[str] = ()
) -> Numbers:
    """Parse cells as numbers. Truth values become 1 and 0, durations become seconds.

    Args:
        cells: the cells of a column.
        notation: the format of cells.
        advice: added to the message of an error, after the advice to correct the cell. An input has INPUT_ADVICE.
        unit: the unit that numbers in text may have; if None, any unit that is the same in all cells.
        absent: further texts that mark a missing cell; `inf` marks every number that is infinite.

    Raises:
        InputError: a cell is not a finite number, or has another unit. The message names the first such cell.
    """
    if is_text(cells):
        return _numbers_of_text(cells, notation, advice, unit, absent)
    values = _numbers(cells).rechunk().to_numpy()  # null becomes NaN; without nulls nothing is copied
    is_missing = np.isnan(values)
    if cells.dtype.is_numeric() and len(marks := _numeric_marks(notation.marks)):
        is_missing |= np.isin(values, marks.to_numpy())
    is_infinite = np.isinf(values)
    if any(map(_is_infinite, absent)):
        is_missing |= is_infinite
    _refuse(is_infinite & ~is_missing, cells, "finite numbers", advice)
    return Numbers(np.where(is_missing, 0.0, values), is_missing) if is_missing.any() else Numbers(values)


def _numbers_of_text(
    cells: pl.Series, notation: Notation, advice: str, unit: Unit | None, absent: Sequence[str]
) -> Numbers:
    texts = texts_of(cells)
    read = amounts.read(texts.distinct, notation.decimal or amounts.DECIMALS[0], notation.thousands)
    is_absent = texts.distinct.is_in([*notation.marks, *absent])
    # A marker that is a number, such as -999, marks every cell with its value, such as -999.0.
    is_absent |= read["value"].is_in(_numeric_marks(notation.marks).implode()).fill_null(False)
    number = pl.col("value").is_finite().fill_null(False)
    found = unit or amounts.unit_of(read.filter(~is_absent))
    if found is None:
        examples = _with_different_units(read.filter(~is_absent), texts.distinct.filter(~is_absent))
        raise InputError(
            f"the numbers of column '{cells.name}' have different units, as in {examples[0]!r} and {examples[1]!r}: "
            f"write them in one unit{advice}"
        )
    has_unit = pl.all_horizontal(pl.col(part).is_in(["", getattr(found, part)]) for part in Unit._fields)
    fits = read.select(number & has_unit).to_series()
    what = "finite numbers" + (f" with {found}" if any(found) else "")
    _refuse(texts.spread(~(fits | is_absent), False), cells, what, advice)
    is_missing = texts.spread(is_absent, True)
    values = texts.spread(read["value"].set(is_absent, 0.0).fill_null(0.0), 0.0)
    doubt = amounts.doubt_of(texts.distinct.filter(~is_absent), read.filter(~is_absent))
    return Numbers(values, is_missing if is_missing.any() else None, found, doubt)


def _with_different_units(read: pl.DataFrame, texts: pl.Series) -> list[str]:
    """Return two texts with different units."""
    units = [read["prefix"], read["suffix"], read["prefix"] + read["suffix"]]
    for unit in units:
        found = pl.DataFrame({"text": texts, "unit": unit}).filter(read["value"].is_not_null())
        firsts = found.filter(pl.col("unit") != "").unique("unit", keep="first", maintain_order=True)["text"].to_list()
        if len(firsts) > 1:
            return firsts[:2]
    return ["", ""]


@lru_cache
def _numeric_marks(marks: tuple[str, ...]) -> pl.Series:
    return pl.Series(marks, dtype=pl.String).cast(pl.Float64, strict=False).drop_nulls().drop_nans()


def _is_infinite(text: str) -> bool:
    return text.strip("+-").lower() in ("inf", "infinity")


def _refuse(is_invalid: np.ndarray, cells: pl.Series, what: str, advice: str) -> None:
    if is_invalid.any():
        raise InputError(
            f"column '{cells.name}' should hold {what}, but {_first(is_invalid, cells)}: correct the cell{advice}"
        )


def as_booleans(cells: pl.Series, notation: Notation, absent: Sequence[str] = ()) -> Numbers:
    """Parse true, yes, t, y, on, 1 as 1 and false, no, f, n, off, 0 as 0, in upper or lower case.

    `absent` is as in `as_numbers`.

    Raises:
        InputError: a cell is none of these words. The message names the first such cell.
    """
    if cells.dtype == pl.Boolean:
        return as_numbers(cells, notation)
    levels = as_levels(cells, notation._replace(level_marks=(*notation.level_marks, *absent)))
    words = [name.lower() for name in levels.names]
    meaning = [1.0 if word in TRUE_WORDS else 0.0 if word in FALSE_WORDS else np.nan for word in words]
    values = np.array([*meaning, 0.0]).take(levels.codes)
    _refuse(np.isnan(values), cells, "true or false", INPUT_ADVICE)
    is_missing = levels.codes < 0
    return Numbers(values, is_missing if is_missing.any() else None)


def is_text(cells: pl.Series) -> bool:
    """Tell whether cells are text; a dictionary-coded column is text as well."""
    return isinstance(cells.dtype, pl.String | pl.Categorical | pl.Enum)


def dictionary_coded(cells: pl.Series) -> pl.Series:
    """Return cells as dictionary-coded text, which stores each level once: parsers then work on few values."""
    _check_plain(cells)
    if isinstance(cells.dtype, pl.Categorical):
        return cells
    if cells.dtype == pl.Duration:
        cells = cells.to_physical()  # Polars cannot cast a duration to text
    if cells.dtype == pl.Date or cells.dtype == pl.Datetime:
        timestamps = _naive(cells)  # raises InputError where a cast by Polars would panic
        cells = cells if cells.dtype == pl.Date else timestamps
    return cells.cast(pl.String).cast(pl.Categorical(pl.Categories.random()))


def as_levels(cells: pl.Series, notation: Notation) -> Levels:
    """Parse cells as levels: text without surrounding blanks. A whole number is one level, whether 1 or 1.0."""
    texts = texts_of(cells)
    code_of: dict[str, int] = {}
    absent = {_WHOLE.sub(r"\1", mark) for mark in notation.level_marks}
    codes = np.full(len(texts.distinct) + 1, -1, dtype=np.int32)  # the last one is that of null cells
    for i, text in enumerate(texts.distinct):
        name = _WHOLE.sub(r"\1", text)
        if name not in absent:
            codes[i] = code_of.setdefault(name, len(code_of))
    return Levels(list(code_of), codes.take(texts.indices))


def as_dates(
    cells: pl.Series,
    notation: Notation,
    date_format: str | None = None,
    advice: str = "",
    absent: Sequence[str] = (),
) -> pl.Series:
    """Parse cells as timestamps without a time zone, null where missing; all text follows one format.

    Args:
        cells: the cells of a column.
        notation: the format of cells.
        date_format: the format of dates, as `moments` describes it; if None, the one that all cells follow.
        advice: as in `as_numbers`.
        absent: further texts that mark a missing cell.

    Raises:
        InputError: a cell does not follow the format. If `date_format` is None and no format fits all cells, it is the
            format that fits most of them. The message names the first cell that does not follow it.
    """
    if cells.dtype == pl.Datetime or cells.dtype == pl.Date:
        return _naive(cells)
    texts = texts_of(cells)
    is_absent = texts.distinct.is_in([*notation.marks, *absent])
    if date_format is None:
        present = texts.distinct.filter(~is_absent)
        found = date_formats.format_of(present, notation.day_first, notation.date_format)
        date_format = found.format if found else date_formats.nearest(present, notation.day_first, notation.date_format)
    all_null = pl.Series([None] * len(texts.distinct), dtype=pl.Datetime("us"))
    dates = all_null if date_format is None else date_formats.read(texts.distinct, date_format).set(is_absent, None)
    is_invalid = texts.spread(dates.is_null() & ~is_absent, False)
    _refuse(is_invalid, cells, f"dates, written like {date_format or '%Y-%m-%d'}", advice)
    microseconds = texts.spread(dates.cast(pl.Int64).fill_null(0), 0)
    is_missing = pl.Series(texts.spread(dates.is_null(), True))
    return pl.Series(cells.name, microseconds).cast(pl.Datetime("us")).set(is_missing, None)


def _check_plain(cells: pl.Series) -> None:
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        raise InputError(
            f"column '{cells.name}' has cells of type {shortened(str(cells.dtype))}, which are neither numbers nor "
            "text nor dates: write them as such, or leave the column out"
        )


def _numbers(cells: pl.Series) -> pl.Series:
    _check_plain(cells)
    if cells.dtype == pl.Duration:
        return cells.to_physical() / PER_SECOND[cells.dtype.time_unit]  # type: ignore[attr-defined]
    if cells.dtype == pl.Time:
        return cells.cast(pl.Int64) / 1e9
    if cells.dtype == pl.Date or cells.dtype == pl.Datetime:
        return _naive(cells).cast(pl.Int64) / 1e6
    return cells.cast(pl.Float64)


def _naive(dates: pl.Series) -> pl.Series:
    # This works on the underlying integers, which count from 1970 in UTC. Polars' own conversions panic at timestamps
    # outside the calendar and at time zones that Polars does not know.
    count = dates.to_physical()
    is_outside = ~count.is_between(*_ends(dates.dtype)).fill_null(True)
    if is_outside.any():
        raise InputError(
            f"column '{dates.name}' holds a date outside the years 1 to 9999 in its row "
            f"{(is_outside.arg_max() or 0) + 1}: correct the cell, or add the column to data.ignore if it is an input"
        )
    if dates.dtype == pl.Date:
        return dates.cast(pl.Datetime("us"))
    return count.cast(pl.Datetime(dates.dtype.time_unit)).dt.cast_time_unit("us")  # type: ignore[attr-defined]


def _ends(dtype: pl.DataType) -> tuple[int, int]:
    # The first and the last underlying integer of the years 1 to 9999, clipped to the range of 64 bits.
    per_day = 1 if dtype == pl.Date else 86_400 * PER_SECOND[dtype.time_unit]  # type: ignore[attr-defined]
    return max(FIRST_DAY * per_day, -(2**63)), min((LAST_DAY + 1) * per_day, 2**63) - 1


def _first(is_invalid: np.ndarray, cells: pl.Series) -> str:
    row = int(np.argmax(is_invalid))
    return f"its row {row + 1} holds {shown(cells, row)}"


def shown(cells: pl.Series, row: int) -> str:
    """Return a cell as a message shows it: its `repr`, cut where it is long."""
    return shortened(repr(value_of(cells, row)))


def value_of(cells: pl.Series, row: int) -> Any:
    """Return a cell; a timestamp outside the years 1 to 9999, and a duration, as the underlying integer."""
    cell = cells[row : row + 1]
    if cell.dtype == pl.Duration:
        return cell.to_physical()[0]
    if cell.dtype not in (pl.Date, pl.Datetime) or cell[0:1].null_count():
        return cell[0]
    if not cell.to_physical().is_between(*_ends(cell.dtype))[0]:
        return cell.to_physical()[0]
    return cell[0] if cell.dtype == pl.Date else _naive(cell)[0]


def shortened(text: str, length: int = MAX_SHOWN) -> str:
    """Return text for a message, cut to `length` characters if it is longer."""
    return text if len(text) <= length else f"{text[:length]}..."
