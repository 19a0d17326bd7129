"""Infers the format of a table's cells from all of its columns together, and keeps it for later files.

A table is usually written by one program, so its columns share a format. Together they decide what `5,955` means, which
texts mark a missing cell, and whether days precede months. If they leave it open, a log message says what was assumed.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import polars as pl
from polars import selectors

from litmlp.data import amounts
from litmlp.data.amounts import DECIMALS
from litmlp.data.state import checked_values
from litmlp.errors import InputError

MARKS = (  # texts that mark a missing cell in any column
    *("", "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "<NA>", "NaT", "null", "NULL", "Null", r"\N"),
    *("NaN", "nan", "-nan", "-NaN", "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND"),
)
NUMBER_MARKS = (  # texts that mark a missing cell among numbers or dates; among other texts they may be levels
    *("None", "none", "NONE", "NAN", "n.a.", "N.A.", "nil", "*", "?", "-", "--", "---", "\u2013", "\u2014"),
    *(".", "..", "...", ":", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#NULL!"),
)
DEFAULT = "default"  # in a list of markers, it stands for all of the above
HEAD_SIZE = 1000  # cells that suffice to rule out most column types
MIN_CELLS = 10  # numbers with three digits after a mark; fewer may be chance
MIN_FRACTION = 0.9  # of a column's texts that look like numbers or dates, for the column to be taken into account
CODE = r"^[+-]?0\d"  # a leading zero, which a code would lose as a number
LONG = r"^[+-]?\d{17,}$"  # more digits than a float can hold
DAY_MONTH = r"^\s*(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{2}|\d{4})(?:(?:[T ]|, )\d{1,2}:.*)?\s*$"


class Notation(NamedTuple):
    """The format of a table's cells and files, so that a cell means the same in all of its files.

    Attributes:
        decimal: the decimal mark, `.` or `,`. None if it is not known; then the dot is used.
        thousands: the thousands separator; any usual one if None, none if empty.
        day_first: whether 03/04/2014 is a day of April; None if it is not known or does not matter.
        date_format: the format of all dates, if the user gave one.
        marks: the texts that mark a missing cell among numbers and dates.
        level_marks: the texts that mark a missing cell among other texts.
        header: the names of the columns if files have no header; else None.
        quote: the character around quoted cells of a text file.
        comment: the start of lines to ignore; empty if there are none.
        lacks_name: whether the header has one name fewer than there are columns.
    """

    decimal: str | None = None
    thousands: str | None = None
    day_first: bool | None = None
    date_format: str | None = None
    marks: tuple[str, ...] = (*MARKS, *NUMBER_MARKS)
    level_marks: tuple[str, ...] = MARKS
    header: tuple[str, ...] | None = None
    quote: str | None = None
    comment: str | None = None
    lacks_name: bool = False

    def state_dict(self) -> dict[str, Any]:
        """Return the attributes as plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Notation":
        """Return the notation whose `state_dict` this is; raise ValueError if it is not one."""
        hints = {
            **{"decimal": Literal[None, *DECIMALS], "thousands": str | None, "day_first": bool | None},
            **{"date_format": str | None, "marks": list[str], "level_marks": list[str], "header": list[str] | None},
            **{"quote": str | None, "comment": str | None, "lacks_name": bool},
        }
        values = checked_values(state, hints)
        return cls(*(tuple(value) if isinstance(value, list) else value for value in values))  # type: ignore[arg-type]


UNKNOWN = Notation()


def with_marks(notation: Notation, given: Sequence[str] | None) -> Notation:
    """Return a notation in which only the given texts, and empty cells, are missing; unchanged if `given` is None.

    DEFAULT among the texts adds the usual markers.
    """
    if given is None:
        return notation
    given_marks = [text.strip() for text in given if text != DEFAULT]
    usual = (*MARKS, *NUMBER_MARKS) if DEFAULT in given else ("",)
    return notation._replace(
        marks=(*usual, *given_marks), level_marks=(*(MARKS if DEFAULT in given else ("",)), *given_marks)
    )


class Survey:
    """Infers the notation of a table from its columns, which are passed to it one after the other.

    Each dict of findings keeps one example: the name of a column, and one of its cells.
    """

    def __init__(self, notation: Notation, delimiter: str = ",") -> None:
        self.notation = notation
        self.delimiter = delimiter
        self.proofs: dict[str, tuple[str, str]] = {}  # by decimal mark: a number that can only have this one
        self.hints: dict[str, tuple[str, str]] = {}  # by decimal mark: a number that suggests this one
        self.ambiguities: dict[str, tuple[str, str]] = {}  # by mark: a number in which it may be decimal or not
        self.contradictions: dict[str, tuple[str, str]] = {}  # by given thousands separator: a number with another one
        self.orders: dict[bool, tuple[str, str]] = {}  # by whether the day precedes the month: a date that proves it
        self.marks: set[str] = set()  # markers of missing cells that occur among numbers
        self.has_empty = False

    def types_of(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, pl.DataType]:
        """Return the types of the columns whose first cells are all plain numbers.

        Return none if the decimal mark is the comma, or if there are floats and nothing proves that it is the dot:
        then 1.234 may mean 1234.
        """
        types: dict[str, pl.DataType] = {}
        for name, cells in zip(names, zip(*rows, strict=True), strict=True) if rows else ():
            texts = pl.Series(name, [cell for cell in cells if cell], dtype=pl.String)
            for kind in (pl.Float64(), pl.Int64()):  # integers are floats as well, so the narrower type comes last
                if len(texts) and texts.cast(kind, strict=False).null_count() == 0 and not _holds_codes(texts, kind):
                    types[name] = kind
            if name not in types or (types[name].is_float() and DECIMALS[0] not in self.proofs):
                self._learn_decimal(texts)
        decimal = self.notation.decimal or next(iter(self.proofs), None)
        has_fractions = any(kind.is_float() for kind in types.values())
        return types if len(self.proofs) < 2 and (decimal == "." or not (has_fractions or decimal)) else {}

    def look_at_numbers(self, frame: pl.LazyFrame, names: list[str]) -> list[str]:
        """Learn from columns that were already parsed as numbers; return the names of those that hold NaN."""
        cells = selectors.by_name(*names)
        self.has_empty = self.has_empty or any(frame.select(cells.null_count()).collect().row(0))
        floats = frame.select(cells & selectors.float())
        if not floats.collect_schema():
            return []
        found = floats.select(pl.all().is_nan().any()).collect().row(0, named=True)
        with_nan = [name for name, has_nan in found.items() if has_nan]
        self.marks |= {"NaN"} if with_nan else set()
        return with_nan

    def look(self, cells: pl.Series) -> pl.Series:
        """Learn from a column of text, and return it as numbers if all of its cells are plain numbers or missing.

        Otherwise return the text, without surrounding blanks if there are such in its first cells.
        """
        if cells.dtype.is_numeric():
            return cells.fill_nan(None)
        head = cells.head(HEAD_SIZE)
        if (head.str.strip_chars() != head).any():
            cells, head = cells.str.strip_chars(), head.str.strip_chars()
        self.has_empty = self.has_empty or cells.null_count() > 0
        for kind in (pl.Int64(), pl.Float64()):
            if self._marks_among(head, head.cast(kind, strict=False)) is None:  # a quick check of a few cells
                continue
            numbers = cells.cast(kind, strict=False)
            if (marks := self._marks_among(cells, numbers)) is None:
                continue
            self.marks |= marks - {""}
            if _holds_codes(cells, kind):
                break
            if kind == pl.Int64:
                return numbers
            for sample in (head, cells.unique()):
                if DECIMALS[0] not in self.proofs:
                    self._learn_decimal(sample)
            return numbers.fill_nan(None)
        if self._looks_numeric(head):
            distinct = cells.unique().drop_nulls()
            if self._looks_numeric(distinct):
                self.marks |= {*distinct.filter(distinct.is_in([*self.notation.marks]))} - {""}
                self._learn_decimal(distinct)
        elif head.str.contains(DAY_MONTH).sum() >= MIN_FRACTION * max(head.count(), 1):
            self._learn_order(cells.unique())
        return cells

    def with_commas(self, cells: pl.Series) -> pl.Series | None:
        """Return a column of text as numbers if all cells are missing or numbers with a decimal comma; else None."""
        for sample in (cells.head(HEAD_SIZE), cells):
            if sample.str.contains(".", literal=True).any() or not sample.str.contains(",", literal=True).any():
                return None
            numbers = sample.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
            if self._marks_among(sample, numbers) is None:
                return None
        return numbers.fill_nan(None)

    @property
    def decimal(self) -> str | None:
        """The decimal mark that the columns so far imply; None if they imply none."""
        return self._decimal([])

    def found(self, finds_marks: bool) -> tuple[Notation, list[str]]:
        """Return the notation, and log messages about what was assumed.

        Args:
            finds_marks: whether to infer the texts that mark missing cells; otherwise they are given.

        Raises:
            InputError: a cell contradicts the given decimal mark or thousands separator.
        """
        messages: list[str] = []
        for thousands, (name, text) in self.contradictions.items():
            raise InputError(
                f"the thousands separator is {thousands!r} according to data.thousands or the checkpoint, but column "
                f"'{name}' holds {text!r}: write all numbers in the same way, or leave data.thousands out"
            )
        notation = self.notation._replace(decimal=self._decimal(messages), day_first=self._day_first(messages))
        if finds_marks:
            # If missing cells are empty, a text such as NA is a level, unless such a text occurs among numbers.
            words = MARKS if not self.has_empty or self.marks & {*MARKS} else ("",)
            notation = notation._replace(level_marks=tuple(dict.fromkeys([*words, *sorted(self.marks)])))
        return notation, messages

    def _marks_among(self, cells: pl.Series, numbers: pl.Series) -> set[str] | None:
        """Return the texts that are not numbers if all of them mark missing cells; else None.

        Also return None if there is no number at all.
        """
        if numbers.null_count() == len(cells):
            return None
        texts = cells.filter(numbers.is_null()).drop_nulls()
        marks: set[str] = set()
        for sample in (texts.head(HEAD_SIZE), texts):  # most columns fail in the first cells
            marks = {*sample.unique()}
            if not marks <= {*self.notation.marks}:
                return None
        return marks | ({"NaN"} if numbers.dtype.is_float() and numbers.is_nan().any() else set())

    def _looks_numeric(self, texts: pl.Series) -> bool:
        sample = texts.head(HEAD_SIZE).drop_nulls()
        sample = sample.filter(~sample.is_in([*self.notation.marks]))
        return len(sample) > 0 and amounts.parts_of(sample)["body"].count() >= MIN_FRACTION * len(sample)

    def _learn_decimal(self, texts: pl.Series) -> None:
        """Learn from texts with which decimal mark they are well-formed numbers: with the dot, the comma or both."""
        seen = texts.filter(texts.str.contains(r"\d[.,]|[.,]\d").fill_null(False))
        if not len(seen):
            return
        body = amounts.parts_of(seen)["body"]
        fits = {mark: amounts.is_written_with(body, mark, self.notation.thousands) for mark in DECIMALS}
        if thousands := self.notation.thousands:
            would_fit = amounts.is_written_with(body, ".") | amounts.is_written_with(body, ",")
            self._store(self.contradictions, thousands, texts.name, seen.filter(would_fit & ~fits["."] & ~fits[","]))
        for mark, other in (DECIMALS, DECIMALS[::-1]):
            has_mark = body.str.contains(mark, literal=True).fill_null(False)
            ambiguous = seen.filter(fits[mark] & fits[other] & has_mark)
            self._store(self.proofs, mark, texts.name, seen.filter(fits[mark] & ~fits[other]))
            self._store(self.ambiguities, mark, texts.name, ambiguous)
            if len(ambiguous) and _groups_thousands(texts, body.filter(fits[mark] & fits[other] & has_mark)):
                self._store(self.hints, other, texts.name, ambiguous)

    def _learn_order(self, texts: pl.Series) -> None:
        first, second, year = (texts.str.extract(DAY_MONTH, number).cast(pl.Int64) for number in (1, 2, 3))
        is_date = ((first <= 31) & (second <= 31) & ((first <= 12) | (second <= 12))).fill_null(False)
        if is_date.sum() < MIN_FRACTION * first.count():
            return  # other numbers, such as telephone numbers
        if (year.filter(is_date) > 31).any():  # otherwise the year may come first, as in 24-03-25
            self._store(self.orders, True, texts.name, texts.filter(is_date & (first > 12).fill_null(False)))
        self._store(self.orders, False, texts.name, texts.filter(is_date & (second > 12).fill_null(False)))

    @staticmethod
    def _store(stored: dict[Any, tuple[str, str]], key: Any, name: str, texts: pl.Series) -> None:
        if len(texts) and key not in stored:
            stored[key] = (name, min(texts))

    def _decimal(self, messages: list[str]) -> str | None:
        given = self.notation.decimal
        if given is not None:
            other = other_mark(given)
            if other in self.proofs and given not in self.proofs:
                name, text = self.proofs[other]
                raise InputError(
                    f"the decimal mark is '{given}' according to data.decimal, data.thousands or the checkpoint, but "
                    f"column '{name}' holds {text!r}: write all numbers in the same way, or leave these keys out"
                )
            return given
        if len(self.proofs) == 1:
            ((decimal, (name, text)),) = self.proofs.items()
            if decimal != DECIMALS[0] or other_mark(decimal) in self.ambiguities:
                messages.append(f"the decimal mark is '{decimal}', as in {text!r} of '{name}'")
            return decimal
        if len(self.proofs) == 2:
            both = " and ".join(f"{self.proofs[mark][1]!r} of '{self.proofs[mark][0]}'" for mark in DECIMALS)
            messages.append(f"the decimal mark is taken to be '.', though both marks occur, as in {both}")
            return DECIMALS[0]
        if not self.ambiguities:
            return None
        # Semicolons between cells suggest that the comma is the decimal mark.
        decimal = next(iter(self.hints), "," if self.delimiter == ";" else ".")
        name, text = next(iter((self.hints or self.ambiguities).values()))
        value = amounts.read(pl.Series([text]), decimal, self.notation.thousands)["value"][0]
        messages.append(
            f"nothing proves whether {text!r} of '{name}' has a decimal mark, so it is read as {value:.10g}: if that "
            f"is wrong, add data.decimal='{other_mark(decimal)}'"
        )
        return decimal

    def _day_first(self, messages: list[str]) -> bool | None:
        if len(self.orders) == 2:
            both = " and ".join(f"{text!r} of '{name}'" for name, text in self.orders.values())
            messages.append(f"some dates have the day first and some the month, as in {both}")
        return next(iter(self.orders)) if len(self.orders) == 1 else None


def other_mark(mark: str) -> str:
    """Return the comma for the dot, and the dot for the comma."""
    return DECIMALS[mark == DECIMALS[0]]


def _groups_thousands(texts: pl.Series, ambiguous: pl.Series) -> bool:
    """Tell whether a mark before three digits probably separates thousands, since only numbers below 1000 lack it.

    Args:
        texts: all cells of a column.
        ambiguous: those numbers among them that are well-formed with either decimal mark.
    """
    without_mark = texts.filter(texts.str.contains(r"^\d+$"))
    is_fixed = ambiguous.str.ends_with("0").any()  # trailing zeros are written, so that 927 would be 927.000
    are_small = len(without_mark) > 0 and not (without_mark.str.len_bytes() > 3).any()
    return are_small and bool(is_fixed or len(ambiguous) >= MIN_CELLS)


def _holds_codes(cells: pl.Series, kind: pl.DataType) -> bool:
    """Tell whether cells would lose digits as numbers: leading zeros, or more digits than a float can hold."""
    return bool(cells.str.contains(CODE).any() or (kind.is_float() and cells.str.contains(LONG).any()))
