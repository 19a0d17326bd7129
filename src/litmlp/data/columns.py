"""What a column of a table is to a network: how its cells become numbers or codes.

Columns are fitted on training rows only, and their state is plain values and tensors.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl

from litmlp.data import moments
from litmlp.data.amounts import Unit
from litmlp.data.cells import (
    OF_INPUT,
    Levels,
    Numbers,
    as_booleans,
    as_dates,
    as_levels,
    as_numbers,
    is_text,
    texts_of,
)
from litmlp.data.notation import Notation
from litmlp.data.scaling import scaling_named
from litmlp.data.state import different, taken
from litmlp.errors import InputError

UNSEEN, MISSING, FIRST_LEVEL = 0, 1, 2
MOST_UNSEEN = 0.5  # of a file's levels, before that is said
MOST_TOLERATED = 100  # different texts of rows that do not count
ROWS_AT_ONCE = 2**17  # of dates, which are taken into many parts
DAY, HOUR = 86_400_000_000, 3_600_000_000  # microseconds
ROWS_FOR_SCALE = 2**18  # evenly spaced training rows that set a scale; a larger table has no more to say


class Encoded(NamedTuple):
    """What the network sees of a column.

    Attributes:
        numeric: arrays `[N] float32`.
        codes: arrays `[N]` of whole numbers.
    """

    numeric: list[np.ndarray]
    codes: list[np.ndarray]


class Column(ABC):
    """An input column of a table."""

    kind: ClassVar[str]

    def __init__(self, name: str, absent: Sequence[str] = ()) -> None:
        self.name = name
        self.absent = list(absent)  # texts that stand for missing cells in this column

    @abstractmethod
    def parse(self, cells: pl.Series, notation: Notation) -> Any:
        """Read raw cells; raise InputError at the first that does not fit."""

    @abstractmethod
    def fit(self, parsed: Any, rows: np.ndarray) -> None:
        """Learn from the training rows, whose places among the parsed ones are `rows`."""

    @abstractmethod
    def encode(self, parsed: Any) -> Encoded:
        """Return what the network sees of all rows."""

    def tolerate(self, cells: pl.Series, notation: Notation) -> None:
        """Take what cannot be read in rows that do not count, as a line of totals, for missing cells from now on."""
        for text in cells.cast(pl.String).unique().drop_nulls().head(MOST_TOLERATED) if is_text(cells) else ():
            try:
                self.parse(pl.Series(cells.name, [text]), notation)
            except InputError:
                self.absent.append(text.strip())

    def remark(self, parsed: Any) -> str:
        """Return what is strange about the cells of another file, for people; empty if nothing is."""
        return ""

    @property
    @abstractmethod
    def numeric_names(self) -> list[str]:
        """A name for each numeric array of `encode`."""

    @property
    @abstractmethod
    def cardinalities(self) -> dict[str, int]:
        """A name and the number of codes for each array of codes of `encode`."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def describe(self) -> str:
        """Return what was made of the column, for people."""
        return self.kind

    @property
    def reads_text(self) -> bool:
        """Whether cells of a CSV file must reach `parse` as they are written, though they look like numbers."""
        return False


class NumericColumn(Column):
    """Scales numbers; a missing cell becomes the scale's zero, and is marked in a column of its own.

    The mark exists only if enough cells were missing in training to learn what that means.

    Args:
        name: of the column.
        scaling: `standard`, `robust` or `quantile`.
        absent: texts that stand for missing cells in this column.
        min_count: training rows without a number that a mark needs.
    """

    kind = "numeric"

    def __init__(self, name: str, scaling: str, absent: Sequence[str] = (), min_count: int = 1) -> None:
        super().__init__(name, absent)
        self.min_count = min_count
        self.scaling = scaling_named(scaling)
        self.unit: Unit | None = None  # until it is fitted
        self.is_of_dates = False
        self.is_marked = False

    def parse(self, cells: pl.Series, notation: Notation) -> Numbers:
        """Read numbers, and dates as seconds if all files hold dates."""
        is_of_dates = cells.dtype in (pl.Date, pl.Datetime)
        if self.unit is None:
            self.is_of_dates = is_of_dates
        if is_of_dates != self.is_of_dates and cells.null_count() < len(cells):
            kinds = ("dates", "other cells") if is_of_dates else ("no dates", "dates")
            raise InputError(
                f"column '{self.name}' holds {kinds[0]}, but held {kinds[1]} when the network was trained: write it "
                "in the same way"
            )
        return as_numbers(cells, notation, OF_INPUT, self.unit, self.absent)

    def fit(self, parsed: Numbers, rows: np.ndarray) -> None:
        """Learn the scale, the unit, and whether cells are missing."""
        self.unit = parsed.unit
        num_missing = 0 if parsed.is_missing is None else int(parsed.is_missing[rows].sum())
        self.is_marked = num_missing >= max(self.min_count, 1)
        self.scaling.fit(parsed.present(_sampled(rows)))

    def encode(self, parsed: Numbers) -> Encoded:
        """Return the scaled numbers and, if marked, 1 where missing."""
        scaled = self.scaling.apply(parsed.values)
        is_missing = parsed.is_missing
        if is_missing is not None:
            scaled[is_missing] = 0
        if not self.is_marked:
            return Encoded([scaled], [])
        return Encoded([scaled, np.zeros_like(scaled) if is_missing is None else is_missing.astype(np.float32)], [])

    @property
    def numeric_names(self) -> list[str]:
        """The column's own name, and that of its mark."""
        return [self.name, f"{self.name} is missing"] if self.is_marked else [self.name]

    @property
    def cardinalities(self) -> dict[str, int]:
        """None."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""
        unit = list(self.unit or Unit())
        return {
            **{"unit": unit, "is_of_dates": self.is_of_dates, "absent": self.absent},
            **{"is_marked": self.is_marked, "scaling": self.scaling.state_dict()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        hints = {"unit": list[str], "is_of_dates": bool, "absent": list[str], "is_marked": bool, "scaling": dict}
        unit, self.is_of_dates, self.absent, self.is_marked, scaling = taken(state, hints)
        if len(unit) != len(Unit._fields):
            raise ValueError("a state says what stands before numbers and what behind them")
        self.unit = Unit(*unit)
        self.scaling.load_state_dict(scaling)

    def describe(self) -> str:
        """Tell of missing cells and of what stands beside numbers."""
        unit = f", in {self.unit}" if self.unit and any(self.unit) else ""
        return f"{self.kind}{unit}{', some missing' if self.is_marked else ''}"


class BooleanColumn(NumericColumn):
    """True and false, yes and no, as 1 and 0."""

    kind = "boolean"

    def parse(self, cells: pl.Series, notation: Notation) -> Numbers:
        """Read truth values."""
        return as_booleans(cells, notation, self.absent)


class CategoricalColumn(Column):
    """Gives each level a code; code 0 is for what was never or hardly ever seen in training, 1 for missing cells.

    Args:
        name: of the column.
        min_count: training rows that a level, or the missing cell, needs for a code of its own.
    """

    kind = "categorical"

    def __init__(self, name: str, min_count: int = 1) -> None:
        super().__init__(name)
        self.min_count = min_count
        self.levels: list[str] = []
        self.num_rare = 0
        self.code_of_missing = MISSING

    def parse(self, cells: pl.Series, notation: Notation) -> Levels:
        """Read levels."""
        return as_levels(cells, notation)

    def fit(self, parsed: Levels, rows: np.ndarray) -> None:
        """Take the levels that are frequent enough, in sorted order."""
        num_missing, *counts = np.bincount(parsed.codes[rows] + 1, minlength=len(parsed.names) + 1).tolist()
        self.code_of_missing = UNSEEN if 0 < num_missing < self.min_count else MISSING
        counted = list(zip(parsed.names, counts, strict=True))
        self.levels = sorted(name for name, count in counted if count >= max(self.min_count, 1))
        self.num_rare = sum(0 < count < self.min_count for _, count in counted)

    def remark(self, parsed: Levels) -> str:
        """Tell of levels that are unseen in most rows, as those of a column that is written in another way."""
        unseen = [code for code, name in enumerate(parsed.names) if name not in self.levels]
        num_unseen, num_all = np.isin(parsed.codes, unseen).sum(), (parsed.codes >= 0).sum()
        if num_unseen <= MOST_UNSEEN * num_all:
            return ""
        text = parsed.names[unseen[0]]
        return f"{num_unseen} of its {num_all} cells hold levels that training did not see, as {text!r}"

    def encode(self, parsed: Levels) -> Encoded:
        """Return codes."""
        known = {name: code for code, name in enumerate(self.levels, FIRST_LEVEL)}
        codes = [known.get(name, UNSEEN) for name in parsed.names]
        smallest = np.min_scalar_type(FIRST_LEVEL + len(self.levels))
        return Encoded([], [np.array([*codes, self.code_of_missing], dtype=smallest).take(parsed.codes)])

    @property
    def numeric_names(self) -> list[str]:
        """None."""
        return []

    @property
    def cardinalities(self) -> dict[str, int]:
        """Levels, unseen, missing."""
        return {self.name: FIRST_LEVEL + len(self.levels)}

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"levels": self.levels, "num_rare": self.num_rare, "code_of_missing": self.code_of_missing}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        hints = {"levels": list[str], "num_rare": int, "code_of_missing": Literal[0, 1]}
        levels, self.num_rare, self.code_of_missing = taken(state, hints)
        self.levels = different(levels)

    @property
    def reads_text(self) -> bool:
        """Always: 007 is not 7."""
        return True

    def describe(self) -> str:
        """Count levels."""
        rare = f", {self.num_rare} rare ones taken together" if self.num_rare else ""
        return f"{self.kind}, {len(self.levels)} level{'s' if len(self.levels) != 1 else ''}{rare}"


class DateColumn(Column):
    """Turns a moment into time elapsed, month, day of the month, weekday and hour, as far as these vary.

    Month and weekday are codes, the others numbers.

    Args:
        name: of the column.
        scaling: of the numbers.
        date_format: how text is written, as `moments` has it; the format that all cells follow if None.
        min_count: see NumericColumn and CategoricalColumn.
        has_trend: whether the time elapsed is an input.
    """

    kind = "date"

    def __init__(
        self,
        name: str,
        scaling: str,
        date_format: str | None = None,
        absent: Sequence[str] = (),
        min_count: int = 1,
        has_trend: bool = True,
    ) -> None:
        super().__init__(name, absent)
        self.date_format = date_format
        numeric = ["time", "day", "hour"] if has_trend else ["day", "hour"]
        self.parts: dict[str, Column] = {
            part: NumericColumn(f"{name} {part}", scaling, min_count=min_count) for part in numeric
        }
        self.parts |= {part: CategoricalColumn(f"{name} {part}", min_count) for part in ("month", "weekday")}

    def parse(self, cells: pl.Series, notation: Notation) -> Numbers:
        """Read dates, as microseconds since 1970."""
        dates = as_dates(cells, notation, self._format_of(cells, notation), OF_INPUT, self.absent)
        is_missing = dates.is_null().to_numpy() if dates.null_count() else None
        return Numbers(dates.cast(pl.Int64).fill_null(0).to_numpy(), is_missing)

    def _format_of(self, cells: pl.Series, notation: Notation) -> str | None:
        """Return how text is written: as in training, unless it all follows what is said of another file."""
        asked = notation.date_format
        if not is_text(cells) or (self.date_format is not None and asked in (None, self.date_format)):
            return self.date_format
        present = texts_of(cells).different
        present = present.filter(~present.is_in([*notation.marks, *self.absent]))
        found = moments.written_in(present, notation.day_first, asked)
        if self.date_format is not None:
            return asked if found and found.format == asked else self.date_format
        if found and found.other:  # of training, dates were no text
            raise InputError(
                f"column '{self.name}' holds {present[0]!r}, which may be {found.format} or {found.other}: write dates "
                "as 2024-12-31, or say which with data.date_format"
            )
        return found.format if found else None

    @property
    def reads_text(self) -> bool:
        """Where dates were text: 2014.10 is not 2014.1."""
        return self.date_format is not None

    def fit(self, parsed: Numbers, rows: np.ndarray) -> None:
        """Fit the parts, and drop those that are the same in all training rows."""
        rows = _sampled(rows)
        parts = _parts_of(parsed.at(rows))
        everywhere = np.arange(len(rows))
        self.parts = {part: column for part, column in self.parts.items() if _varies(parts[part])}
        for part, column in self.parts.items():
            column.fit(parts[part], everywhere)

    def encode(self, parsed: Numbers) -> Encoded:
        """Return the parts' arrays."""
        stretches = [slice(i, i + ROWS_AT_ONCE) for i in range(0, max(len(parsed.values), 1), ROWS_AT_ONCE)]
        encoded = [self._encoded(parsed.at(stretch)) for stretch in stretches]
        numeric, codes = (
            [np.concatenate(arrays) for arrays in zip(*kind, strict=True)] for kind in zip(*encoded, strict=True)
        )
        return Encoded(numeric, codes)

    def _encoded(self, some: Numbers) -> Encoded:
        parts = _parts_of(some)
        encoded = [column.encode(parts[part]) for part, column in self.parts.items()]
        return Encoded([a for one in encoded for a in one.numeric], [a for one in encoded for a in one.codes])

    @property
    def numeric_names(self) -> list[str]:
        """Those of the numeric parts."""
        return [name for column in self.parts.values() for name in column.numeric_names]

    @property
    def cardinalities(self) -> dict[str, int]:
        """Those of the other parts."""
        return {name: size for column in self.parts.values() for name, size in column.cardinalities.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""
        parts = {part: column.state_dict() for part, column in self.parts.items()}
        return {"date_format": self.date_format, "absent": self.absent, "parts": parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.date_format, self.absent, parts = taken(
            state, {"date_format": str | None, "absent": list[str], "parts": dict[str, dict]}
        )
        if self.date_format is not None:
            moments.check(self.date_format)
        self.parts = {part: self.parts[part] for part in parts}
        for part, column in self.parts.items():
            column.load_state_dict(parts[part])

    def describe(self) -> str:
        """Name format and parts."""
        written = f", written like {self.date_format}" if self.date_format else ""
        return f"{self.kind}{written}, as {', '.join(self.parts) or 'nothing, for it does not vary'}"


KINDS = tuple(column.kind for column in (NumericColumn, BooleanColumn, CategoricalColumn, DateColumn))


def _parts_of(dates: Numbers) -> dict[str, Numbers | Levels]:
    microseconds, is_missing = dates.values, dates.is_missing
    days = microseconds // DAY
    first, last = (int(days.min()), int(days.max())) if len(days) else (0, 0)  # at most 9999 years
    calendar = pl.int_range(first, last + 1, dtype=pl.Int32, eager=True).cast(pl.Date).dt
    place = days - first  # of each row's day in the calendar, which has each day but once

    def numbers(values: np.ndarray) -> Numbers:
        return Numbers(values, is_missing)

    def levels(of_day: pl.Series, highest: int) -> Levels:
        codes = of_day.cast(pl.Int32).to_numpy().take(place)
        if is_missing is not None:
            codes[is_missing] = -1
        return Levels([str(i) for i in range(highest + 1)], codes)

    return {
        "time": numbers(microseconds / DAY),
        "day": numbers(calendar.day().cast(pl.Float64).to_numpy().take(place)),
        "hour": numbers((microseconds - days * DAY) / HOUR),
        "month": levels(calendar.month(), 12),
        "weekday": levels(calendar.weekday(), 7),
    }


def _varies(parsed: Numbers | Levels) -> bool:
    everywhere = slice(None)
    values = parsed.present(everywhere) if isinstance(parsed, Numbers) else parsed.codes[parsed.codes >= 0]
    return len(values) > 0 and bool(values.min() < values.max())


def _sampled(rows: np.ndarray) -> np.ndarray:
    if len(rows) <= ROWS_FOR_SCALE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, ROWS_FOR_SCALE).astype(np.int64)]
