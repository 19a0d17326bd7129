"""How dates are written: one format for all cells of a column, made of parts that people combine.

A format is as `strftime` has it, with two parts more: `%.f` for fractions of a second, and `%q` for a quarter of a
year. Text without a day stands for the first one, and a time of day alone for that time on 1 January 1970. A time zone
behind the time need not be part of the format: the moment is then in UTC.
"""

import re
from datetime import datetime
from typing import NamedTuple

import polars as pl

from litmlp.data import panics


def _with_marks(parts: str, marks: str, pattern: str) -> list[tuple[str, str]]:
    return [(parts.replace("|", mark), pattern.replace("|", re.escape(mark))) for mark in marks]


WORD, SHORT = r"[^\W\d_]{3,9}", r"[^\W\d_]{3}"
DAY_FIRST = [
    *_with_marks("%d|%m|%Y", ".-/ ", r"\d{1,2}|\d{1,2}|\d{4}"),
    *_with_marks("%d|%m|%y", ".-/ ", r"\d{1,2}|\d{1,2}|\d{2}"),
]
MONTH_FIRST = [
    *_with_marks("%m|%d|%Y", "/-. ", r"\d{1,2}|\d{1,2}|\d{4}"),
    *_with_marks("%m|%d|%y", "/-. ", r"\d{1,2}|\d{1,2}|\d{2}"),
]
YEAR_FIRST = _with_marks("%y|%m|%d", "-/.", r"\d{2}|\d{1,2}|\d{1,2}")
DAYS = [  # the parts of a date, and a pattern that its texts match
    *_with_marks("%Y|%m|%d", "-/. ", r"\d{4}|\d{1,2}|\d{1,2}"),
    ("%Y%m%d", r"(1[5-9]|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])"),
    *_with_marks("%Y|%b|%d", "-/ ", rf"\d{{4}}|{SHORT}|\d{{1,2}}"),
    *_with_marks("%d|%b|%Y", "- /.", rf"\d{{1,2}}|{SHORT}|\d{{4}}"),
    *_with_marks("%d|%b|%y", "- /.", rf"\d{{1,2}}|{SHORT}|\d{{2}}"),
    *_with_marks("%d|%B|%Y", "- ", rf"\d{{1,2}}|{WORD}|\d{{4}}"),
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
BETWEEN = ("", " ", "T", ", ")  # a date and a time
MONTHS = [
    *_with_marks("%Y|%m", "-/.", r"\d{4}|\d{1,2}"),
    *_with_marks("%m|%Y", "/-", r"\d{1,2}|\d{4}"),
    *_with_marks("%b|%Y", "- ", rf"{SHORT}|\d{{4}}"),
    *_with_marks("%B|%Y", "- ", rf"{WORD}|\d{{4}}"),
    *_with_marks("%b|%y", "- ", rf"{SHORT}|\d{{2}}"),
    *_with_marks("%Y|%b", "- ", rf"\d{{4}}|{SHORT}"),
    ("%YM%m", r"\d{4}M\d{2}"),
]
QUARTERS = [(f"%Y{mark}Q%q", rf"\d{{4}}{mark}Q[1-4]") for mark in ("", "-", " ")]
QUARTERS += [(f"Q%q{mark}%Y", rf"Q[1-4]{mark}\d{{4}}") for mark in (" ", "-", "/")]
SEASON, SEASONAL = r"^(\d{4})[-/](\d{2})$", ("%Y/%m", "%Y-%m")  # 2010/11 is two years, not a month
ZONE = r" ?(UTC|GMT|Z|[+-]\d{2}(?::?\d{2})?)"
ZONED = rf"(:\d{{2}}(?:[.]\d+)?(?: ?[AaPp][Mm])?){ZONE}$"
FIRST_DATE = datetime(1000, 1, 1)  # 01/02/20 is no day of the year 20
SOME = 200  # different texts that tell most formats apart
MAX_FORMATS = 20  # texts whose formats are tried, where some of a column are no dates
LONGEST = 60  # letters of a format
MINUTE = 60_000_000  # microseconds


class Written(NamedTuple):
    """How a column's dates are written.

    Attributes:
        format: that all of them follow.
        other: one with day and month, or day and year, the other way round, which they follow as well.
    """

    format: str
    other: str | None = None


def formats(text: str, day_first: bool | None = None) -> list[str]:
    """Return the formats that a text may follow, from the usual to the odd.

    Args:
        text: without blanks around it, and without a time zone.
        day_first: whether days stand before months where both are numbers; None where nothing tells: then before dots
            and hyphens, as in 05.06.2014, but not before a slash, as in 06/05/2014.
    """
    order = [*DAY_FIRST, *MONTH_FIRST] if day_first else [*MONTH_FIRST, *DAY_FIRST]
    if day_first is None:
        order = sorted(order, key=lambda one: ("/" in one[0]) == (one in DAY_FIRST))
    found = []
    for weekday, before in _starting(WEEKDAYS, text):
        for day, date in _starting([*DAYS, *order, *YEAR_FIRST], text[len(before) :]):
            rest = text[len(before) + len(date) :]
            for between in (one for one in BETWEEN if rest.startswith(one) and (one or not rest)):
                clock = rest[len(between) :]
                found += [
                    f"{weekday}{day}{between}{time}" for time, all_of in _starting(TIMES, clock) if all_of == clock
                ]
    return [*found, *(form for form, all_of in _starting([*MONTHS, *QUARTERS, *CLOCKS], text) if all_of == text)]


def read(texts: pl.Series, written: str) -> pl.Series:
    """Return the moment in each text, in microseconds of UTC, null where it has another form.

    Raises:
        PolarsError: there is no such format.
    """
    text = texts.str.strip_chars()
    shift: pl.Series | int = 0
    if "%z" not in written and "%#z" not in written and text.str.contains(ZONED).any():
        zone = text.str.extract(ZONED, 2)
        hours, minutes = (zone.str.extract(r"^[+-](\d{2}):?(\d{2})?$", group).cast(pl.Int64) for group in (1, 2))
        sign = zone.str.starts_with("-").fill_null(False).cast(pl.Int64) * -2 + 1
        shift = sign * (hours.fill_null(0) * 60 + minutes.fill_null(0)) * MINUTE
        text = text.str.replace(ZONED, "${1}")
    if "%q" in written:
        month = text.str.extract(r"Q([1-4])").cast(pl.Int64) * 3 - 2
        is_whole = text.str.contains(f"^{dict(QUARTERS)[written]}$") if written in dict(QUARTERS) else month.is_null()
        text = (text.str.extract(r"(\d{4})") + "-" + month.cast(pl.String)).set(~is_whole.fill_null(False), None)
        written = "%Y-%m"
    if not re.search("%Y|%y|%s|%c|%D|%F|%x|%v|%G|%C|%#?z|%[+]", written):
        text, written = "1970-01-01 " + text, f"%Y-%m-%d {written}"
    elif not re.search("%d|%e|%j|%s|%c|%D|%F|%x|%v|%u|%w|%[+]", written):
        text, written = "01 " + text, f"%d {written}"
    if written.endswith("%H"):
        text, written = text + ":00", f"{written}:%M"
    if "%p" in written:  # 22:00:00 PM
        is_late = text.str.contains(r"\b(1[3-9]|2[0-3]):\d{2}(:\d{2})? ?[Pp][Mm]$").fill_null(False)
        if is_late.any():
            text = text.str.replace(r" ?[AaPp][Mm]$", "")
            written = re.sub(" ?%p", "", written.replace("%I", "%H"))
    dates = text.str.to_datetime(written, strict=False, time_unit="us", ambiguous="null")
    dates = dates.dt.replace_time_zone(None) if dates.dtype.time_zone else dates  # type: ignore[attr-defined]
    dates = dates.set((dates < FIRST_DATE).fill_null(False), None)
    return (dates.cast(pl.Int64) - shift).cast(pl.Datetime("us"))


def check(written: str) -> None:
    """Raise ValueError for what is no format."""
    try:
        with panics.as_errors():
            read(pl.Series(["1"]), written)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{written[:LONGEST]!r} is no format of dates, such as %d.%m.%Y") from error
    if len(written) > LONGEST or "%" not in written:
        raise ValueError(f"{written[:LONGEST]!r} is no format of dates, such as %d.%m.%Y")


def written_in(texts: pl.Series, day_first: bool | None = None, asked: str | None = None) -> Written | None:
    """Return the format that all texts follow; None if there is none.

    Args:
        texts: different ones, none of them null.
        day_first: as for `formats`.
        asked: a format that comes before all others.
    """
    if len(texts) == 0:
        return None
    some = texts.head(SOME).str.strip_chars()
    tried = dict.fromkeys([*([asked] if asked else []), *formats(_zoneless(some)[0], day_first)])
    first = None
    for written in tried:
        if read(some, written).null_count() or read(texts, written).null_count() or _is_of_seasons(texts, written):
            continue
        if first is None:
            first = written
        elif written in (swapped(first), swapped(first, "%y")):
            if day_first is not None or first == asked or "." in written:  # dots are used with days first
                return Written(first)
            is_year_first = written != swapped(first) and _ends_with_days(texts)
            return Written(written, first) if is_year_first else Written(first, written)
    return Written(first) if first else None


def nearest(texts: pl.Series, day_first: bool | None = None, asked: str | None = None) -> str | None:
    """Return the format that most texts follow, though not all; None if none follows any."""
    some = texts.head(SOME).str.strip_chars()
    tried = [asked] if asked else []
    for text in _zoneless(some).head(MAX_FORMATS):
        tried += formats(text, day_first)
    counts = {
        written: read(some, written).count() for written in dict.fromkeys(tried) if not _is_of_seasons(texts, written)
    }
    best = max(counts, key=lambda written: counts[written], default=None)
    return best if best is not None and counts[best] else None


def swapped(written: str, other: str = "%m") -> str:
    """Return a format with day and month, or year, the other way round."""
    return written.replace("%d", "%0").replace(other, "%d").replace("%0", other)


def _ends_with_days(texts: pl.Series) -> bool:
    """Tell whether the third number of dates varies more than the first, as days do more than years."""
    first, third = (texts.str.extract(r"(\d+)\D+\d+\D+(\d+)", group).n_unique() for group in (1, 2))
    return third > first


def _is_of_seasons(texts: pl.Series, written: str) -> bool:
    if written not in SEASONAL or len(texts) < 2:
        return False
    first, second = (texts.str.extract(SEASON, group).cast(pl.Int64) for group in (1, 2))
    return bool(((first + 1) % 100 == second).fill_null(False).all())


def _zoneless(texts: pl.Series) -> pl.Series:
    return texts.str.replace(ZONED, "${1}")


def _starting(parts: list[tuple[str, str]], text: str) -> list[tuple[str, str]]:
    """Return the parts that a text may begin with, each with what of the text it takes."""
    return [(part, match.group()) for part, pattern in parts if (match := re.match(pattern, text))]
