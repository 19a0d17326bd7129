"""What a column is, by its cells: a guess that the user can correct."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl

from litmlp.data import amounts, moments
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
FRACTION_OF_IDENTIFIERS = 0.95  # different texts among the rows of a column that names rows rather than describes them
FRACTION_OF_NUMBERS = 0.8  # of the levels of a column that may be meant as numbers
FRACTION_OF_DATES = 0.5  # likewise
FRACTION_OF_ODD = 0.01  # of the cells of a column of numbers or dates, which are no such
MAX_ODD, MIN_OTHERS = 3, 20  # texts without digits, among so many different numbers or dates
LONGEST_SPAN, LAST_YEAR = 50, 2050  # of dates whose years have two digits, from where on these are perhaps of 1900
MIN_ROWS = 20  # to tell that from chance
_IDENTIFIER = re.compile(
    r"(?i:(^|[\s_.-])(id|uuid|guid|index|idx|row)$|^unnamed: ?\d+$|^__index_level_\d+__$|^$)|[a-z]I[dD]$"
)


class Kind(NamedTuple):
    """A guess.

    Attributes:
        name: that of a column class in `columns.KINDS`, or LEFT_OUT.
        reason: for people: why it is left out, or what may be wrong with the guess.
        written: how its dates are written in text.
        absent: texts that are taken for missing cells in it.
    """

    name: str
    reason: str = ""
    written: str | None = None
    absent: tuple[str, ...] = ()


def kind_of(cells: pl.Series, notation: Notation) -> Kind:
    """Guess a column's kind from all of its cells."""
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
    return is_named_so and num_present >= MIN_ROWS and count_different() == num_present


def _kind_with_infinite(cells: pl.Series, is_infinite: np.ndarray) -> Kind:
    if not _are_few(int(is_infinite.sum()), cells.count()):
        return Kind("numeric")  # and is refused where it is read
    kind = _unless_constant(cells.set(pl.Series(is_infinite), None), Kind("numeric"))
    return kind._replace(reason=_said(cells, is_infinite), absent=("inf",)) if kind.name == "numeric" else kind


def _kind_of_text(cells: pl.Series, notation: Notation) -> Kind:
    texts = texts_of(cells)
    is_present = ~texts.different.is_in([*notation.marks])
    present = texts.different.filter(is_present)
    levels = as_levels(cells, notation)
    num_levels, num_present = len(levels.names), int((levels.codes >= 0).sum())
    if num_present == 0 or len(present) == 0:
        return Kind(LEFT_OUT, "it has no values")
    if num_levels == 1 and num_present == len(cells):
        return Kind(LEFT_OUT, f"all rows have the same value, {shortened(levels.names[0])}")
    for kind in (_as_numeric, _as_date):
        if found := kind(cells, texts, is_present, notation):
            return found
    words = {name.lower() for name in levels.names}
    if len(words) == 2 and len(words & {*TRUE_WORDS}) == 1 and len(words & {*FALSE_WORDS}) == 1:
        return Kind("boolean")
    doubt = _doubt(cells, texts, is_present, notation)
    if num_present >= MIN_ROWS and num_levels > FRACTION_OF_IDENTIFIERS * num_present:
        return Kind(LEFT_OUT, doubt or "it looks like an identifier: (nearly) each row has another text")
    return Kind("categorical", doubt or _marks_said(texts, notation))


def _as_numeric(cells: pl.Series, texts: Texts, is_present: pl.Series, notation: Notation) -> Kind | None:
    read = amounts.read(texts.different, notation.decimal or ".", notation.thousands)
    is_number = read["value"].is_finite().fill_null(False) & is_present
    has_unit = is_number & amounts.has_unit(read)
    if _are_few(*(int(texts.spread(some, False).sum()) for some in (has_unit, is_number))):
        is_number &= ~has_unit  # 1OT among many numbers is none
    odd = _odd(texts, is_number, is_present)
    unit = amounts.unit_of(read.filter(is_number))
    if odd is None or unit is None:
        return None
    num_numbers = int(texts.spread(is_number, False).sum())
    if _names_rows(cells, lambda: int(is_number.sum()), num_numbers):
        return Kind(LEFT_OUT, "it looks like an identifier: each row has another number")
    present = texts.different.filter(is_number)
    padded = present.filter(present.str.contains(CODE))
    if len(padded) and present.str.contains(r"^\d+$").all():
        return None  # codes: see _kind_of_text
    reason = _said(cells, texts.spread(texts.different.is_in(odd.implode()), False)) if len(odd) else ""
    if len(padded) and not reason:
        reason = f"{padded[0]!r} begins with a zero, as codes do: if it is one, add the column to data.categorical"
    reason = reason or amounts.doubt_of(present, read.filter(is_number))
    return Kind("numeric", reason, absent=tuple(odd))


def _as_date(cells: pl.Series, texts: Texts, is_present: pl.Series, notation: Notation) -> Kind | None:
    present = texts.different.filter(is_present)
    if (written := moments.written_in(present, notation.day_first, notation.date_format)) is not None:
        return Kind("date", _order_said(written) or _century_said(present, written.format), written=written.format)
    if (nearest := moments.nearest(present, notation.day_first, notation.date_format)) is None:
        return None
    is_date = moments.read(texts.different, nearest).is_not_null() & is_present
    odd = _odd(texts, is_date, is_present)
    if odd is None:
        return None
    said = _said(cells, texts.spread(texts.different.is_in(odd.implode()), False))
    return Kind("date", said, written=nearest, absent=tuple(odd))


def _odd(texts: Texts, fits: pl.Series, is_present: pl.Series) -> pl.Series | None:
    """Return the texts that do not fit, if they are few enough to be taken for missing cells; else None."""
    is_odd = is_present & ~fits
    odd = texts.different.filter(is_odd)
    if not len(odd):
        return odd
    num_odd, num_all = (int(texts.spread(some, False).sum()) for some in (is_odd, is_present))
    is_word = len(odd) <= MAX_ODD and not odd.str.contains(r"\d").any()
    if _are_few(num_odd, num_all) or (is_word and fits.sum() >= MIN_OTHERS and num_odd < num_all / 2):
        return odd
    return None


def _are_few(num_odd: int, num_all: int) -> bool:
    return num_all > MIN_ROWS and num_odd <= max(1, FRACTION_OF_ODD * num_all)


def _said(cells: pl.Series, is_odd: np.ndarray) -> str:
    row, others = int(np.argmax(is_odd)), int(is_odd.sum()) - 1
    more = f" (and {others} other row{'s' if others > 1 else ''} such a cell)" if others else ""
    return f"row {row + 1} holds {shortened(repr(value_of(cells, row)))}{more}, which is taken for a missing cell"


def _order_said(written: moments.Written) -> str:
    if written.other is None:
        return ""
    return f"it may as well be {written.other}: then add data.date_format='{written.other}'"


def _century_said(texts: pl.Series, written: str) -> str:
    if "%y" not in written:
        return ""
    years = moments.read(texts, written).dt.year()
    first, last = int(years.min()), int(years.max())  # type: ignore[arg-type]
    if last - first <= LONGEST_SPAN and last < LAST_YEAR:
        return ""
    return f"its years of two digits are taken for {first} to {last}: if that is wrong, write them with four"


def _marks_said(texts: Texts, notation: Notation) -> str:
    known = texts.different.filter(texts.different.is_in([*MARKS]) & (texts.different != ""))
    if not len(known):
        return ""
    if known[0] in notation.level_marks:
        return f"{known[0]!r} marks missing cells: if it is a level, add data.missing_values=[]"
    return f"{known[0]!r} is a level: if it marks missing cells, add data.missing_values=[default]"


def _doubt(cells: pl.Series, texts: Texts, is_present: pl.Series, notation: Notation) -> str:
    """Return what may be wrong with a column that is perhaps meant to be numeric."""
    read = amounts.read(texts.different, notation.decimal or ".", notation.thousands)
    is_number = read["value"].is_finite().fill_null(False) & is_present
    is_odd = is_present & ~is_number
    if int(is_odd.sum()) > (1 - FRACTION_OF_NUMBERS) * int(is_present.sum()):
        return _doubt_of_dates(cells, texts, is_present, notation)
    if not is_odd.any() and texts.different.str.contains(r"^0\d+$").any():
        return "its numbers begin with zeros, as codes do: if they are amounts, add the column to data.numeric"
    if is_odd.any():
        row = int(np.argmax(texts.spread(is_odd, False)))
        return (
            f"most of its levels are numbers, but row {row + 1} holds {shortened(repr(value_of(cells, row)))}: if that "
            "stands for a missing cell, add it to data.missing_values"
        )
    return "its numbers have different units: write them in one"


def _doubt_of_dates(cells: pl.Series, texts: Texts, is_present: pl.Series, notation: Notation) -> str:
    written = moments.nearest(texts.different.filter(is_present), notation.day_first, notation.date_format)
    if written is None:
        return ""
    is_odd = is_present & moments.read(texts.different, written).is_null()
    if int(is_odd.sum()) > (1 - FRACTION_OF_DATES) * int(is_present.sum()):
        return ""
    row = int(np.argmax(texts.spread(is_odd, False)))
    shown = shortened(repr(value_of(cells, row)))
    return f"many of its levels are dates, written like {written}, but row {row + 1} holds {shown}"
