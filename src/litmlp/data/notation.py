"""How the cells of a table are written: found from all of its columns together, and kept for other files of its kind.

A table has one writer, so that its columns settle together what `5,955` is, what marks a missing cell, and whether
days stand before months. Where nothing settles it, this is said.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import polars as pl
from polars import selectors

from litmlp.data import amounts
from litmlp.data.amounts import DECIMALS
from litmlp.data.state import checked_values
from litmlp.errors import InputError

MARKS = (  # of a missing cell, of text as of numbers
    *("", "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "<NA>", "NaT", "null", "NULL", "Null", r"\N"),
    *("NaN", "nan", "-nan", "-NaN", "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND"),
)
OF_NUMBERS = (  # of a missing cell where the others are numbers or dates; elsewhere they may mean something
    *("None", "none", "NONE", "NAN", "n.a.", "N.A.", "nil", "*", "?", "-", "--", "---", "\u2013", "\u2014"),
    *(".", "..", "...", ":", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#NULL!"),
)
DEFAULT = "default"  # in a list of marks: all of the above
HEAD = 1000  # cells that tell most columns apart
MIN_CELLS = 10  # numbers with three digits behind a mark, to tell that from chance
FRACTION_ALIKE = 0.9  # of a column's different texts that look like numbers, for it to have a say
CODE = r"^[+-]?0\d"  # begins with a zero that says nothing, which codes are not to lose
LONG = r"^[+-]?\d{17,}$"
DAY_MONTH = r"^\s*(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{2}|\d{4})(?:(?:[T ]|, )\d{1,2}:.*)?\s*$"


class Notation(NamedTuple):
    """How the files of a table are written, so that a cell means the same in all of them.

    Attributes:
        decimal: the decimal mark, `.` or `,`; None where nothing tells, and then it is the dot.
        thousands: the mark of thousands; any that is usual if None, none if empty.
        day_first: whether 03/04/2014 is a day of April; None where nothing tells, and where nobody asks.
        date_format: of all dates, as the user gave it.
        marks: what stands for a missing cell among numbers and dates.
        level_marks: what stands for one among other texts.
        header: the names of the columns, where files have no line that names them.
        quote: around cells of a text file.
        comment: with which lines begin that are no part of it; empty if there are none.
        lacks_name: whether the line that names its columns has one name fewer.
    """

    decimal: str | None = None
    thousands: str | None = None
    day_first: bool | None = None
    date_format: str | None = None
    marks: tuple[str, ...] = (*MARKS, *OF_NUMBERS)
    level_marks: tuple[str, ...] = MARKS
    header: tuple[str, ...] | None = None
    quote: str | None = None
    comment: str | None = None
    lacks_name: bool = False

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Notation":
        """Return what `state_dict` was asked of."""
        hints = {
            **{"decimal": Literal[None, *DECIMALS], "thousands": str | None, "day_first": bool | None},
            **{"date_format": str | None, "marks": list[str], "level_marks": list[str], "header": list[str] | None},
            **{"quote": str | None, "comment": str | None, "lacks_name": bool},
        }
        values = checked_values(state, hints)
        return cls(*(tuple(value) if isinstance(value, list) else value for value in values))  # type: ignore[arg-type]


UNKNOWN = Notation()


def with_marks(notation: Notation, given: Sequence[str] | None) -> Notation:
    """Return a notation in which the marks that a user gives stand for missing cells, and no others."""
    if given is None:
        return notation
    own = [text.strip() for text in given if text != DEFAULT]
    more = (*MARKS, *OF_NUMBERS) if DEFAULT in given else ("",)
    return notation._replace(marks=(*more, *own), level_marks=(*(MARKS if DEFAULT in given else ("",)), *own))


class Survey:
    """What the columns of a table, looked at one after the other, tell of how it is written."""

    def __init__(self, notation: Notation, delimiter: str = ",") -> None:
        self.notation = notation
        self.delimiter = delimiter
        self.proofs: dict[str, tuple[str, str]] = {}  # of a decimal mark: the column and a cell
        self.hints: dict[str, tuple[str, str]] = {}  # weaker ones
        self.doubts: dict[str, tuple[str, str]] = {}
        self.denials: dict[str, tuple[str, str]] = {}  # of a mark of thousands
        self.orders: dict[bool, tuple[str, str]] = {}  # of day and month
        self.marks: set[str] = set()  # that occur among numbers
        self.has_empty = False

    def types_of(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, pl.DataType]:
        """Return which columns seem to be plain numbers by their first rows, if these prove the decimal mark."""
        types: dict[str, pl.DataType] = {}
        for name, cells in zip(names, zip(*rows, strict=True), strict=True) if rows else ():
            texts = pl.Series(name, [cell for cell in cells if cell], dtype=pl.String)
            for kind in (pl.Float64(), pl.Int64()):
                if len(texts) and texts.cast(kind, strict=False).null_count() == 0 and not _holds_codes(texts, kind):
                    types[name] = kind
            if name not in types or (types[name].is_float() and DECIMALS[0] not in self.proofs):
                self._weigh(texts)
        decimal = self.notation.decimal or next(iter(self.proofs), None)
        has_fractions = any(kind.is_float() for kind in types.values())
        return types if len(self.proofs) < 2 and (decimal == "." or not (has_fractions or decimal)) else {}

    def look_at_numbers(self, frame: pl.LazyFrame, names: list[str]) -> list[str]:
        """Take in columns that were read as numbers; return those in which a cell says NaN."""
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
        """Take in a column of text, and return it as numbers if all of its cells are plain numbers or missing."""
        if cells.dtype.is_numeric():
            return cells.fill_nan(None)
        head = cells.head(HEAD)
        if (head.str.strip_chars() != head).any():
            cells, head = cells.str.strip_chars(), head.str.strip_chars()
        self.has_empty = self.has_empty or cells.null_count() > 0
        for kind in (pl.Int64(), pl.Float64()):
            if self._odd(head, head.cast(kind, strict=False)) is None:
                continue
            numbers = cells.cast(kind, strict=False)
            if (odd := self._odd(cells, numbers)) is None:
                continue
            self.marks |= odd - {""}
            if _holds_codes(cells, kind):
                break
            if kind == pl.Int64:
                return numbers
            for some in (head, cells.unique()):
                if DECIMALS[0] not in self.proofs:
                    self._weigh(some)
            return numbers.fill_nan(None)
        if self._looks_numeric(head):
            different = cells.unique().drop_nulls()
            if self._looks_numeric(different):
                self.marks |= {*different.filter(different.is_in([*self.notation.marks]))} - {""}
                self._weigh(different)
        elif head.str.contains(DAY_MONTH).sum() >= FRACTION_ALIKE * max(head.count(), 1):
            self._order(cells.unique())
        return cells

    def with_commas(self, cells: pl.Series) -> pl.Series | None:
        """Return a column of text as numbers if all are plain ones with a decimal comma, or missing; else None."""
        for some in (cells.head(HEAD), cells):
            if some.str.contains(".", literal=True).any() or not some.str.contains(",", literal=True).any():
                return None
            numbers = some.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
            if self._odd(some, numbers) is None:
                return None
        return numbers.fill_nan(None)

    @property
    def decimal(self) -> str | None:
        """The decimal mark, as far as the columns tell."""
        return self._decimal([])

    def found(self, finds_marks: bool) -> tuple[Notation, list[str]]:
        """Return the notation, and for people what was assumed.

        Args:
            finds_marks: whether marks of missing cells are to be found, and are not given.

        Raises:
            InputError: a cell shows that the decimal mark or that of thousands is another one than the one given.
        """
        said: list[str] = []
        for thousands, (name, text) in self.denials.items():
            raise InputError(
                f"the mark of thousands is {thousands!r}, as data.thousands or the checkpoint says, but column "
                f"'{name}' holds {text!r}: write the numbers alike, or leave data.thousands out"
            )
        notation = self.notation._replace(decimal=self._decimal(said), day_first=self._day_first(said))
        if finds_marks:
            words = MARKS if not self.has_empty or self.marks & {*MARKS} else ("",)
            notation = notation._replace(level_marks=tuple(dict.fromkeys([*words, *sorted(self.marks)])))
        return notation, said

    def _odd(self, cells: pl.Series, numbers: pl.Series) -> set[str] | None:
        """Return the texts that are no numbers if all of them are marks of missing cells; else None."""
        if numbers.null_count() == len(cells):
            return None
        texts = cells.filter(numbers.is_null()).drop_nulls()
        odd: set[str] = set()
        for some in (texts.head(HEAD), texts):  # most columns fail at once
            odd = {*some.unique()}
            if not odd <= {*self.notation.marks}:
                return None
        return odd | ({"NaN"} if numbers.dtype.is_float() and numbers.is_nan().any() else set())

    def _looks_numeric(self, texts: pl.Series) -> bool:
        some = texts.head(HEAD).drop_nulls()
        some = some.filter(~some.is_in([*self.notation.marks]))
        return len(some) > 0 and amounts.parts_of(some)["body"].count() >= FRACTION_ALIKE * len(some)

    def _weigh(self, texts: pl.Series) -> None:
        """Take in what texts tell of the decimal mark."""
        seen = texts.filter(texts.str.contains(r"\d[.,]|[.,]\d").fill_null(False))
        if not len(seen):
            return
        body = amounts.parts_of(seen)["body"]
        fits = {mark: amounts.is_written_with(body, mark, self.notation.thousands) for mark in DECIMALS}
        if thousands := self.notation.thousands:
            would_fit = amounts.is_written_with(body, ".") | amounts.is_written_with(body, ",")
            self._keep(self.denials, thousands, texts.name, seen.filter(would_fit & ~fits["."] & ~fits[","]))
        for mark, other in (DECIMALS, DECIMALS[::-1]):
            has_mark = body.str.contains(mark, literal=True).fill_null(False)
            doubtful = seen.filter(fits[mark] & fits[other] & has_mark)
            self._keep(self.proofs, mark, texts.name, seen.filter(fits[mark] & ~fits[other]))
            self._keep(self.doubts, mark, texts.name, doubtful)
            if len(doubtful) and _groups_thousands(texts, body.filter(fits[mark] & fits[other] & has_mark)):
                self._keep(self.hints, other, texts.name, doubtful)

    def _order(self, texts: pl.Series) -> None:
        first, second, year = (texts.str.extract(DAY_MONTH, number).cast(pl.Int64) for number in (1, 2, 3))
        is_date = ((first <= 31) & (second <= 31) & ((first <= 12) | (second <= 12))).fill_null(False)
        if is_date.sum() < FRACTION_ALIKE * first.count():
            return  # of other numbers, such as those of telephones
        if (year.filter(is_date) > 31).any():  # else the year may stand first, as in 24-03-25
            self._keep(self.orders, True, texts.name, texts.filter(is_date & (first > 12).fill_null(False)))
        self._keep(self.orders, False, texts.name, texts.filter(is_date & (second > 12).fill_null(False)))

    @staticmethod
    def _keep(kept: dict[Any, tuple[str, str]], key: Any, name: str, texts: pl.Series) -> None:
        if len(texts) and key not in kept:
            kept[key] = (name, min(texts))

    def _decimal(self, said: list[str]) -> str | None:
        given = self.notation.decimal
        if given is not None:
            other = other_mark(given)
            if other in self.proofs and given not in self.proofs:
                name, text = self.proofs[other]
                raise InputError(
                    f"the decimal mark is '{given}', as data.decimal, data.thousands or the checkpoint says, but "
                    f"column '{name}' holds {text!r}: write the numbers alike, or leave these keys out"
                )
            return given
        if len(self.proofs) == 1:
            ((decimal, (name, text)),) = self.proofs.items()
            if decimal != DECIMALS[0] or other_mark(decimal) in self.doubts:
                said.append(f"the decimal mark is '{decimal}', as in {text!r} of '{name}'")
            return decimal
        if len(self.proofs) == 2:
            both = " and ".join(f"{self.proofs[mark][1]!r} of '{self.proofs[mark][0]}'" for mark in DECIMALS)
            said.append(f"the decimal mark is taken to be '.', though the file says both, as in {both}")
            return DECIMALS[0]
        if not self.doubts:
            return None
        decimal = next(iter(self.hints), "," if self.delimiter == ";" else ".")
        name, text = next(iter((self.hints or self.doubts).values()))
        value = amounts.read(pl.Series([text]), decimal, self.notation.thousands)["value"][0]
        said.append(
            f"nothing proves whether {text!r} of '{name}' has a decimal mark, so it is read as {value:.10g}: if that "
            f"is wrong, add data.decimal='{other_mark(decimal)}'"
        )
        return decimal

    def _day_first(self, said: list[str]) -> bool | None:
        if len(self.orders) == 2:
            both = " and ".join(f"{text!r} of '{name}'" for name, text in self.orders.values())
            said.append(f"some dates have the day first and some the month, as in {both}")
        return next(iter(self.orders)) if len(self.orders) == 1 else None


def other_mark(mark: str) -> str:
    """Return the dot for the comma, and the comma for the dot."""
    return DECIMALS[mark == DECIMALS[0]]


def _groups_thousands(texts: pl.Series, doubtful: pl.Series) -> bool:
    """Tell whether a mark before three digits rather groups than divides: where numbers below 1000 do without it."""
    others = texts.filter(texts.str.contains(r"^\d+$"))
    is_fixed = doubtful.str.ends_with("0").any()  # zeros are written out, so that 927 would be 927.000
    are_small = len(others) > 0 and not (others.str.len_bytes() > 3).any()
    return are_small and bool(is_fixed or len(doubtful) >= MIN_CELLS)


def _holds_codes(cells: pl.Series, kind: pl.DataType) -> bool:
    """Tell whether cells would lose digits as numbers: zeros in front, or more than a float can keep."""
    return bool(cells.str.contains(CODE).any() or (kind.is_float() and cells.str.contains(LONG).any()))
