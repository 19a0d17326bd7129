"""Reading the cells of a raw column as numbers, levels, truth values or dates.

Text is worked on level by level, not cell by cell: a column of millions of cells has few different ones.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from litmlp.errors import InputError

MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL"]  # as are empty cells

DATE_FORMATS = [
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"),
    *("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"),
    *("%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%d.%m.%Y", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M"),
    *("%m/%d/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M"),
    *("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m/%d/%y", "%d/%m/%y"),
    *("%d-%m-%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y"),
]
FIRST_DATE = datetime(1000, 1, 1)
FIRST_DAY, LAST_DAY = ((day - date(1970, 1, 1)).days for day in (date.min, date.max))
PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
NUMBER_STYLES = {  # what a cell of the style matches, its thousands mark, its decimal mark
    "1,234.5": (r"^[-+]?[$€£¥]?\s*([1-9]\d{0,2}(,\d{3})+|\d+)(\.\d+)?\s*[%$€£¥]?$", ",", "."),
    "1.234,5": (r"^[-+]?[$€£¥]?\s*([1-9]\d{0,2}(\.\d{3})+|\d+)(,\d+)?\s*[%$€£¥]?$", ".", ","),
}
PLAIN = "plain"
OF_INPUT = ", add the text to data.missing_values, or add the column to data.categorical or data.ignore"  # what to do
MOST_LETTERS = 80  # of a cell or a name in a sentence
_WHOLE = re.compile(r"^([+-]?\d+)\.0+$")
TRUE_WORDS = ("true", "yes", "t", "y", "on", "1", "1.0")
FALSE_WORDS = ("false", "no", "f", "n", "off", "0", "0.0")


class Numbers(NamedTuple):
    """Numbers of a column.

    Attributes:
        values: `[N] float64` (or `int64`, of dates), 0 where missing.
        is_missing: `[N] bool`; None where no cell is missing.
    """

    values: np.ndarray
    is_missing: np.ndarray | None = None

    def at(self, rows: np.ndarray | slice) -> "Numbers":
        """Return those at `rows`."""
        return Numbers(self.values[rows], None if self.is_missing is None else self.is_missing[rows])

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


def as_numbers(cells: pl.Series, missing_values: list[str], style: str = PLAIN, or_else: str = "") -> Numbers:
    """Read cells as numbers; truth values are 1 and 0, durations seconds.

    Args:
        cells: of a column.
        missing_values: texts that stand for a missing cell.
        style: how numbers are written in text.
        or_else: what helps beside correcting a cell, as OF_INPUT for a column that is an input.

    Raises:
        InputError: a cell is no finite number; it names the first.
    """
    numbers = _numbers(cells, style)
    if cells.dtype.is_numeric() and not missing_values and numbers.null_count() == 0 and numbers.is_finite().all():
        return Numbers(numbers.rechunk().to_numpy())  # not a copy
    is_missing = _is_missing(cells, missing_values)
    numbers = numbers.fill_nan(None)
    broken = ~(is_missing | numbers.is_finite().fill_null(False))
    if broken.any():
        raise InputError(
            f"column '{cells.name}' should hold finite numbers, but {_first(broken, cells)}: correct the cell{or_else}"
        )
    return Numbers(numbers.set(is_missing, 0.0).to_numpy(), is_missing.to_numpy() if is_missing.any() else None)


def as_booleans(cells: pl.Series, missing_values: list[str]) -> Numbers:
    """Read true, yes, t, y, on, 1 as 1 and false, no, f, n, off, 0 as 0, in any case.

    Raises:
        InputError: a cell is none of them; it names the first.
    """
    if cells.dtype == pl.Boolean:
        return as_numbers(cells, [])
    levels = as_levels(cells, missing_values)
    words = [name.lower() for name in levels.names]
    meaning = [1.0 if word in TRUE_WORDS else 0.0 if word in FALSE_WORDS else np.nan for word in words]
    values = np.array([*meaning, 0.0]).take(levels.codes)
    broken = np.isnan(values)
    if broken.any():
        raise InputError(
            f"column '{cells.name}' should hold true or false, but {_first(pl.Series(broken), cells)}: correct the "
            f"cell{OF_INPUT}"
        )
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


def as_levels(cells: pl.Series, missing_values: list[str]) -> Levels:
    """Read cells as text without surrounding blanks; the same level gets the same text, 1 or 1.0."""
    coded = dictionary_coded(cells)
    codes = coded.to_physical()
    different = coded.unique().drop_nulls()
    raw = pl.DataFrame({"code": different.to_physical(), "name": different.cast(pl.String)}).sort("code")
    place: dict[str, int] = {}
    places = np.full(raw["code"].to_list()[-1] + 1 if len(raw) else 0, -1, dtype=np.int32)
    absent = {_WHOLE.sub(r"\1", mark.strip()) for mark in (*MISSING, *missing_values)}
    for code, name in raw.iter_rows():
        stripped = _WHOLE.sub(r"\1", name.strip())
        if stripped not in absent:
            places[code] = place.setdefault(stripped, len(place))
    codes_or_last = codes.fill_null(len(places)).to_numpy()
    return Levels(list(place), np.append(places, np.int32(-1)).take(codes_or_last))


def as_dates(cells: pl.Series, missing_values: list[str], formats: list[str], or_else: str = "") -> pl.Series:
    """Read cells as moments without a time zone, null where missing; all text follows one of `formats`.

    `or_else` is as in `as_numbers`.

    Raises:
        InputError: a cell does not; it names the first that fails in the format that fits most.
    """
    if cells.dtype == pl.Datetime or cells.dtype == pl.Date:
        return _naive(cells)
    _check_plain(cells)
    text, is_missing = _stripped(cells), _is_missing(cells, missing_values)
    fewest: pl.Series | None = None
    for date_format in formats:
        dates = _naive(text.str.to_datetime(date_format, strict=False, ambiguous="null"))
        dates = dates.set((dates < FIRST_DATE).fill_null(False), None)  # 01/02/20 is no day of the year 1
        broken = dates.is_null() & ~is_missing
        if not broken.any():
            return dates.set(is_missing, None)
        if fewest is None or broken.sum() < fewest.sum():
            fewest = broken
    assert fewest is not None
    raise InputError(
        f"column '{cells.name}' should hold dates, written like {formats[0]}, but {_first(fewest, cells)}: correct the "
        f"cell{or_else}"
    )


def number_style(cells: pl.Series, missing_values: list[str]) -> str | None:
    """Return how numbers are written in a column of text: `plain`, or a name in NUMBER_STYLES; None if not all are."""
    return _first_that_fits([PLAIN, *NUMBER_STYLES], cells, lambda some, style: as_numbers(some, missing_values, style))


def date_format(cells: pl.Series, missing_values: list[str]) -> str | None:
    """Return the first of DATE_FORMATS that all cells of a column of text follow; None if there is none."""
    return _first_that_fits(DATE_FORMATS, cells, lambda some, name: as_dates(some, missing_values, [name]))


def _first_that_fits(names: list[str], cells: pl.Series, read: Callable[[pl.Series, str], object]) -> str | None:
    some = cells.head(10_000).drop_nulls().head(100)
    for name in names:
        with suppress(InputError):
            read(some, name)  # few cells tell most names apart
            read(cells, name)
            return name
    return None


def _check_plain(cells: pl.Series) -> None:
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        raise InputError(
            f"column '{cells.name}' has cells of type {shortened(str(cells.dtype))}, which are neither numbers nor "
            "text nor dates: write them as such, or leave the column out"
        )


def _numbers(cells: pl.Series, style: str) -> pl.Series:
    _check_plain(cells)
    if cells.dtype == pl.Duration:
        return cells.to_physical() / PER_SECOND[cells.dtype.time_unit]  # type: ignore[attr-defined]
    if cells.dtype == pl.Time:
        return cells.cast(pl.Int64) / 1e9
    if cells.dtype == pl.Date or cells.dtype == pl.Datetime:
        return _naive(cells).cast(pl.Int64) / 1e6
    if cells.dtype.is_numeric() or cells.dtype == pl.Boolean:
        return cells.cast(pl.Float64)
    text = _stripped(cells)
    if style != PLAIN:
        pattern, thousands, decimal = NUMBER_STYLES[style]
        bare = text.str.replace_all(r"[\s%$€£¥]", "").str.replace_all(thousands, "", literal=True)
        text = bare.str.replace(decimal, ".", literal=True).set(~text.str.contains(pattern).fill_null(True), None)
    return text.cast(pl.Float64, strict=False)


def _is_missing(cells: pl.Series, missing_values: list[str]) -> pl.Series:
    if cells.dtype.is_numeric():
        numbers = cells.cast(pl.Float64)
        marks = pl.Series(missing_values, dtype=pl.String).cast(pl.Float64, strict=False).drop_nulls()
        return numbers.is_null() | numbers.is_nan().fill_null(False) | numbers.is_in(marks.implode()).fill_null(False)
    if cells.dtype.is_temporal() or cells.dtype == pl.Boolean:
        return cells.is_null()
    text = _stripped(cells)
    return text.is_null() | text.is_in([*MISSING, *(mark.strip() for mark in missing_values)]).fill_null(False)


def _stripped(cells: pl.Series) -> pl.Series:
    return cells.cast(pl.String).str.strip_chars()


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


def _first(broken: pl.Series, cells: pl.Series) -> str:
    row = broken.arg_max() or 0
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


def shortened(text: str, letters: int = MOST_LETTERS) -> str:
    """Return text for a sentence, cut where it is long."""
    return text if len(text) <= letters else f"{text[:letters]}..."
