"""Reading the cells of a raw column as numbers, levels, truth values or dates.

Text is worked on level by level, not cell by cell: a column of millions of cells has few different ones.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from litmlp.data import amounts, moments
from litmlp.data.amounts import Unit
from litmlp.data.notation import Notation
from litmlp.errors import InputError

FIRST_DAY, LAST_DAY = ((day - date(1970, 1, 1)).days for day in (date.min, date.max))
PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
OF_INPUT = ", add the text to data.missing_values, or add the column to data.categorical or data.ignore"  # what to do
MAX_LETTERS = 80  # of a cell or a name in a sentence
_WHOLE = re.compile(r"^([+-]?\d+)\.0+$")
TRUE_WORDS = ("true", "yes", "t", "y", "on", "1", "1.0")
FALSE_WORDS = ("false", "no", "f", "n", "off", "0", "0.0")


class Numbers(NamedTuple):
    """Numbers of a column.

    Attributes:
        values: `[N] float64` (or `int64`, of dates), 0 where missing.
        is_missing: `[N] bool`; None where no cell is missing.
        unit: what stands beside them in text.
        doubt: what may be wrong with how they were read, for people; empty if nothing is.
    """

    values: np.ndarray
    is_missing: np.ndarray | None = None
    unit: Unit = Unit()
    doubt: str = ""

    def at(self, rows: np.ndarray | slice) -> "Numbers":
        """Return those at `rows`."""
        return Numbers(self.values[rows], None if self.is_missing is None else self.is_missing[rows], self.unit)

    def present(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return the values at `rows` that are not missing."""
        values = self.values[rows]
        return values if self.is_missing is None else values[~self.is_missing[rows]]


class Levels(NamedTuple):
    """Levels of a column.

    Attributes:
        names: each level once.
        codes: `[N] int32`, places in `names`; -1 where missing.
    """

    names: list[str]
    codes: np.ndarray


class Texts(NamedTuple):
    """Cells of text, each different one once.

    Attributes:
        different: without blanks around them; there may be two alike.
        places: `[N]`, the place of each cell among them; -1 where it is null.
    """

    different: pl.Series
    places: np.ndarray

    def spread(self, values: pl.Series | np.ndarray, of_null: Any) -> np.ndarray:
        """Return for each cell the value of its text."""
        return np.append(np.asarray(values), np.asarray([of_null], np.asarray(values).dtype)).take(self.places)


def texts_of(cells: pl.Series) -> Texts:
    """Return the different texts of a column."""
    coded = dictionary_coded(cells)
    codes, used = coded.to_physical(), coded.unique().drop_nulls()
    raw = pl.DataFrame({"code": used.to_physical(), "text": used.cast(pl.String).str.strip_chars()}).sort("code")
    last = raw["code"].to_list()[-1] + 1 if len(raw) else 0
    place = np.full(last + 1, -1, dtype=np.int32)
    place[raw["code"].to_numpy()] = np.arange(len(raw))
    return Texts(raw["text"].alias(cells.name), place.take(codes.fill_null(last).to_numpy()))


def as_numbers(
    cells: pl.Series, notation: Notation, or_else: str = "", unit: Unit | None = None, absent: Sequence[str] = ()
) -> Numbers:
    """Read cells as numbers; truth values are 1 and 0, durations seconds.

    Args:
        cells: of a column.
        notation: how cells are written.
        or_else: what helps beside correcting a cell, as OF_INPUT for a column that is an input.
        unit: what may stand beside numbers in text; anything that is the same in all cells if None.
        absent: more texts that stand for a missing cell; `inf` stands for all numbers that are not finite.

    Raises:
        InputError: a cell is no finite number, or has another unit; it names the first.
    """
    if is_text(cells):
        return _numbers_of_text(cells, notation, or_else, unit, absent)
    values = _numbers(cells).rechunk().to_numpy()  # NaN where null, and no copy where none is
    is_missing = np.isnan(values)
    if cells.dtype.is_numeric() and len(marks := _numeric_marks(notation.marks)):
        is_missing |= np.isin(values, marks.to_numpy())
    is_infinite = np.isinf(values)
    if any(map(_is_infinite, absent)):
        is_missing |= is_infinite
    _refuse(is_infinite & ~is_missing, cells, "finite numbers", or_else)
    return Numbers(np.where(is_missing, 0.0, values), is_missing) if is_missing.any() else Numbers(values)


def _numbers_of_text(
    cells: pl.Series, notation: Notation, or_else: str, unit: Unit | None, absent: Sequence[str]
) -> Numbers:
    texts = texts_of(cells)
    read = amounts.read(texts.different, notation.decimal or amounts.DECIMALS[0], notation.thousands)
    is_absent = texts.different.is_in([*notation.marks, *absent])
    is_absent |= read["value"].is_in(_numeric_marks(notation.marks).implode()).fill_null(False)
    number = pl.col("value").is_finite().fill_null(False)
    found = unit or amounts.unit_of(read.filter(~is_absent))
    if found is None:
        odd = _with_another_unit(read.filter(~is_absent), texts.different.filter(~is_absent))
        raise InputError(
            f"the numbers of column '{cells.name}' have different units, as in {odd[0]!r} and {odd[1]!r}: write them "
            f"in one unit{or_else}"
        )
    alike = pl.all_horizontal(pl.col(part).is_in(["", getattr(found, part)]) for part in Unit._fields)
    fits = read.select(number & alike).to_series()
    what = "finite numbers" + (f" with {found}" if any(found) else "")
    _refuse(texts.spread(~(fits | is_absent), False), cells, what, or_else)
    is_missing = texts.spread(is_absent, True)
    values = texts.spread(read["value"].set(is_absent, 0.0).fill_null(0.0), 0.0)
    doubt = amounts.doubt_of(texts.different.filter(~is_absent), read.filter(~is_absent))
    return Numbers(values, is_missing if is_missing.any() else None, found, doubt)


def _with_another_unit(read: pl.DataFrame, texts: pl.Series) -> list[str]:
    """Return two texts whose units differ."""
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


def _refuse(broken: np.ndarray, cells: pl.Series, what: str, or_else: str) -> None:
    if broken.any():
        raise InputError(
            f"column '{cells.name}' should hold {what}, but {_first(broken, cells)}: correct the cell{or_else}"
        )


def as_booleans(cells: pl.Series, notation: Notation, absent: Sequence[str] = ()) -> Numbers:
    """Read true, yes, t, y, on, 1 as 1 and false, no, f, n, off, 0 as 0, in any case; `absent` is as in `as_numbers`.

    Raises:
        InputError: a cell is none of them; it names the first.
    """
    if cells.dtype == pl.Boolean:
        return as_numbers(cells, notation)
    levels = as_levels(cells, notation._replace(level_marks=(*notation.level_marks, *absent)))
    words = [name.lower() for name in levels.names]
    meaning = [1.0 if word in TRUE_WORDS else 0.0 if word in FALSE_WORDS else np.nan for word in words]
    values = np.array([*meaning, 0.0]).take(levels.codes)
    _refuse(np.isnan(values), cells, "true or false", OF_INPUT)
    is_missing = levels.codes < 0
    return Numbers(values, is_missing if is_missing.any() else None)


def is_text(cells: pl.Series) -> bool:
    """Tell whether cells are text, perhaps kept once a level."""
    return isinstance(cells.dtype, pl.String | pl.Categorical | pl.Enum)


def dictionary_coded(cells: pl.Series) -> pl.Series:
    """Return cells as text that is kept once a level: readers then work on few cells."""
    _check_plain(cells)
    if isinstance(cells.dtype, pl.Categorical):
        return cells
    if cells.dtype == pl.Duration:
        cells = cells.to_physical()  # Polars writes none as text
    if cells.dtype == pl.Date or cells.dtype == pl.Datetime:
        moments = _naive(cells)  # raises where Polars would panic
        cells = cells if cells.dtype == pl.Date else moments
    return cells.cast(pl.String).cast(pl.Categorical(pl.Categories.random()))


def as_levels(cells: pl.Series, notation: Notation) -> Levels:
    """Read cells as text without surrounding blanks; the same level gets the same text, 1 or 1.0."""
    texts = texts_of(cells)
    place: dict[str, int] = {}
    absent = {_WHOLE.sub(r"\1", mark) for mark in notation.level_marks}
    codes = np.full(len(texts.different) + 1, -1, dtype=np.int32)
    for i, text in enumerate(texts.different):
        name = _WHOLE.sub(r"\1", text)
        if name not in absent:
            codes[i] = place.setdefault(name, len(place))
    return Levels(list(place), codes.take(texts.places))


def as_dates(
    cells: pl.Series,
    notation: Notation,
    written: str | None = None,
    or_else: str = "",
    absent: Sequence[str] = (),
) -> pl.Series:
    """Read cells as moments without a time zone, null where missing; all text follows one format.

    Args:
        cells: of a column.
        notation: how cells are written.
        written: the format, as `moments` has it; the one that all cells follow if None.
        or_else: as in `as_numbers`.
        absent: more texts that stand for a missing cell.

    Raises:
        InputError: a cell does not follow it; it names the first, of the format that fits most.
    """
    if cells.dtype == pl.Datetime or cells.dtype == pl.Date:
        return _naive(cells)
    texts = texts_of(cells)
    is_absent = texts.different.is_in([*notation.marks, *absent])
    if written is None:
        present = texts.different.filter(~is_absent)
        found = moments.written_in(present, notation.day_first, notation.date_format)
        written = found.format if found else moments.nearest(present, notation.day_first, notation.date_format)
    usual = pl.Series([None] * len(texts.different), dtype=pl.Datetime("us"))
    dates = usual if written is None else moments.read(texts.different, written).set(is_absent, None)
    broken = texts.spread(dates.is_null() & ~is_absent, False)
    _refuse(broken, cells, f"dates, written like {written or '%Y-%m-%d'}", or_else)
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
    # By the whole numbers beneath, which count from 1970 in UTC: Polars panics at moments that no calendar has, and at
    # time zones that it does not know.
    count = dates.to_physical()
    is_outside = ~count.is_between(*_ends(dates.dtype)).fill_null(True)
    if is_outside.any():
        raise InputError(
            f"column '{dates.name}' holds a date in its row {(is_outside.arg_max() or 0) + 1} that is not of the years "
            "1 to 9999: correct the cell, or add the column to data.ignore if it is an input"
        )
    if dates.dtype == pl.Date:
        return dates.cast(pl.Datetime("us"))
    return count.cast(pl.Datetime(dates.dtype.time_unit)).dt.cast_time_unit("us")  # type: ignore[attr-defined]


def _ends(kind: pl.DataType) -> tuple[int, int]:
    # The first and the last whole number of the years 1 to 9999, as far as 64 bits go.
    per_day = 1 if kind == pl.Date else 86_400 * PER_SECOND[kind.time_unit]  # type: ignore[attr-defined]
    return max(FIRST_DAY * per_day, -(2**63)), min((LAST_DAY + 1) * per_day, 2**63) - 1


def _first(broken: np.ndarray, cells: pl.Series) -> str:
    row = int(np.argmax(broken))
    return f"its row {row + 1} holds {shown(cells, row)}"


def shown(cells: pl.Series, row: int) -> str:
    """Return a cell for people, cut short."""
    return shortened(repr(value_of(cells, row)))


def value_of(cells: pl.Series, row: int) -> Any:
    """Return a cell; of a moment that no calendar has, the whole number beneath."""
    cell = cells[row : row + 1]
    if cell.dtype == pl.Duration:
        return cell.to_physical()[0]
    if cell.dtype not in (pl.Date, pl.Datetime) or cell[0:1].null_count():
        return cell[0]
    if not cell.to_physical().is_between(*_ends(cell.dtype))[0]:
        return cell.to_physical()[0]
    return cell[0] if cell.dtype == pl.Date else _naive(cell)[0]


def shortened(text: str, letters: int = MAX_LETTERS) -> str:
    """Return text for a sentence, cut where it is long."""
    return text if len(text) <= letters else f"{text[:letters]}..."
