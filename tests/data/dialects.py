"""Random tables of known values, written in random dialects."""

import bz2
import csv
import gzip
import io
import lzma
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from litmlp.data import NumericTarget, TableData
from litmlp.data.cells import as_booleans, as_dates, as_levels, as_numbers
from litmlp.data.inputs import collected
from litmlp.data.kinds import Kind, kind_of
from litmlp.errors import InputError

WORDS = [
    *("Ash", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Linden", "Maple", "Oak", "Pine", "Rowan", "Willow"),
    *("Ålesund", "Gijón", "São", "Köln"),
]
DATES = ["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", "%d-%b-%Y", "%Y%m%dT%H%M%S", "%d %B %Y"]
MARKS = ["", "NA", "?", "null", "#N/A", "-"]
ENCODINGS = ["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"]
PACKINGS: list[Callable[[bytes], bytes]] = [bytes, bytes, gzip.compress, bz2.compress, lzma.compress]


class Written(NamedTuple):
    """A file, what it holds, and what in it nobody could tell.

    Attributes:
        content: of the file.
        columns: the values of each column by its name; None where missing.
        doubts: which columns can be read in two ways; "" if the names cannot be told from the rows.
    """

    content: bytes
    columns: dict[str, list[Any]]
    doubts: set[str]
    dialect: dict[str, Any]


class Column(NamedTuple):
    """Values, their texts, and whether the texts can be read in two ways."""

    values: list[Any]
    texts: list[str]
    is_doubtful: bool = False


def drawn(generator: random.Random) -> Written:
    """Return a random table in a random dialect."""
    decimal = generator.choice(".,")
    dialect = {
        "delimiter": generator.choice(",;\t|"),
        "decimal": decimal,
        "thousands": generator.choice(["", "", ",."[decimal == ","], " ", "'"]),
        "quotes": generator.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        "date_format": generator.choice(DATES),
        "mark": generator.choice(MARKS),
        "has_names": generator.random() < 0.85,
        "encoding": generator.choice(ENCODINGS),
        "end": generator.choice(["\n", "\n", "\r\n"]),
    }
    num_rows = generator.randint(25, 120)
    makers = [
        generator.choice([_fractions, _fractions, _whole, _words, _dates, _truths])
        for _ in range(generator.randint(2, 6))
    ]
    columns = [make(generator, num_rows, dialect) for make in makers]
    columns.append(_fractions(generator, num_rows, dialect))
    names = [f"{generator.choice(WORDS)} {i}" if generator.random() < 0.5 else f"n{i}" for i in range(len(columns))]
    if not dialect["has_names"]:
        names = [f"column_{i + 1}" for i in range(len(columns))]
    file = io.StringIO()
    writer = csv.writer(file, delimiter=dialect["delimiter"], quoting=dialect["quotes"], lineterminator=dialect["end"])
    if dialect["has_names"]:
        writer.writerow(names)
    writer.writerows(zip(*(column.texts for column in columns), strict=True))
    text = file.getvalue()
    by_name = dict(zip(names, columns, strict=True))
    doubts = {name for name, column in by_name.items() if column.is_doubtful}
    packed = generator.choice(PACKINGS)(text.encode(dialect["encoding"]))
    return Written(packed, {name: column.values for name, column in by_name.items()}, doubts, dialect)


def read(path: Path) -> tuple[dict[str, list[Any]], TableData, dict[str, Kind]]:
    """Return what each column of a file is taken for: numbers, moments, truth values or texts."""
    names = TableData(str(path), "?", NumericTarget).read().collect_schema().names()
    data = TableData(str(path), names[-1], NumericTarget)
    frame = data.read()
    cells = collected(frame, names)
    kinds = {name: kind_of(cells[name], data.notation) for name in names}
    return {name: _values(cells[name], kinds[name], data) for name in names}, data, kinds


def _is_alike(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= 1e-9 * max(1.0, abs(second))
    return first == second


def outcome(generator: random.Random, path: Path) -> str:
    """Read back the table that is drawn: right; refused; or doubtful, where it says so."""
    given = drawn(generator)
    path.write_bytes(given.content)
    try:
        values, data, kinds = read(path)
    except InputError:
        if not given.doubts:
            raise
        return "refused"
    assert list(values) == list(given.columns), (given.dialect, data.assumptions)
    wrong = [
        name
        for name, expected in given.columns.items()
        if len(values[name]) != len(expected) or not all(map(_is_alike, values[name], expected))
    ]
    for name in wrong:
        assert name in given.doubts, (name, kinds[name], given.dialect, data.assumptions)
        assert data.assumptions or kinds[name].reason, (name, kinds[name], given.dialect, "in silence")
    return "doubtful" if wrong else "right"


def _values(cells: pl.Series, kind: Kind, data: TableData) -> list[Any]:
    if kind.name == "numeric":
        numbers = as_numbers(cells, data.notation, absent=kind.absent)
    elif kind.name == "boolean":
        numbers = as_booleans(cells, data.notation)
    elif kind.name == "date":
        return as_dates(cells, data.notation, kind.date_format, absent=kind.absent).to_list()
    else:
        levels = as_levels(cells, data.notation)
        return [levels.names[code] if code >= 0 else None for code in levels.codes]
    gone = numbers.is_missing if numbers.is_missing is not None else [False] * len(numbers.values)
    return [None if is_gone else value for value, is_gone in zip(numbers.values.tolist(), gone, strict=True)]


def _with_gaps(
    generator: random.Random, values: list[Any], texts: list[str], dialect: dict[str, Any]
) -> tuple[list[Any], list[str]]:
    share = generator.choice([0.0, 0.0, 0.1, 0.3])
    gaps = [generator.random() < share for _ in values]
    return (
        [None if gap else value for value, gap in zip(values, gaps, strict=True)],
        [dialect["mark"] if gap else text for text, gap in zip(texts, gaps, strict=True)],
    )


def _number(value: float, digits: int, dialect: dict[str, Any]) -> str:
    plain = f"{value:,.{digits}f}".replace(",", "_").replace(".", dialect["decimal"])
    return plain.replace("_", dialect["thousands"])


def _fractions(generator: random.Random, num_rows: int, dialect: dict[str, Any]) -> Column:
    digits, size = generator.randint(1, 4), 10 ** generator.randint(0, 6)
    values = [round(generator.uniform(-size, size), digits) for _ in range(num_rows)]
    texts = [_number(value, digits, dialect) for value in values]
    values, texts = _with_gaps(generator, values, texts, dialect)
    is_doubtful = digits == 3 and all(1 <= abs(value) < 1000 for value in values if value is not None)
    return Column([None if value is None else float(value) + 0.0 for value in values], texts, is_doubtful)


def _whole(generator: random.Random, num_rows: int, dialect: dict[str, Any]) -> Column:
    size = 10 ** generator.randint(1, 7)
    values = [generator.randint(-size, size) for _ in range(num_rows)]
    texts = [_number(value, 0, dialect) for value in values]
    values, texts = _with_gaps(generator, values, texts, dialect)
    is_doubtful = bool(dialect["thousands"]) and dialect["thousands"] in ".," and size >= 1000
    return Column([None if value is None else float(value) for value in values], texts, is_doubtful)


def _words(generator: random.Random, num_rows: int, dialect: dict[str, Any]) -> Column:
    some = generator.sample(WORDS, generator.randint(3, 8))
    some += generator.choice(
        [[], [f"{some[0]}{dialect['delimiter']}{some[1]}"], [f'the "{some[0]}"'], [f"{some[0]}\n{some[1]}"]]
    )
    values: list[Any] = [generator.choice(some) for _ in range(num_rows)]
    texts = list(values)
    if dialect["mark"] not in ("?", "-"):
        values, texts = _with_gaps(generator, values, texts, dialect)
    return Column(values, texts)


def _dates(generator: random.Random, num_rows: int, dialect: dict[str, Any]) -> Column:
    first = datetime(generator.randint(1960, 2020), 1, 1)
    has_time = "%H" in dialect["date_format"]
    moments = [
        first + timedelta(days=generator.randint(0, 2000), seconds=generator.randint(0, 86_399) * has_time)
        for _ in range(num_rows)
    ]
    texts = [moment.strftime(dialect["date_format"]) for moment in moments]
    values, texts = _with_gaps(generator, moments, texts, dialect)
    days = [moment.day for moment in values if moment is not None]
    return Column(values, texts, "/" in dialect["date_format"] and all(day <= 12 for day in days))


def _truths(generator: random.Random, num_rows: int, dialect: dict[str, Any]) -> Column:
    words = generator.choice([("yes", "no"), ("True", "False"), ("Y", "N")])
    values = [generator.random() < 0.5 for _ in range(num_rows)]
    texts = [words[0] if value else words[1] for value in values]
    return Column([float(value) for value in values], texts)
