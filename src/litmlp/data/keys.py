"""The keys of a table that say how its text is written."""

from typing import Any

from litmlp.data import moments
from litmlp.data.amounts import DECIMALS
from litmlp.data.dialect import Asked
from litmlp.data.notation import Notation, other_mark, with_marks
from litmlp.errors import InputError, did_you_mean

ON_DAMAGE = ("refuse", "skip", "repair")
TABS = ("tab", r"\t", "\t")


def said(
    missing_values: list[str] | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    delimiter: str | None = None,
    quote: str | None = None,
    header: bool | list[str] | None = None,
    skip_rows: int | None = None,
    comment: str | None = None,
    encoding: str | None = None,
    damaged_rows: str = "refuse",
) -> tuple[Asked, Notation]:
    """Return what keys say of files and of cells; `TableData` tells what each is.

    Raises:
        InputError: a key has a value that cannot be, or contradicts another.
    """
    decimal = other_mark(thousands) if decimal is None and thousands in DECIMALS else decimal
    names = header if header is None or isinstance(header, bool) else tuple(name.strip() for name in header)
    delimiter = "\t" if delimiter in TABS else delimiter
    asked = Asked(delimiter, quote, names, skip_rows, comment, encoding, damaged_rows)  # type: ignore[arg-type]
    given = with_marks(Notation(decimal, thousands, date_format=date_format), missing_values)
    check(asked, given)
    return asked, given


def check(asked: Asked, given: Notation) -> None:
    """Raise InputError for a value that cannot be, or contradicts another."""
    if given.decimal not in (None, *DECIMALS):
        raise InputError(f"data.decimal is {given.decimal!r}: use '.' or ','")
    if given.thousands is not None and (len(given.thousands) > 1 or given.thousands.isdigit()):
        raise InputError(f"data.thousands is {given.thousands!r}: give one mark, or nothing at all")
    if given.thousands and given.thousands == (given.decimal or "."):
        raise InputError(f"data.thousands is {given.thousands!r}, as is the decimal mark: give another data.decimal")
    for key, text in (("delimiter", asked.delimiter), ("quote", asked.quote)):
        if text is not None and (len(text) > 1 or (key == "delimiter" and not text)):
            raise InputError(f"data.{key} is {text!r}: give one letter")
    if asked.damaged_rows not in ON_DAMAGE:
        raise InputError(f"data.damaged_rows is {asked.damaged_rows!r}: {did_you_mean(asked.damaged_rows, ON_DAMAGE)}")
    if asked.skip_rows is not None and asked.skip_rows < 0:
        raise InputError(f"data.skip_rows is {asked.skip_rows}: give a number from 0 up")
    if asked.encoding is not None:
        try:
            "".encode(asked.encoding)
        except (LookupError, UnicodeError):
            raise InputError(
                f"data.encoding is {asked.encoding!r}, which is no encoding that Python knows: use utf-8, or cp1252"
            ) from None
    if isinstance(asked.header, tuple) and len({*asked.header}) < len(asked.header):
        raise InputError("data.header names a column twice: give different names")
    if given.date_format is not None:
        try:
            moments.check(given.date_format)
        except ValueError as error:
            raise InputError(f"data.date_format cannot be used: {error}") from error


def joined(asked: Asked, given: Notation, keys: dict[str, Any]) -> tuple[Asked, Notation]:
    """Return what is known of files and cells, corrected by the keys of another file."""
    new, of_cells = said(**keys)
    asked = asked._replace(**{name: getattr(new, name) for name in keys if name in Asked._fields})
    more = {name: getattr(of_cells, name) for name in keys if name in Notation._fields}
    if "missing_values" in keys:
        more |= {"marks": of_cells.marks, "level_marks": of_cells.level_marks}
    check(asked, given._replace(**more))
    return asked, given._replace(**more)
