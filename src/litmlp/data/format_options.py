"""Parses the config keys of a table that give the format of its text."""

from typing import Any

from litmlp.data import date_formats
from litmlp.data.amounts import DECIMALS
from litmlp.data.dialect import FormatOptions
from litmlp.data.notation import Notation, other_mark, with_marks
from litmlp.errors import InputError, did_you_mean

ON_DAMAGE = ("refuse", "skip", "repair")
TABS = ("tab", r"\t", "\t")


def parsed(
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
) -> tuple[FormatOptions, Notation]:
    """Return the given format of files and of cells; `TableData` describes each key.

    Raises:
        InputError: a key has an invalid value, or contradicts another key.
    """
    # A dot or a comma between thousands leaves only the other one as decimal mark.
    decimal = other_mark(thousands) if decimal is None and thousands in DECIMALS else decimal
    names = header if header is None or isinstance(header, bool) else tuple(name.strip() for name in header)
    delimiter = "\t" if delimiter in TABS else delimiter
    options = FormatOptions(delimiter, quote, names, skip_rows, comment, encoding, damaged_rows)  # type: ignore[arg-type]
    given = with_marks(Notation(decimal, thousands, date_format=date_format), missing_values)
    check(options, given)
    return options, given


def check(options: FormatOptions, given: Notation) -> None:
    """Raise InputError if a value is invalid or contradicts another."""
    if given.decimal not in (None, *DECIMALS):
        raise InputError(f"data.decimal is {given.decimal!r}: use '.' or ','")
    if given.thousands is not None and (len(given.thousands) > 1 or given.thousands.isdigit()):
        raise InputError(f"data.thousands is {given.thousands!r}: give one mark, or nothing at all")
    if given.thousands and given.thousands == (given.decimal or "."):
        raise InputError(f"data.thousands is {given.thousands!r}, as is the decimal mark: give another data.decimal")
    for key, text in (("delimiter", options.delimiter), ("quote", options.quote)):
        if text is not None and (len(text) > 1 or (key == "delimiter" and not text)):
            raise InputError(f"data.{key} is {text!r}: give one character")
    if options.damaged_rows not in ON_DAMAGE:
        raise InputError(
            f"data.damaged_rows is {options.damaged_rows!r}: {did_you_mean(options.damaged_rows, ON_DAMAGE)}"
        )
    if options.skip_rows is not None and options.skip_rows < 0:
        raise InputError(f"data.skip_rows is {options.skip_rows}: give a number from 0 up")
    if options.encoding is not None:
        try:
            "".encode(options.encoding)
        except (LookupError, UnicodeError):
            raise InputError(
                f"data.encoding is {options.encoding!r}, which is no encoding that Python knows: use utf-8, or cp1252"
            ) from None
    if isinstance(options.header, tuple) and len({*options.header}) < len(options.header):
        raise InputError("data.header names a column twice: give different names")
    if given.date_format is not None:
        try:
            date_formats.check(given.date_format)
        except ValueError as error:
            raise InputError(f"data.date_format cannot be used: {error}") from error


def joined(options: FormatOptions, given: Notation, keys: dict[str, Any]) -> tuple[FormatOptions, Notation]:
    """Return the known format of files and of cells, with the values of `keys` for another file in place of its own."""
    new, notation = parsed(**keys)
    options = options._replace(**{name: getattr(new, name) for name in keys if name in FormatOptions._fields})
    changes = {name: getattr(notation, name) for name in keys if name in Notation._fields}
    if "missing_values" in keys:
        changes |= {"marks": notation.marks, "level_marks": notation.level_marks}
    check(options, given._replace(**changes))
    return options, given._replace(**changes)
