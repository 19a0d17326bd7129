"""Tables in text files, as people have them: one reading of a file, and what was assumed is said.

Polars parses what is whole, as fast as ever. A count of delimiters proves that it found all cells; where it does not
come out, or Polars refuses, lines are read one by one, and damage is refused, left out or repaired.
"""

import csv
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from polars.selectors import by_name, string

from litmlp.data.cells import shortened
from litmlp.data.dialect import NOTHING, Asked, Dialect, Found, sniff
from litmlp.data.notation import CODE
from litmlp.data.records import BLANKS, Record, Shapes, records
from litmlp.data.unpacked import AT_ONCE, FALLBACK, SPILLED_FROM, Spill, Text, unpacked
from litmlp.errors import InputError, shown

REFUSE, REPAIR = "refuse", "repair"
LINES_OF_HEAD = 1000
MAX_LENGTH_OF_LINE = 2**24  # bytes
MAX_LENGTH_OF_NAME = 500  # of a column
MAX_NAMED = 5  # damaged rows, in a sentence
TypesOf = Callable[[Sequence[str], Sequence[Sequence[str]]], dict[str, pl.DataType]]


class Reading(NamedTuple):
    """A table of text, and how it was read.

    Attributes:
        frame: columns of text, or of numbers where that was asked for; an empty cell is null.
        names: of all columns in the file, those that are empty and dropped among them.
        dialect: how the file is written.
        lacks_name: whether the line with the names has one fewer than there are columns.
        written: the dialect, for people.
        said: what was assumed, for people.
        is_large: whether the table is kept on disk.
    """

    frame: pl.LazyFrame
    names: tuple[str, ...]
    dialect: Dialect
    lacks_name: bool
    written: str
    said: list[str]
    is_large: bool


def read_text(file: Path, spill: Spill, asked: Asked = NOTHING, types_of: TypesOf | None = None) -> Reading:
    """Read a file of text.

    Args:
        file: with a table.
        spill: for tables of which there is much.
        asked: what is said of how it is written.
        types_of: tells from the names and the first rows which columns are tried as numbers; if one holds anything
            else, all are text.

    Raises:
        InputError: it is no text or no table, or damaged, or written otherwise than is said.
    """
    if asked.is_of_other:  # which may be in UTF-8 all the same
        text = unpacked(file, spill, None, asked.encoding or FALLBACK)
    else:
        text = unpacked(file, spill, asked.encoding)
    head = _head(text)
    if not any(line.strip() for line in head):
        raise InputError(f"'{file}' is empty: give a table")
    asked = _fitting(asked, head, file)
    found = sniff(head, asked)
    dialect = found.dialect
    if found.damage and asked.damaged_rows == REFUSE:
        line = dialect.skip_rows + 1
        raise InputError(
            f"line {line} of '{file}', which names the columns, {found.damage}: correct it, or give other names with "
            f"data.header=[...] and data.skip_rows={line}"
        )
    width = len(found.names) or (len(found.rows[0]) if found.rows else 1)
    names = _names(found.names, width, asked, file)
    check_names(f"'{file}'", names)
    said = _assumed(text, found, asked, names, head)
    first = dialect.skip_rows + (1 + sum(name.count("\n") for name in found.names) if dialect.has_header else 0)
    places = [str(place) for place in range(width)]  # instead of names that Polars would take for patterns
    types = {} if types_of is None else types_of(names, found.rows)
    typed = {place: types[name] for place, name in zip(places, names, strict=True) if name in types}
    table = None
    if dialect.delimiter != BLANKS and not dialect.comment and _is_well_quoted(text, dialect, first):
        tries = [typed, {}] if typed else [{}]
        whole = (_whole(text, spill, dialect, places, first, head, types) for types in tries)
        table = next(filter(None, whole), None)
    if table is None:
        shapes = Shapes((row for row in found.rows if len(row) == width), width)
        table = _line_by_line(text, spill, dialect, places, first, shapes, asked.damaged_rows, file, said)
    frame, is_large = table
    if all(kind == pl.String for kind in frame.collect_schema().values()):
        frame = _without_repeated_names(frame, places, found.names or names, said)
    frame = _without_empty_columns(frame, places, found.names)
    renamed = dict(zip(places, names, strict=True))
    frame = frame.rename({place: renamed[place] for place in frame.collect_schema()})
    return Reading(frame, (*names,), dialect, found.lacks_name, _written(text, dialect), said, is_large)


def _assumed(text: Text, found: Found, asked: Asked, names: Sequence[str], head: Sequence[str]) -> list[str]:
    """Return what was assumed of how a file is written, and the keys that settle it."""
    dialect, said = found.dialect, []
    if found.damage:
        line = dialect.skip_rows + 1
        said.append(f"line {line}, which names the columns, {found.damage}: see whether the names are right")
    if text.encoding == FALLBACK and asked.encoding is None:
        said.append(f"its letters are read as {FALLBACK}: if they are wrong, name another data.encoding")
    if dialect.skip_rows and (asked.skip_rows is None or asked.is_of_other):
        lines = f"{dialect.skip_rows} lines are" if dialect.skip_rows > 1 else "line is"
        is_comment = dialect.comment and head[dialect.skip_rows - 1].startswith(dialect.comment)
        key = "data.comment=''" if is_comment and asked.comment is None else "data.skip_rows=0"
        said.append(f"the first {lines} no part of the table: if that is wrong, add {key}")
    if any(name.startswith("#") for name in found.names[:1]) and asked.comment is None and asked.header is None:
        said.append("the names stand in a line that begins with '#': if it is a comment, add data.comment='#'")
    if found.lacks_name:
        where = "last" if not found.names[-1] else "first"
        said.append(f"the line with the names has one fewer than there are columns, so the {where} column has none")
    if not dialect.has_header and asked.header is None:
        said.append(
            f"no line names the columns, so they are called {names[0]} to {names[-1]}: if the first line does, add "
            "data.header=true"
        )
    return said


def _written(text: Text, dialect: Dialect) -> str:
    delimiter = {"\t": "tabs", BLANKS: "blanks"}.get(dialect.delimiter, repr(dialect.delimiter))
    packed = f", in {text.packing}" if text.packing else ""
    names = f"names in line {dialect.skip_rows + 1}" if dialect.has_header else "no names"
    return f"text in {text.encoding.removesuffix('-sig')}{packed}, {delimiter} between cells, {names}"


def check_names(what: str, names: Sequence[str]) -> None:
    """Raise InputError for names of columns that cannot be used."""
    if not names:
        raise InputError(f"{what} has no columns: give a table")
    for name in names:
        if len(name) > MAX_LENGTH_OF_NAME:
            raise InputError(
                f"{what} has a column whose name has {len(name)} letters ('{shortened(name)}'), more than "
                f"{MAX_LENGTH_OF_NAME}: rename it, and see whether the first line names the columns"
            )
        if name.startswith("^") and name.endswith("$"):  # for many methods of Polars
            raise InputError(f"{what} has a column called '{name}', which would be taken for a pattern: rename it")


def _fitting(asked: Asked, head: list[str], file: Path) -> Asked:
    """Return what is said of a file; raise InputError where its lines deny it, unless it was said of another file."""
    if asked.skip_rows is not None and asked.skip_rows >= len(head):
        if not asked.is_of_other:
            raise InputError(f"data.skip_rows is {asked.skip_rows}, but '{file}' has {len(head)} lines: give less")
        asked = asked._replace(skip_rows=None)
    if asked.delimiter and asked.delimiter != BLANKS and not any(asked.delimiter in line for line in head):
        if not asked.is_of_other:
            raise InputError(f"data.delimiter is {asked.delimiter!r}, but '{file}' holds none: leave it out to find it")
        asked = asked._replace(delimiter=None)
    return asked


def _head(text: Text) -> list[str]:
    with text.opened() as stream:
        lines = [stream.readline(MAX_LENGTH_OF_LINE) for _ in range(LINES_OF_HEAD)]
    decoded = b"".join(lines).decode("utf-8-sig", errors="replace").split("\n")
    return [line.removesuffix("\r") for line in (decoded[:-1] if not decoded[-1] else decoded)]


def _names(given: Sequence[str], width: int, asked: Asked, file: Path) -> list[str]:
    if isinstance(asked.header, tuple):
        if len(asked.header) < width or not {*asked.header[width:]} <= {*asked.may_lack}:
            by = "the checkpoint" if asked.is_of_other else "data.header"
            raise InputError(f"{by} names {len(asked.header)} columns, but '{file}' has {width}: give as many")
        return list(asked.header[:width])
    if not given:
        return [f"column_{i + 1}" for i in range(width)]
    names = [name.strip() for name in given]
    counts = Counter(name for name in names if name)
    if twice := next((name for name, count in counts.items() if count > 1), None):
        raise InputError(f"'{file}' has two columns called {shown(twice)}: rename one of them")
    blank = [i for i, name in enumerate(names) if not name]
    for i in blank if len(blank) > 1 else []:
        names[i] = f"unnamed: {i}"
    return names


def _whole(
    text: Text,
    spill: Spill,
    dialect: Dialect,
    names: list[str],
    first: int,
    head: list[str],
    typed: dict[str, pl.DataType],
) -> tuple[pl.LazyFrame, bool] | None:
    """Return the table if Polars can parse it and no row has more or fewer cells; else None."""

    def scanned(types: dict[str, pl.DataType]) -> pl.LazyFrame:
        return pl.scan_csv(
            text.source,
            glob=False,
            has_header=False,
            separator=dialect.delimiter,
            quote_char=dialect.quote or None,
            skip_lines=first,
            schema={name: types.get(name, pl.String()) for name in names},
            extra_columns="raise",
        )

    try:
        whole = [name for name, kind in typed.items() if kind.is_integer()]
        if whole and _may_hold_codes(text, dialect):
            holds_codes = scanned({}).select(by_name(*whole).str.contains(CODE).any())
            if any(holds_codes.collect().row(0)):
                return None
        table = _without_empty_text(scanned(typed))
        if is_large := text.size > SPILLED_FROM:
            place = spill.place(".parquet")
            table.sink_parquet(place, compression="lz4")
            table = pl.scan_parquet(place, glob=False)
        else:
            table = table.collect().lazy()
        num_rows, has_gaps = table.select(pl.len(), gaps=pl.col(names[-1]).is_null().any()).collect().row(0)
        if has_gaps and not _has_all_cells(text, dialect, head[:first], table, num_rows):
            return None  # the last cells of a row that is too short are null
    except pl.exceptions.PolarsError:
        return None
    return table, is_large


def _may_hold_codes(text: Text, dialect: Dialect) -> bool:
    """Tell whether any cell of a text begins with a zero and another digit."""
    begins_cell = (*dialect.delimiter.encode(), *dialect.quote.encode(), *b"\n+-")
    before = b"\n"
    with text.opened() as stream:
        while part := stream.read(AT_ONCE):
            letters = np.frombuffer(before + part, dtype=np.uint8)
            zeros = (letters[1:-1] == ord("0")) & (letters[2:] >= ord("0")) & (letters[2:] <= ord("9"))
            first = letters[:-2]
            if any((zeros & (first == one)).any() for one in begins_cell):
                return True
            before = part[-2:]
    return False


def _is_well_quoted(text: Text, dialect: Dialect, first: int) -> bool:
    """Tell whether each quote opens a cell, closes one, or stands doubled in one: of others Polars makes what it can.

    Every second quote opens, for a doubled one closes a cell that the next opens again.
    """
    quote, delimiter = dialect.quote.encode(), dialect.delimiter.encode()
    if not quote:
        return True
    if len(quote) + len(delimiter) > 2:  # letters of several bytes
        return False
    ends_cell = np.zeros(256, dtype=bool)
    ends_cell[[*quote, *delimiter, *b"\r\n"]] = True
    num_quotes, before = 0, b"\n"
    with text.opened() as stream:
        if stream.read(len(BOM_UTF8)) != BOM_UTF8:
            stream.seek(0)
        for _ in range(first):
            stream.readline()
        part = stream.read(AT_ONCE)
        while part:
            following = stream.read(AT_ONCE)
            if quote in part:
                letters = np.frombuffer(before + part + (following[:1] or b"\n"), dtype=np.uint8)
                quotes = 1 + np.flatnonzero(letters[1:-1] == quote[0])
                opens = (num_quotes + np.arange(len(quotes))) % 2 == 0
                if not ends_cell[letters[quotes + np.where(opens, -1, 1)]].all():
                    return False
                num_quotes += len(quotes)
            before, part = part[-1:], following
    return num_quotes % 2 == 0


def _has_all_cells(text: Text, dialect: Dialect, above: list[str], table: pl.LazyFrame, num_rows: int) -> bool:
    """Tell, by a count of delimiters, whether each row has as many cells as there are columns."""
    schema = table.collect_schema()
    within = 0  # cells
    if pl.String in schema.values():
        marks = table.select(string().str.count_matches(dialect.delimiter, literal=True).sum()).collect()
        within = sum(number or 0 for number in marks.row(0))
    num_above = sum(line.count(dialect.delimiter) for line in above)
    num_delimiters, before = 0, b""
    with text.opened() as stream:
        while part := stream.read(AT_ONCE):
            num_delimiters += part.count(dialect.delimiter.encode())
            if any(blank in place for blank in (b"\n\n", b"\n\r\n") for place in (part, before + part[:2])):
                return False
            before = part[-2:]
    return num_delimiters - num_above == (len(schema) - 1) * num_rows + within


def _line_by_line(
    text: Text,
    spill: Spill,
    dialect: Dialect,
    names: list[str],
    first: int,
    shapes: Shapes,
    damaged_rows: str,
    file: Path,
    said: list[str],
) -> tuple[pl.LazyFrame, bool]:
    path = spill.place(".csv")
    skipped: list[int] = []
    repaired: list[int] = []
    commented: list[int] = []
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for record in _records(text, dialect, len(names), first, commented):
            cells: list[str] | None = record.cells
            if record.damage:
                if damaged_rows == REFUSE:
                    raise InputError(
                        f"line {record.line} of '{file}' {record.damage}: correct it, or add data.damaged_rows=repair "
                        "or data.damaged_rows=skip"
                    )
                cells = _repaired(record, names, shapes, dialect) if damaged_rows == REPAIR else None
                (skipped if cells is None else repaired).append(record.line)
            if cells is not None:
                writer.writerow(cells)
    for what, lines in (("left out", skipped), ("repaired", repaired)):
        if lines:
            some = ", ".join(map(str, lines[:MAX_NAMED])) + (", ..." if len(lines) > MAX_NAMED else "")
            said.append(f"{what} {len(lines)} damaged line{'s' if len(lines) != 1 else ''}: {some}")
    if commented:
        said.append(
            f"left out {len(commented)} line{'s' if len(commented) > 1 else ''} beginning with {dialect.comment!r}, "
            f"the first is {commented[0]}"
        )
    frame = pl.scan_csv(
        path,
        glob=False,
        has_header=False,
        schema=dict.fromkeys(names, pl.String),
        extra_columns="raise",
    )
    frame = _without_empty_text(frame)
    is_large = path.stat().st_size > SPILLED_FROM
    return (frame if is_large else frame.collect().lazy()), is_large


def _without_empty_text(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.with_columns(pl.when(string() != "").then(string()).name.keep())


def _records(text: Text, dialect: Dialect, width: int, first: int, commented: list[int]) -> Iterator[Record]:
    def kept(lines: Iterable[str]) -> Iterator[str]:
        for number, line in enumerate(lines):
            if number < first:
                continue
            is_comment = bool(dialect.comment) and line.startswith(dialect.comment)
            if is_comment:
                commented.append(number + 1)
            yield "" if is_comment else line.rstrip("\r\n")

    with text.opened() as stream, TextIOWrapper(stream, "utf-8-sig", newline="\n") as decoded:
        yield from records(kept(decoded), dialect.delimiter, dialect.quote, width, first + 1)


def _repaired(record: Record, names: list[str], shapes: Shapes, dialect: Dialect) -> list[str] | None:
    if len(record.cells) == len(names):
        return record.cells
    return shapes.aligned(record.cells, dialect.delimiter)


def _without_repeated_names(
    frame: pl.LazyFrame, names: Sequence[str], written: Sequence[str], said: list[str]
) -> pl.LazyFrame:
    """Leave out rows that repeat the names, as where files were put one behind the other."""
    pairs = list(zip(names, written, strict=True))
    if not frame.select((pl.col(names[0]) == written[0]).any()).collect().item():
        return frame
    is_name = pl.all_horizontal(pl.col(name).fill_null("").str.strip_chars() == text.strip() for name, text in pairs)
    if num := frame.select(is_name.sum()).collect().item():
        said.append(f"left out {num} row{'s' if num > 1 else ''} that only repeat{'s' if num == 1 else ''} the names")
        return frame.filter(~is_name)
    return frame


def _without_empty_columns(frame: pl.LazyFrame, places: Sequence[str], given: Sequence[str]) -> pl.LazyFrame:
    unnamed = [place for place, name in zip(places, given, strict=False) if not name.strip()]
    if not unnamed:
        return frame
    filled = frame.select(pl.col(place).is_not_null().any() for place in unnamed).collect().row(0)
    return frame.drop([place for place, is_filled in zip(unnamed, filled, strict=True) if not is_filled])
