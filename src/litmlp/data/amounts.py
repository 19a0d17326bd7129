"""Parses numbers as people write them: with thousands separators, currencies, units, magnitudes and several signs."""

from typing import NamedTuple

import polars as pl

DECIMALS = (".", ",")
GROUPS = "'\u2019 \u00a0\u202f\u2009_"  # thousands separators other than the dot and the comma
MINUS = "-\u2212\u2013"  # a hyphen, a minus, a dash
CURRENCIES = r"[$€£¥₹₽₩₺₪฿]|R\$|US\$|A\$|C\$|HK\$|kr\.?|Fr\.?|Rs\.?|CHF|EUR|USD|GBP|JPY|CNY|INR|SEK|NOK|DKK|PLN"
UNITS = r"[%‰°$€£¥₹]|[A-Za-zµμΩ°][A-Za-zµμΩ°²³/%.]{0,11}"
MAGNITUDES = {
    **dict.fromkeys(["k", "K", "thousand", "Tsd.", "Tsd"], 1e3),
    **dict.fromkeys(["lakh", "lakhs", "Lakh", "Lakhs"], 1e5),
    **dict.fromkeys(["M", "mn", "mln", "Mio.", "Mio", "million", "millions", "Million", "Millionen"], 1e6),
    **dict.fromkeys(["crore", "crores", "Crore", "Crores"], 1e7),
    **dict.fromkeys(["B", "bn", "bln", "Mrd.", "Mrd", "billion", "billions", "Billion", "Milliarden"], 1e9),
    **dict.fromkeys(["trillion", "trillions"], 1e12),
}
MONEY_MAGNITUDES = {"m": 1e6, "b": 1e9, "T": 1e12, "tn": 1e12}  # only after a currency; elsewhere m means metres
PARTS = (  # names and patterns of the parts of a number, in their order
    ("open", r"\("),
    ("sign", rf"[+\{MINUS}]"),
    ("prefix", CURRENCIES),
    ("second", rf"[+\{MINUS}]"),
    ("body", rf"\d[\d.,{GROUPS}]*\d|\d[.,]?|[.,]\d+"),
    ("exponent", r"[eE][-+]?\d+"),
    ("suffix", UNITS),
    ("third", rf"[\{MINUS}]"),
    ("close", r"\)"),
)
_SEPARATED = ("sign", "prefix", "second", "body", "suffix", "third", "close")  # blanks may stand before these
PATTERN = (
    "^"
    + "".join(
        (r"\s*" if name in _SEPARATED else "") + f"(?P<{name}>{part})" + ("" if name == "body" else "?")
        for name, part in PARTS
    )
    + "$"
)


class Unit(NamedTuple):
    """The prefix and the suffix of the numbers of a column. They are the same in all cells, or absent in some.

    All suffixes that multiply, such as K or M, count as the same one, MAGNITUDE_SUFFIX.
    """

    prefix: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        """Return the unit for a message."""
        return " and ".join(filter(None, self))


MAGNITUDE_SUFFIX = "K/M/B"  # stands for all suffixes that multiply


def parts_of(texts: pl.Series) -> pl.DataFrame:
    """Return a column for each of PARTS; it is null where a text lacks the part or is not a number."""
    return texts.str.strip_chars().str.extract_groups(PATTERN).struct.unnest()


def is_written_with(body: pl.Series, decimal: str, thousands: str | None = None) -> pl.Series:
    """Return which texts are well-formed numbers if `decimal` is the decimal mark, as `[N] bool`.

    Args:
        body: digits with marks, as `parts_of` returns them.
        decimal: the decimal mark.
        thousands: the only thousands separator that is allowed. None allows the other of dot and comma, and GROUPS.
    """
    groups = _group_patterns(decimal, thousands)
    whole = "|".join([r"\d+", *(rf"[1-9]\d{{0,2}}({mark}\d{{3}})+" for mark in groups)])
    if r"\," in groups:
        whole += r"|[1-9]\d?(,\d{2})+,\d{3}"  # as in India
    d = rf"\{decimal}"
    return body.str.contains(rf"^(({whole})({d}\d*)?|{d}\d+)$").fill_null(False)


def read(texts: pl.Series, decimal: str, thousands: str | None = None) -> pl.DataFrame:
    """Return the number in each text as `value`, null if there is none, with its unit as `prefix` and `suffix`.

    The arguments are those of `is_written_with`.
    """
    parts = parts_of(texts)
    groups = "".join(_group_patterns(decimal, thousands))
    digits = parts["body"].str.replace_all(f"[{groups}]", "") if groups else parts["body"]
    number = digits.str.replace(decimal, ".", literal=True) + parts["exponent"].fill_null("")
    suffix = parts["suffix"].fill_null("")
    is_money = parts["prefix"].is_not_null() & suffix.is_in([*MONEY_MAGNITUDES])
    factor = suffix.replace_strict(MAGNITUDES, default=1.0, return_dtype=pl.Float64)
    factor = suffix.replace_strict(MONEY_MAGNITUDES, default=1.0, return_dtype=pl.Float64).zip_with(is_money, factor)
    # Parentheses around a number mean a minus as well; a number may have only one.
    num_signs = pl.sum_horizontal(pl.col(name).is_in([*MINUS]).fill_null(False) for name in ("sign", "second", "third"))
    is_open, is_closed = parts["open"].is_not_null(), parts["close"].is_not_null()
    minus = parts.select(num_signs).to_series() + is_open.cast(pl.Int64)
    fits = is_written_with(parts["body"], decimal, thousands) & (is_open == is_closed) & (minus <= 1)
    value = number.cast(pl.Float64, strict=False) * factor * (1 - 2 * minus.cast(pl.Float64))
    return pl.DataFrame(
        {
            "value": value.set(~fits, None),
            "prefix": parts["prefix"].fill_null(""),
            "suffix": suffix.replace(dict.fromkeys(MAGNITUDES, MAGNITUDE_SUFFIX)).set(is_money, MAGNITUDE_SUFFIX),
        }
    )


def unit_of(numbers: pl.DataFrame) -> Unit | None:
    """Return the common unit of the numbers that `read` returned; None if two units differ."""
    present = numbers.filter(pl.col("value").is_not_null())
    found = [[text for text in present[part].unique() if text] for part in Unit._fields]
    has_prefix, has_suffix = present["prefix"] != "", ~present["suffix"].is_in(["", MAGNITUDE_SUFFIX])
    # A currency may be prefix in some cells and suffix in others, but two different units may not.
    are_on_two_sides = found[0] != found[1] and (has_prefix & ~has_suffix).any() and (has_suffix & ~has_prefix).any()
    if are_on_two_sides or any(len(texts) > 1 for texts in found):
        return None
    return Unit(*(texts[0] if texts else "" for texts in found))


def has_unit(numbers: pl.DataFrame) -> pl.Series:
    """Return which of the numbers that `read` returned have a unit; a magnitude such as K is none."""
    return (numbers["prefix"] != "") | ~numbers["suffix"].is_in(["", MAGNITUDE_SUFFIX])


def doubt_of(texts: pl.Series, numbers: pl.DataFrame) -> str:
    """Return a message about what may have been misread in a column; empty if nothing is doubtful.

    Args:
        texts: the distinct texts of the column.
        numbers: what `read` returned for them.
    """
    table = numbers.with_columns(texts.alias("text")).filter(pl.col("value").is_not_null())
    with_unit = has_unit(table)
    if with_unit.any() and not with_unit.all():
        bare, with_one = table.filter(~with_unit)["text"][0], table.filter(with_unit)["text"][0]
        return f"{bare!r} is taken to be in the unit of {with_one!r}: if it is not, write all numbers in one unit"
    # A suffix B without a currency may mean bytes rather than billions.
    of_bytes = table.filter((pl.col("prefix") == "") & pl.col("text").str.contains(r"\d\s*B$"))
    if len(of_bytes):
        text, value = of_bytes["text"][0], of_bytes["value"][0]
        return f"{text!r} is taken to be {value:.10g}: if it is not, write the numbers out"
    return ""


def _group_patterns(decimal: str, thousands: str | None) -> list[str]:
    """Return patterns of the allowed thousands separators; one number may have only one of them."""
    if thousands is None:
        return [rf"\{DECIMALS[decimal == DECIMALS[0]]}", *GROUPS]
    if thousands.isspace():
        return [mark for mark in GROUPS if mark.isspace()]
    return [rf"\{thousands}"] if thousands else []
