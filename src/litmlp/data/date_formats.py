"""Infers the format of a column's dates, which is the same for all of its cells, and parses them.

A format has the codes of `strftime` and two more: `%.f` for fractions of a second, and `%q` for a quarter of a year.
Text without a day means the first day of the month or quarter. A time of day alone means that time on 1 January 1970.
The format need not include a time zone after the time; the timestamp is then converted to UTC.
"""

import re
from datetime import datetime
from typing import NamedTuple

import polars as pl

from litmlp.data import panics


def _with_separators(parts: str, separators: str, pattern: str) -> list[tuple[str, str]]:
    return [(parts.replace("|", separator), pattern.replace("|", re.escape(separator))) for separator in separators]


WORD, SHORT = r"[^\W\d_]{3,9}", r"[^\W\d_]{3}"
DAY_FIRST = [
    *_with_separators("%d|%m|%Y", ".-/ ", r"\d{1,2}|\d{1,2}|\d{4}"),
    *_with_separators("%d|%m|%y", ".-/ ", r"\d{1,2}|\d{1,2}|\d{2}"),
]
MONTH_FIRST = [
    *_with_separators("%m|%d|%Y", "/-. ", r"\d{1,2}|\d{1,2}|\d{4}"),
    *_with_separators("%m|%d|%y", "/-. ", r"\d{1,2}|\d{1,2}|\d{2}"),
]
YEAR_FIRST = _with_separators("%y|%m|%d", "-/.", r"\d{2}|\d{1,2}|\d{1,2}")
DAYS = [  # formats of a date, each with a regular expression for its texts
    *_with_separators("%Y|%m|%d", "-/. ", r"\d{4}|\d{1,2}|\d{1,2}"),
    ("%Y%m%d", r"(1[5-9]|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])"),
    *_with_separators("%Y|%b|%d", "-/ ", rf"\d{{4}}|{SHORT}|\d{{1,2}}"),
    *_with_separators("%d|%b|%Y", "- /.", rf"\d{{1,2}}|{SHORT}|\d{{4}}"),
    *_with_separators("%d|%b|%y", "- /.", rf"\d{{1,2}}|{SHORT}|\d{{2}}"),
    *_with_separators("%d|%B|%Y", "- ", rf"\d{{1,2}}|{WORD}|\d{{4}}"),
    ("%d%b%Y", rf"\d{{1,2}}{SHORT}\d{{4}}"),
    *((f"{month} %d{comma} %Y", rf"{word} \d{{1,2}}{comma} \d{{4}}")
      for month, word in (("%b", SHORT), ("%B", WORD)) for comma in (",", "")),
    ("%d. %B %Y", rf"\d{{1,2}}\. {WORD} \d{{4}}"),
]  # fmt: skip
WEEKDAYS = [
    ("", ""),
    *((f"{day}{comma} ", f"{word}{comma} ") for day, word in (("%a", SHORT), ("%A", WORD)) for comma in ("", ",")),
]
CLOCKS = [
    ("%H:%M:%S", r"\d{1,2}:\d{2}:\d{2}"),
    ("%H:%M", r"\d{1,2}:\d{2}"),
    ("%H:%M:%S%.f", r"\d{1,2}:\d{2}:\d{2}[.]\d+"),
    ("%I:%M:%S %p", r"\d{1,2}:\d{2}:\d{2} [AaPp][Mm]"),
    ("%I:%M:%S%p", r"\d{1,2}:\d{2}:\d{2}[AaPp][Mm]"),
    ("%I:%M %p", r"\d{1,2}:\d{2} [AaPp][Mm]"),
    ("%I:%M%p", r"\d{1,2}:\d{2}[AaPp][Mm]"),
]
TIMES = [("", ""), *CLOCKS, ("%H", r"\d{1,2}"), ("%H%M%S", r"\d{6}"), ("%H%M", r"\d{4}")]
SEPARATORS = ("", " ", "T", ", ")  # between a date and a time
MONTHS = [
    *_with_separators("%Y|%m", "-/.", r"\d{4}|\d{1,2}"),
    *_with_separators("%m|%Y", "/-", r"\d{1,2}|\d{4}"),
    *_with_separators("%b|%Y", "- ", rf"{SHORT}|\d{{4}}"),
    *_with_separators("%B|%Y", "- ", rf"{WORD}|\d{{4}}"),
    *_with_separators("%b|%y", "- ", rf"{SHORT}|\d{{2}}"),
    *_with_separators("%Y|%b", "- ", rf"\d{{4}}|{SHORT}"),
    ("%YM%m", r"\d{4}M\d{2}"),
]
QUARTERS = [(f"%Y{separator}Q%q", rf"\d{{4}}{separator}Q[1-4]") for separator in ("", "-", " ")]
QUARTERS += [(f"Q%q{separator}%Y", rf"Q[1-4]{separator}\d{{4}}") for separator in (" ", "-", "/")]
SEASON, SEASONAL = r"^(\d{4})[-/](\d{2})$", ("%Y/%m", "%Y-%m")  # 2010/11 may be a season rather than a month
ZONE = r" ?(UTC|GMT|Z|[+-]\d{2}(?::?\d{2})?)"
ZONED = rf"(:\d{{2}}(?:[.]\d+)?(?: ?[AaPp][Mm])?){ZONE}$"
FIRST_DATE = datetime(1000, 1, 1)  # earlier dates are null, so that %Y does not read 01/02/20 as a day of the year 20
SAMPLE_SIZE = 200  # distinct texts that rule out most formats
MAX_TEXTS_TRIED = 20  # texts whose formats are tried if not all texts of a column are dates
MAX_FORMAT_LENGTH = 60  # characters
MICROSECONDS_PER_MINUTE = 60_000_000


class DateFormat(NamedTuple):
    """The format of a column's dates.

    Attributes:
        format: the format that all texts follow.
        other: the format with day and month, or day and year, swapped, if all texts follow it as well; else None.
    """

    format: str
    other: str | None = None


def formats(text: str, day_first: bool | None = None) -> list[str]:
    """Return the formats that a text may follow, the most common first.

    Args:
        text: a date without surrounding blanks and without a time zone.
        day_first: whether the day precedes the month if both are numbers. If it is not known (None), the day is assumed
            to come first with dots and hyphens, as in 05.06.2014, and second with a slash, as in 06/05/2014.
    """
    order = [*DAY_FIRST, *MONTH_FIRST] if day_first else [*MONTH_FIRST, *DAY_FIRST]
    if day_first is None:
        order = sorted(order, key=lambda part: ("/" in part[0]) == (part in DAY_FIRST))
    found = []
    for weekday, before in _matching(WEEKDAYS, text):
        for day, date in _matching([*DAYS, *order, *YEAR_FIRST], text[len(before) :]):
            rest = text[len(before) + len(date) :]
            for separator in (one for one in SEPARATORS if rest.startswith(one) and (one or not rest)):
                clock = rest[len(separator) :]
                found += [
                    f"{weekday}{day}{separator}{time}" for time, all_of in _matching(TIMES, clock) if all_of == clock
                ]
    return [*found, *(form for form, all_of in _matching([*MONTHS, *QUARTERS, *CLOCKS], text) if all_of == text)]


def read(texts: pl.Series, date_format: str) -> pl.Series:
    """Return the timestamp in each text, in microseconds of UTC, null where the text does not follow the format.

    Raises:
        PolarsError: the format is invalid.
    """
    # Polars' parser cannot read all of these formats, so both the text and the format are rewritten until it can.
    text = texts.str.strip_chars()
    shift: pl.Series | int = 0
    if "%z" not in date_format and "%#z" not in date_format and text.str.contains(ZONED).any():
        zone = text.str.extract(ZONED, 2)
        hours, minutes = (zone.str.extract(r"^[+-](\d{2}):?(\d{2})?$", group).cast(pl.Int64) for group in (1, 2))
        sign = zone.str.starts_with("-").fill_null(False).cast(pl.Int64) * -2 + 1
        shift = sign * (hours.fill_null(0) * 60 + minutes.fill_null(0)) * MICROSECONDS_PER_MINUTE
        text = text.str.replace(ZONED, "${1}")
    if "%q" in date_format:
        month = text.str.extract(r"Q([1-4])").cast(pl.Int64) * 3 - 2
        is_whole = (
            text.str.contains(f"^{dict(QUARTERS)[date_format]}$") if date_format in dict(QUARTERS) else month.is_null()
        )
        text = (text.str.extract(r"(\d{4})") + "-" + month.cast(pl.String)).set(~is_whole.fill_null(False), None)
        date_format = "%Y-%m"
    # Polars needs a year and a day: a time alone gets a date, and a date without a day gets the first day.
    if not re.search("%Y|%y|%s|%c|%D|%F|%x|%v|%G|%C|%#?z|%[+]", date_format):
        text, date_format = "1970-01-01 " + text, f"%Y-%m-%d {date_format}"
    elif not re.search("%d|%e|%j|%s|%c|%D|%F|%x|%v|%u|%w|%[+]", date_format):
        text, date_format = "01 " + text, f"%d {date_format}"
    if date_format.endswith("%H"):
        text, date_format = text + ":00", f"{date_format}:%M"
    if "%p" in date_format:  # some programs write 22:00:00 PM; then the hour counts and AM or PM is dropped
        is_late = text.str.contains(r"\b(1[3-9]|2[0-3]):\d{2}(:\d{2})? ?[Pp][Mm]$").fill_null(False)
        if is_late.any():
            text = text.str.replace(r" ?[AaPp][Mm]$", "")
            date_format = re.sub(" ?%p", "", date_format.replace("%I", "%H"))
    dates = text.str.to_datetime(date_format, strict=False, time_unit="us", ambiguous="null")
    dates = dates.dt.replace_time_zone(None) if dates.dtype.time_zone else dates  # type: ignore[attr-defined]
    dates = dates.set((dates < FIRST_DATE).fill_null(False), None)
    return (dates.cast(pl.Int64) - shift).cast(pl.Datetime("us"))


def check(date_format: str) -> None:
    """Raise ValueError if a text is not a valid date format."""
    try:
        with panics.as_errors():
            read(pl.Series(["1"]), date_format)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{date_format[:MAX_FORMAT_LENGTH]!r} is no format of dates, such as %d.%m.%Y") from error
    if len(date_format) > MAX_FORMAT_LENGTH or "%" not in date_format:
        raise ValueError(f"{date_format[:MAX_FORMAT_LENGTH]!r} is no format of dates, such as %d.%m.%Y")


def format_of(texts: pl.Series, day_first: bool | None = None, preferred: str | None = None) -> DateFormat | None:
    """Return the format that all texts follow; None if there is none.

    Args:
        texts: distinct texts without nulls.
        day_first: as for `formats`.
        preferred: a format that is tried before all others.
    """
    if len(texts) == 0:
        return None
    sample = texts.head(SAMPLE_SIZE).str.strip_chars()
    # The formats of one text suffice, since all texts have to follow the same one.
    candidates = dict.fromkeys([*([preferred] if preferred else []), *formats(_without_zones(sample)[0], day_first)])
    first = None
    for date_format in candidates:
        if (
            read(sample, date_format).null_count()
            or read(texts, date_format).null_count()
            or _holds_seasons(texts, date_format)
        ):
            continue
        if first is None:
            first = date_format
        elif date_format in (_swapped(first), _swapped(first, "%y")):
            if day_first is not None or first == preferred or "." in date_format:  # with dots, the day comes first
                return DateFormat(first)
            is_year_first = date_format != _swapped(first) and _ends_with_days(texts)
            return DateFormat(date_format, first) if is_year_first else DateFormat(first, date_format)
    return DateFormat(first) if first else None


def nearest(texts: pl.Series, day_first: bool | None = None, preferred: str | None = None) -> str | None:
    """Return the format that most texts of a sample follow; None if no text follows any format."""
    sample = texts.head(SAMPLE_SIZE).str.strip_chars()
    candidates = [preferred] if preferred else []
    for text in _without_zones(sample).head(MAX_TEXTS_TRIED):
        candidates += formats(text, day_first)
    counts = {
        date_format: read(sample, date_format).count()
        for date_format in dict.fromkeys(candidates)
        if not _holds_seasons(texts, date_format)
    }
    best = max(counts, key=lambda date_format: counts[date_format], default=None)
    return best if best is not None and counts[best] else None


def _swapped(date_format: str, other: str = "%m") -> str:
    """Return a format in which the day and another part, the month by default, are swapped."""
    return date_format.replace("%d", "%0").replace(other, "%d").replace("%0", other)


def _ends_with_days(texts: pl.Series) -> bool:
    """Tell whether the third number of dates has more distinct values than the first, as days have more than years."""
    first, third = (texts.str.extract(r"(\d+)\D+\d+\D+(\d+)", group).n_unique() for group in (1, 2))
    return third > first


def _holds_seasons(texts: pl.Series, date_format: str) -> bool:
    """Tell whether all texts are pairs of successive years, such as 2010/11, which look like a year and a month."""
    if date_format not in SEASONAL or len(texts) < 2:
        return False
    first, second = (texts.str.extract(SEASON, group).cast(pl.Int64) for group in (1, 2))
    return bool(((first + 1) % 100 == second).fill_null(False).all())


def _without_zones(texts: pl.Series) -> pl.Series:
    return texts.str.replace(ZONED, "${1}")


def _matching(parts: list[tuple[str, str]], text: str) -> list[tuple[str, str]]:
    """Return the formats whose pattern matches the start of a text, each with the text that it matches."""
    return [(part, match.group()) for part, pattern in parts if (match := re.match(pattern, text))]
