"""Infers the kind of a column from its cells. Users can override the result."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl

from litmlp.data import amounts, date_formats
from litmlp.data.cells import (
    FALSE_WORDS,
    TRUE_WORDS,
    Texts,
    as_levels,
    is_text,
    shortened,
    texts_of,
    value_of,
)
from litmlp.data.notation import CODE, MARKS, Notation

LEFT_OUT = "left out"
FRACTION_OF_IDENTIFIERS = 0.95  # a text column with a larger fraction of distinct cells identifies rows
MIN_FRACTION_NUMBERS = 0.8  # of a text column's levels, for a message that it may be meant to be numeric
MIN_FRACTION_DATES = 0.5  # of a text column's levels, for a message that it may be meant to hold dates
MAX_FRACTION_ODD = 0.01  # of cells that are neither numbers nor dates, for them to count as missing
# Up to MAX_ODD distinct words, even if they occur often, count as missing beside MIN_REGULAR distinct numbers or dates.
MAX_ODD, MIN_REGULAR = 3, 20
MAX_SPAN, MAX_YEAR = 50, 2050  # beyond these, years of two digits may have been read in the wrong century
MIN_ROWS = 20  # with fewer rows, such patterns may be chance
_IDENTIFIER = re.compile(
    r"(?i:(^|[\s_.-])(id|uuid|guid|index|idx|row)$|^unnamed: ?\d+$|^__index_level_\d+__$|^$)|[a-z]I[dD]$"
)


class Kind(NamedTuple):
    """The inferred kind of a column.

    Attributes:
        name: the name of a column class in `columns.KINDS`, or LEFT_OUT.
        reason: a message to the user: why the column is left out, or what may be wrong with the inferred kind.
        date_format: the format of dates in text; None for other columns.
        absent: further texts that mark missing cells in this column.
    """

    name: str
    reason: str = ""
    date_format: str | None = None
    absent: tuple[str, ...] = ()


def kind_of(cells: pl.Series, notation: Notation) -> Kind:
    """Infer a column's kind from all of its cells."""
    if is_text(cells):
        return _kind_of_text(cells, notation)
    dtype = cells.dtype
    if dtype.is_float():
        values = cells.to_numpy()  # here and in as_numbers, NumPy starts in a tenth of the time that Polars takes
        cells = cells.fill_nan(None) if np.isnan(values).any() else cells
        if (is_infinite := np.isinf(values)).any():
            return _kind_with_infinite(cells, is_infinite)
    if cells.null_count() == len(cells):
        return Kind(LEFT_OUT, "it has no values")
    if dtype in (pl.Date, pl.Datetime):
        return _unless_constant(cells, Kind("date"))
    if dtype == pl.Boolean:
        return _unless_constant(cells, Kind("boolean"))
    if dtype.is_integer() and _names_rows(cells, lambda: cells.drop_nulls().n_unique(), cells.count()):
        return Kind(LEFT_OUT, "it looks like an identifier: each row has a different number")
    if dtype.is_numeric() or dtype in (pl.Time, pl.Duration):
        return _unless_constant(cells, Kind("numeric"))
    return Kind(LEFT_OUT, f"its cells are of type {dtype}")


def _unless_constant(cells: pl.Series, kind: Kind) -> Kind:
    plain = cells.to_physical()  # Polars panics at timestamps outside the calendar
    if cells.null_count() == 0 and plain.min() == plain.max():
        return Kind(LEFT_OUT, f"all rows have the same value, {shortened(str(value_of(cells, 0)))}")
    return kind


def _names_rows(cells: pl.Series, count_distinct: Callable[[], int], num_present: int) -> bool:
    """Tell whether a column identifies rows: its name is that of an identifier, and its values are all distinct."""
    has_name_of_id = _IDENTIFIER.search(cells.name) is not None
    return has_name_of_id and num_present >= MIN_ROWS and count_distinct() == num_present


def _kind_with_infinite(cells: pl.Series, is_infinite: np.ndarray) -> Kind:
    if not _are_few(int(is_infinite.sum()), cells.count()):
        return Kind("numeric")  # parsing refuses the infinite cells later
    kind = _unless_constant(cells.set(pl.Series(is_infinite), None), Kind("numeric"))
    return kind._replace(reason=_reason_of_odd(cells, is_infinite), absent=("inf",)) if kind.name == "numeric" else kind


def _kind_of_text(cells: pl.Series, notation: Notation) -> Kind:
    texts = texts_of(cells)
    is_present = ~texts.distinct.is_in([*notation.marks])
    present = texts.distinct.filter(is_present)
    levels = as_levels(cells, notation)
    num_levels, num_present = len(levels.names), int((levels.codes >= 0).sum())
    if num_present == 0 or len(present) == 0:
        return Kind(LEFT_OUT, "it has no values")
    if num_levels == 1 and num_present == len(cells):
        return Kind(LEFT_OUT, f"all rows have the same value, {shortened(levels.names[0])}")
    for infer in (_as_numeric, _as_date):
        if found := infer(cells, texts, is_present, notation):
            return found
    words = {name.lower() for name in levels.names}
    if len(words) == 2 and len(words & {*TRUE_WORDS}) == 1 and len(words & {*FALSE_WORDS}) == 1:
        return Kind("boolean")
    doubt = _doubt(cells, texts, is_present, notation)
    if num_present >= MIN_ROWS and num_levels > FRACTION_OF_IDENTIFIERS * num_present:
        return Kind(LEFT_OUT, doubt or "it looks like an identifier: (nearly) each row has a different text")
    return Kind("categorical", doubt or _reason_of_marks(texts, notation))


def _as_numeric(cells: pl.Series, texts: Texts, is_present: pl.Series, notation: Notation) -> Kind | None:
    read = amounts.read(texts.distinct, notation.decimal or ".", notation.thousands)
    is_number = read["value"].is_finite().fill_null(False) & is_present
    has_unit = is_number & amounts.has_unit(read)
    if _are_few(*(int(texts.spread(mask, False).sum()) for mask in (has_unit, is_number))):
        is_number &= ~has_unit  # a few units among many plain numbers are typing errors, such as 1OT
    odd = _odd(texts, is_number, is_present)
    unit = amounts.unit_of(read.filter(is_number))
    if odd is None or unit is None:
        return None
    num_numbers = int(texts.spread(is_number, False).sum())
    if _names_rows(cells, lambda: int(is_number.sum()), num_numbers):
        return Kind(LEFT_OUT, "it looks like an identifier: each row has a different number")
    present = texts.distinct.filter(is_number)
    padded = present.filter(present.str.contains(CODE))
    if len(padded) and present.str.contains(r"^\d+$").all():
        return None  # codes such as 007 are categorical, or identifiers: see _kind_of_text
    reason = _reason_of_odd(cells, texts.spread(texts.distinct.is_in(odd.implode()), False)) if len(odd) else ""
    if len(padded) and not reason:
        reason = f"{padded[0]!r} begins with a zero, as codes do: if it is one, add the column to data.categorical"
    reason = reason or amounts.doubt_of(present, read.filter(is_number))
    return Kind("numeric", reason, absent=tuple(odd))


def _as_date(cells: pl.Series, texts: Texts, is_present: pl.Series, notation: Notation) -> Kind | None:
    present = texts.distinct.filter(is_present)
    if (found := date_formats.format_of(present, notation.day_first, notation.date_format)) is not None:
        reason = _reason_of_order(found) or _reason_of_century(present, found.format)
        return Kind("date", reason, date_format=found.format)
    if (nearest := date_formats.nearest(present, notation.day_first, notation.date_format)) is None:
        return None
    is_date = date_formats.read(texts.distinct, nearest).is_not_null() & is_present
    odd = _odd(texts, is_date, is_present)
    if odd is None:
        return None
    reason = _reason_of_odd(cells, texts.spread(texts.distinct.is_in(odd.implode()), False))
    return Kind("date", reason, date_format=nearest, absent=tuple(odd))


def _odd(texts: Texts, fits: pl.Series, is_present: pl.Series) -> pl.Series | None:
    """Return the texts that do not fit, if they are few enough to count as missing cells; else None."""
    is_odd = is_present & ~fits
    odd = texts.distinct.filter(is_odd)
    if not len(odd):
        return odd
    num_odd, num_all = (int(texts.spread(mask, False).sum()) for mask in (is_odd, is_present))
    is_word = len(odd) <= MAX_ODD and not odd.str.contains(r"\d").any()
    if _are_few(num_odd, num_all) or (is_word and fits.sum() >= MIN_REGULAR and num_odd < num_all / 2):
        return odd
    return None


def _are_few(num_odd: int, num_all: int) -> bool:
    return num_all > MIN_ROWS and num_odd <= max(1, MAX_FRACTION_ODD * num_all)


def _reason_of_odd(cells: pl.Series, is_odd: np.ndarray) -> str:
    row, num_more = int(np.argmax(is_odd)), int(is_odd.sum()) - 1
    more = f" (and {num_more} other row{'s hold' if num_more > 1 else ' holds'} such a cell)" if num_more else ""
    return f"row {row + 1} holds {shortened(repr(value_of(cells, row)))}{more}, which is taken for a missing cell"


def _reason_of_order(found: date_formats.DateFormat) -> str:
    if found.other is None:
        return ""
    return f"its dates also fit {found.other}: if that is right, add data.date_format='{found.other}'"


def _reason_of_century(texts: pl.Series, date_format: str) -> str:
    if "%y" not in date_format:
        return ""
    years = date_formats.read(texts, date_format).dt.year()
    first, last = int(years.min()), int(years.max())  # type: ignore[arg-type]
    if last - first <= MAX_SPAN and last < MAX_YEAR:
        return ""
    return f"its years of two digits are taken for {first} to {last}: if that is wrong, write them with four"


def _reason_of_marks(texts: Texts, notation: Notation) -> str:
    known = texts.distinct.filter(texts.distinct.is_in([*MARKS]) & (texts.distinct != ""))
    if not len(known):
        return ""
    if known[0] in notation.level_marks:
        return f"{known[0]!r} marks missing cells: if it is a level, add data.missing_values=[]"
    return f"{known[0]!r} is a level: if it marks missing cells, add data.missing_values=[default]"


def _doubt(cells: pl.Series, texts: Texts, is_present: pl.Series, notation: Notation) -> str:
    """Return a message if a text column may be meant to be numeric or a date; else an empty text."""
    read = amounts.read(texts.distinct, notation.decimal or ".", notation.thousands)
    is_number = read["value"].is_finite().fill_null(False) & is_present
    is_odd = is_present & ~is_number
    if int(is_odd.sum()) > (1 - MIN_FRACTION_NUMBERS) * int(is_present.sum()):
        return _doubt_of_dates(cells, texts, is_present, notation)
    if not is_odd.any() and texts.distinct.str.contains(r"^0\d+$").any():
        return "its numbers begin with zeros, as codes do: if they are amounts, add the column to data.numeric"
    if is_odd.any():
        row = int(np.argmax(texts.spread(is_odd, False)))
        return (
            f"most of its levels are numbers, but row {row + 1} holds {shortened(repr(value_of(cells, row)))}: if that "
            "stands for a missing cell, add it to data.missing_values"
        )
    return "its numbers have different units: write them in one"


def _doubt_of_dates(cells: pl.Series, texts: Texts, is_present: pl.Series, notation: Notation) -> str:
    date_format = date_formats.nearest(texts.distinct.filter(is_present), notation.day_first, notation.date_format)
    if date_format is None:
        return ""
    is_odd = is_present & date_formats.read(texts.distinct, date_format).is_null()
    if int(is_odd.sum()) > (1 - MIN_FRACTION_DATES) * int(is_present.sum()):
        return ""
    row = int(np.argmax(texts.spread(is_odd, False)))
    shown = shortened(repr(value_of(cells, row)))
    return f"many of its levels are dates, written like {date_format}, but row {row + 1} holds {shown}"
