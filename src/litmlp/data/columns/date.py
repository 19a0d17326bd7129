"""Columns of dates and timestamps, which are encoded as several numbers and levels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from litmlp.data import date_formats
from litmlp.data.cells import INPUT_ADVICE, Levels, Numbers, as_dates, is_text, texts_of
from litmlp.data.columns.base import Column, Encoded, sampled
from litmlp.data.columns.categorical import CategoricalColumn
from litmlp.data.columns.numeric import NumericColumn
from litmlp.data.notation import Notation
from litmlp.data.state import checked_values
from litmlp.errors import InputError

DATES_AT_ONCE = 2**17  # the arrays of all parts are larger than the dates, so that these are encoded in chunks
DAY, HOUR = 86_400_000_000, 3_600_000_000  # microseconds
# The parts of a date, by how they are encoded. A circle has two parts, of which each is one array.
NUMBERS = ("time", "day", "hour")
CIRCLES = {"hour": ("hour sine", "hour cosine"), "year": ("year sine", "year cosine")}
LEVELS = ("month", "weekday")


class DateColumn(Column):
    """Splits a timestamp into the parts by which people act.

    Numbers are `time`, the days elapsed since 1970; `day`, the day of the month; and `hour`, the time of day in hours.
    Levels are `month` and `weekday`. The time of day and the day of the year are also points on circles, given by sine
    and cosine: 23:59 lies beside 0:00, and December 31 beside January 1.

    Parts that are constant in the training rows are dropped. So is a circle of which they cover less than half, because
    a number tells the same. Without the time elapsed, the circle of the year is also dropped if the training rows span
    no more than a year: it would only stand for the time elapsed, and mislead for later rows.

    Args:
        name: of the column.
        scaling: of the numbers.
        date_format: the format of dates in text, see `moments`; if None, the format that all cells follow.
        absent: texts that mark missing cells in this column.
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
        # Any other than a linear scaling would bend the circles.
        scalings = dict.fromkeys(NUMBERS, scaling) | {part: "standard" for both in CIRCLES.values() for part in both}
        self.parts: dict[str, Column] = {
            part: NumericColumn(f"{name} {part}", scalings[part], min_count=min_count, may_have_levels=False)
            for part in scalings
            if has_trend or part != "time"
        }
        self.parts |= {part: CategoricalColumn(f"{name} {part}", min_count) for part in LEVELS}

    def parse(self, cells: pl.Series, notation: Notation) -> Numbers:
        """Read dates as microseconds since 1970."""
        dates = as_dates(cells, notation, self._format_of(cells, notation), INPUT_ADVICE, self.absent)
        is_missing = dates.is_null().to_numpy() if dates.null_count() else None
        return Numbers(dates.cast(pl.Int64).fill_null(0).to_numpy(), is_missing)

    def _format_of(self, cells: pl.Series, notation: Notation) -> str | None:
        """Return the format of dates in text.

        It is the format of training. A format that was requested for another file replaces it if all cells follow that.
        """
        requested = notation.date_format
        if not is_text(cells) or (self.date_format is not None and requested in (None, self.date_format)):
            return self.date_format
        present = texts_of(cells).distinct
        present = present.filter(~present.is_in([*notation.marks, *self.absent]))
        found = date_formats.format_of(present, notation.day_first, requested)
        if self.date_format is not None:
            return requested if found and found.format == requested else self.date_format
        if found and found.other:  # ambiguous, and dates were not text in training, so that no format is known
            raise InputError(
                f"column '{self.name}' holds {present[0]!r}, which may be {found.format} or {found.other}: write dates "
                "as 2024-12-31, or say which with data.date_format"
            )
        return found.format if found else None

    @property
    def reads_text(self) -> bool:
        """True if dates were text in training, because 2014.10 differs from 2014.1."""
        return self.date_format is not None

    def fit(self, parsed: Numbers, rows: np.ndarray) -> None:
        """Fit the parts, and drop those that tell nothing, or nothing new, about the training rows."""
        rows = sampled(rows)
        parts = _parts_of(parsed.at(rows))
        all_sampled = np.arange(len(rows))
        useless = {part for part in parts if _range(parts[part]) == 0}
        useless |= {part for circle in _needless_circles(parts, "time" in self.parts) for part in CIRCLES[circle]}
        self.parts = {part: column for part, column in self.parts.items() if part not in useless}
        for part, column in self.parts.items():
            column.fit(parts[part], all_sampled)
        for column in [column for column in self.parts.values() if isinstance(column, NumericColumn)][1:]:
            column.is_marked = False  # one array is enough to mark missing dates

    def encode(self, parsed: Numbers) -> Encoded:
        """Return the arrays of all parts."""
        chunks = [slice(i, i + DATES_AT_ONCE) for i in range(0, max(len(parsed.values), 1), DATES_AT_ONCE)]
        encoded = [self._encoded(parsed.at(chunk)) for chunk in chunks]
        numeric, codes = (
            [np.concatenate(chunks) for chunks in zip(*arrays, strict=True)] for arrays in zip(*encoded, strict=True)
        )
        return Encoded(numeric, codes)

    def _encoded(self, dates: Numbers) -> Encoded:
        parts = _parts_of(dates)
        encoded = [column.encode(parts[part]) for part, column in self.parts.items()]
        return Encoded([a for one in encoded for a in one.numeric], [a for one in encoded for a in one.codes])

    @property
    def numeric_names(self) -> list[str]:
        """The names of the numeric parts."""
        return [name for column in self.parts.values() for name in column.numeric_names]

    @property
    def cardinalities(self) -> dict[str, int]:
        """The names of the parts that are codes, each with its number of codes."""
        return {name: size for column in self.parts.values() for name, size in column.cardinalities.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""
        parts = {part: column.state_dict() for part, column in self.parts.items()}
        return {"date_format": self.date_format, "absent": self.absent, "parts": parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.date_format, self.absent, parts = checked_values(
            state, {"date_format": str | None, "absent": list[str], "parts": dict[str, dict]}
        )
        if self.date_format is not None:
            date_formats.check(self.date_format)
        self.parts = {part: self.parts[part] for part in parts}
        for part, column in self.parts.items():
            column.load_state_dict(parts[part])

    def describe(self) -> str:
        """Return the kind, the format and the parts, for people."""
        date_format = f", written like {self.date_format}" if self.date_format else ""
        treatments = {
            "numbers": [part for part in NUMBERS if part in self.parts],
            "levels": [part for part in LEVELS if part in self.parts],
            "circles": [circle for circle, both in CIRCLES.items() if any(part in self.parts for part in both)],
        }
        listed = [f"{treatment} ({', '.join(parts)})" for treatment, parts in treatments.items() if parts]
        return f"{self.kind}{date_format}, as {', '.join(listed) or 'nothing, for it does not vary'}"


def _parts_of(dates: Numbers) -> dict[str, Numbers | Levels]:
    microseconds, is_missing = dates.values, dates.is_missing
    days = microseconds // DAY
    # The parts of a day are looked up in a calendar that holds each day once. It is small: years go from 1 to 9999.
    first, last = (int(days.min()), int(days.max())) if len(days) else (0, 0)
    calendar = pl.int_range(first, last + 1, dtype=pl.Int32, eager=True).cast(pl.Date).dt
    index = days - first  # of each row's day in the calendar

    def numbers(values: np.ndarray) -> Numbers:
        return Numbers(values, is_missing)

    def levels(of_day: pl.Series, highest: int) -> Levels:
        codes = of_day.cast(pl.Int32).to_numpy().take(index)
        if is_missing is not None:
            codes[is_missing] = -1
        return Levels([str(i) for i in range(highest + 1)], codes)

    hour = (microseconds - days * DAY) / HOUR
    year = (calendar.ordinal_day().to_numpy() - 1) / (365 + calendar.is_leap_year().to_numpy())  # the fraction passed
    hour_sine, hour_cosine = _on_circle(hour / 24)
    year_sine, year_cosine = _on_circle(year.take(index))
    return {
        "time": numbers(microseconds / DAY),
        "day": numbers(calendar.day().cast(pl.Float64).to_numpy().take(index)),
        "hour": numbers(hour),
        "hour sine": numbers(hour_sine),
        "hour cosine": numbers(hour_cosine),
        "year sine": numbers(year_sine),
        "year cosine": numbers(year_cosine),
        "month": levels(calendar.month(), 12),
        "weekday": levels(calendar.weekday(), 7),
    }


def _on_circle(turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sine and cosine of angles, given in turns of the circle."""
    # The sine of half a turn is 0, but would be 1.2e-16 without rounding, so that it would differ from the sine of 0.
    return np.sin(2 * np.pi * turns).round(9), np.cos(2 * np.pi * turns).round(9)


def _needless_circles(parts: dict[str, Any], has_trend: bool) -> list[str]:
    """Return the circles that tell nothing new about these rows, or only the time elapsed."""
    days = _range(parts["time"])
    is_needless = {
        "hour": _range(parts["hour"]) < 12,
        "year": days < (183 if has_trend else 366) or _range(parts["month"]) == 0,
    }
    return [circle for circle in CIRCLES if is_needless[circle]]


def _range(parsed: Numbers | Levels) -> float:
    values = parsed.present(slice(None)) if isinstance(parsed, Numbers) else parsed.codes[parsed.codes >= 0]
    return float(values.max() - values.min()) if len(values) else 0.0
