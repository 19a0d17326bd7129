"""Numbers as people write them: with marks of thousands, currencies, units, magnitudes, and signs in odd places."""

from typing import NamedTuple

import polars as pl

DECIMALS = (".", ",")
GROUPS = "'\u2019 \u00a0\u202f\u2009_"  # marks of thousands beside the dot and the comma
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
OF_MONEY = {"m": 1e6, "b": 1e9, "T": 1e12, "tn": 1e12}  # behind a currency alone; elsewhere m are metres
PARTS = (  # of a text, by their names, in their order
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
    """What stands before and behind the numbers of a column: the same in all cells, or nothing in some.

    A suffix such as K or M, which multiplies, is written as all of them.
    """

    prefix: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        """Return the unit, for people."""
        return " and ".join(filter(None, self))


OF_MAGNITUDES = "K/M/B"


def parts_of(texts: pl.Series) -> pl.DataFrame:
    """Return the parts of each text, by the names in PARTS; null where it is no number."""
    return texts.str.strip_chars().str.extract_groups(PATTERN).struct.unnest()


def is_written_with(body: pl.Series, decimal: str, thousands: str | None = None) -> pl.Series:
    """Return which digits with marks make one number if `decimal` is the decimal mark, as `[N] bool`.

    Args:
        body: as `parts_of` returns.
        decimal: the decimal mark.
        thousands: the only mark that may group thousands; the other of dot and comma, and those in GROUPS, if None.
    """
    groups = _groups(decimal, thousands)
    whole = "|".join([r"\d+", *(rf"[1-9]\d{{0,2}}({mark}\d{{3}})+" for mark in groups)])
    if r"\," in groups:
        whole += r"|[1-9]\d?(,\d{2})+,\d{3}"  # as in India
    d = rf"\{decimal}"
    return body.str.contains(rf"^(({whole})({d}\d*)?|{d}\d+)$").fill_null(False)


def read(texts: pl.Series, decimal: str, thousands: str | None = None) -> pl.DataFrame:
    """Return the number in each text as `value`, null where there is none, and what stands beside it as a Unit's parts.

    Arguments are as those of `is_written_with`.
    """
    parts = parts_of(texts)
    groups = "".join(_groups(decimal, thousands))
    digits = parts["body"].str.replace_all(f"[{groups}]", "") if groups else parts["body"]
    number = digits.str.replace(decimal, ".", literal=True) + parts["exponent"].fill_null("")
    suffix = parts["suffix"].fill_null("")
    is_money = parts["prefix"].is_not_null() & suffix.is_in([*OF_MONEY])
    factor = suffix.replace_strict(MAGNITUDES, default=1.0, return_dtype=pl.Float64)
    factor = suffix.replace_strict(OF_MONEY, default=1.0, return_dtype=pl.Float64).zip_with(is_money, factor)
    num_signs = pl.sum_horizontal(pl.col(name).is_in([*MINUS]).fill_null(False) for name in ("sign", "second", "third"))
    is_open, is_closed = parts["open"].is_not_null(), parts["close"].is_not_null()
    minus = parts.select(num_signs).to_series() + is_open.cast(pl.Int64)
    fits = is_written_with(parts["body"], decimal, thousands) & (is_open == is_closed) & (minus <= 1)
    value = number.cast(pl.Float64, strict=False) * factor * (1 - 2 * minus.cast(pl.Float64))
    return pl.DataFrame(
        {
            "value": value.set(~fits, None),
            "prefix": parts["prefix"].fill_null(""),
            "suffix": suffix.replace(dict.fromkeys(MAGNITUDES, OF_MAGNITUDES)).set(is_money, OF_MAGNITUDES),
        }
    )


def unit_of(numbers: pl.DataFrame) -> Unit | None:
    """Return the unit of what `read` returned; None where two differ."""
    present = numbers.filter(pl.col("value").is_not_null())
    found = [[text for text in present[part].unique() if text] for part in Unit._fields]
    is_before, is_behind = present["prefix"] != "", ~present["suffix"].is_in(["", OF_MAGNITUDES])
    on_two_sides = found[0] != found[1] and (is_before & ~is_behind).any() and (is_behind & ~is_before).any()
    if on_two_sides or any(len(texts) > 1 for texts in found):
        return None
    return Unit(*(texts[0] if texts else "" for texts in found))


def has_unit(numbers: pl.DataFrame) -> pl.Series:
    """Return which of the numbers that `read` returned have something beside them that says what they measure."""
    return (numbers["prefix"] != "") | ~numbers["suffix"].is_in(["", OF_MAGNITUDES])


def doubt_of(texts: pl.Series, numbers: pl.DataFrame) -> str:
    """Return, for people, what may be wrong with numbers that are taken for one column's; empty if nothing is.

    Args:
        texts: as they are written.
        numbers: what `read` returned for them.
    """
    table = numbers.with_columns(texts.alias("text")).filter(pl.col("value").is_not_null())
    with_unit = has_unit(table)
    if with_unit.any() and not with_unit.all():
        bare, other = table.filter(~with_unit)["text"][0], table.filter(with_unit)["text"][0]
        return f"{bare!r} is taken to be in the unit of {other!r}: if it is not, write all numbers in one unit"
    of_bytes = table.filter((pl.col("prefix") == "") & pl.col("text").str.contains(r"\d\s*B$"))
    if len(of_bytes):
        text, value = of_bytes["text"][0], of_bytes["value"][0]
        return f"{text!r} is taken to be {value:.10g}: if it is not, write the numbers out"
    return ""


def _groups(decimal: str, thousands: str | None) -> list[str]:
    """Return patterns of the marks that may group thousands, of which a number has one alone."""
    if thousands is None:
        return [rf"\{DECIMALS[decimal == DECIMALS[0]]}", *GROUPS]
    if thousands.isspace():
        return [mark for mark in GROUPS if mark.isspace()]
    return [rf"\{thousands}"] if thousands else []
