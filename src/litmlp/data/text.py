"""Reads tables from text files in the formats that people use, and reports what was assumed about the format.

Polars parses a file that is intact, at its full speed. A count of delimiters then proves that each row has all its
cells. If the count does not match, or Polars refuses the file, the lines are read one by one, and damaged lines are
refused, left out or repaired.
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
from litmlp.data.dialect import NO_OPTIONS, Dialect, FormatOptions, Found, sniff
from litmlp.data.notation import CODE
from litmlp.data.records import BLANKS, Record, Shapes, records
from litmlp.data.unpacked import CHUNK_SIZE, FALLBACK, SPILLED_FROM, Spill, Text, unpacked
from litmlp.errors import InputError, shown

REFUSE, REPAIR = "refuse", "repair"
LINES_IN_HEAD = 1000
MAX_LINE_LENGTH = 2**24  # bytes
MAX_NAME_LENGTH = 500  # characters of a column's name
MAX_NAMED = 5  # damaged lines that one log message names
TypesOf = Callable[[Sequence[str], Sequence[Sequence[str]]], dict[str, pl.DataType]]


class Reading(NamedTuple):
    """A table from a text file, and the format of the file.

    Attributes:
        frame: columns of text, or of numbers where `types_of` chose a type; an empty cell is null.
        names: the names of all columns in the file, including empty columns that `frame` lacks.
        dialect: the format of the file.
        lacks_name: whether the header has one name fewer than there are columns.
        format: a description of the dialect, for log messages.
        assumed: log messages about assumptions that reading made.
        is_large: whether the table is kept on disk.
    """

    frame: pl.LazyFrame
    names: tuple[str, ...]
    dialect: Dialect
    lacks_name: bool
    format: str
    assumed: list[str]
    is_large: bool


def read_text(
    file: Path, spill: Spill, options: FormatOptions = NO_OPTIONS, types_of: TypesOf | None = None
) -> Reading:
    """Read a table from a text file.

    Args:
        file: the text file; it may be compressed.
        spill: holds the temporary files of a large table.
        options: the given part of the file's format.
        types_of: chooses from the names and the first rows the columns to parse as numbers. If a cell of them is not
            a number, all columns become text.

    Raises:
        InputError: the file is not text, holds no table, is damaged, or contradicts `options`.
    """
    if options.is_for_other_file:  # this file may be in UTF-8 although the other one was not
        text = unpacked(file, spill, None, options.encoding or FALLBACK)
    else:
        text = unpacked(file, spill, options.encoding)
    head = _head(text)
    if not any(line.strip() for line in head):
        raise InputError(f"'{file}' is empty: give a table")
    options = _checked(options, head, file)
    found = sniff(head, options)
    dialect = found.dialect
    if found.damage and options.damaged_rows == REFUSE:
        line = dialect.skip_rows + 1
        raise InputError(
            f"line {line} of '{file}', which names the columns, {found.damage}: correct it, or give other names with "
            f"data.header=[...] and data.skip_rows={line}"
        )
    width = len(found.names) or (len(found.rows[0]) if found.rows else 1)
    names = _names(found.names, width, options, file)
    check_names(f"'{file}'", names)
    messages = _assumed(text, found, options, names, head)
    # Lines above the first row: those that are skipped, and the header, in whose names there may be line breaks.
    first = dialect.skip_rows + (1 + sum(name.count("\n") for name in found.names) if dialect.has_header else 0)
    ids = [str(i) for i in range(width)]  # while parsing, in place of names that Polars would take for patterns
    types = {} if types_of is None else types_of(names, found.rows)
    typed = {column: types[name] for column, name in zip(ids, names, strict=True) if name in types}
    table = None
    if dialect.delimiter != BLANKS and not dialect.comment and _is_well_quoted(text, dialect, first):
        attempts = [typed, {}] if typed else [{}]
        tables = (_parsed_by_polars(text, spill, dialect, ids, first, head, types) for types in attempts)
        table = next(filter(None, tables), None)
    if table is None:
        shapes = Shapes((row for row in found.rows if len(row) == width), width)
        table = _line_by_line(text, spill, dialect, ids, first, shapes, options.damaged_rows, file, messages)
    frame, is_large = table
    if all(kind == pl.String for kind in frame.collect_schema().values()):
        frame = _without_repeated_names(frame, ids, found.names or names, messages)
    frame = _without_empty_columns(frame, ids, found.names)
    name_of = dict(zip(ids, names, strict=True))
    frame = frame.rename({column: name_of[column] for column in frame.collect_schema()})
    return Reading(frame, (*names,), dialect, found.lacks_name, _description(text, dialect), messages, is_large)


def _assumed(text: Text, found: Found, options: FormatOptions, names: Sequence[str], head: Sequence[str]) -> list[str]:
    """Return log messages about what was assumed of a file's format, with the keys that correct it."""
    dialect, messages = found.dialect, []
    if found.damage:
        line = dialect.skip_rows + 1
        messages.append(f"line {line}, which names the columns, {found.damage}: see whether the names are right")
    if text.encoding == FALLBACK and options.encoding is None:
        messages.append(f"its letters are read as {FALLBACK}: if they are wrong, name another data.encoding")
    if dialect.skip_rows and (options.skip_rows is None or options.is_for_other_file):
        lines = f"{dialect.skip_rows} lines are" if dialect.skip_rows > 1 else "line is"
        is_comment = dialect.comment and head[dialect.skip_rows - 1].startswith(dialect.comment)
        key = "data.comment=''" if is_comment and options.comment is None else "data.skip_rows=0"
        messages.append(f"the first {lines} no part of the table: if that is wrong, add {key}")
    if any(name.startswith("#") for name in found.names[:1]) and options.comment is None and options.header is None:
        messages.append("the names stand in a line that begins with '#': if it is a comment, add data.comment='#'")
    if found.lacks_name:
        where = "last" if not found.names[-1] else "first"
        messages.append(f"the header has one name fewer than there are columns, so the {where} column has no name")
    if not dialect.has_header and options.header is None:
        messages.append(
            f"no line names the columns, so they are called {names[0]} to {names[-1]}: if the first line does, add "
            "data.header=true"
        )
    return messages


def _description(text: Text, dialect: Dialect) -> str:
    """Return the format of a file, for a log message."""
    delimiter = {"\t": "tabs", BLANKS: "blanks"}.get(dialect.delimiter, repr(dialect.delimiter))
    compression = f", in {text.compression}" if text.compression else ""
    names = f"names in line {dialect.skip_rows + 1}" if dialect.has_header else "no names"
    return f"text in {text.encoding.removesuffix('-sig')}{compression}, {delimiter} between cells, {names}"


def check_names(what: str, names: Sequence[str]) -> None:
    """Raise InputError if a table has no columns, or a column's name cannot be used."""
    if not names:
        raise InputError(f"{what} has no columns: give a table")
    for name in names:
        if len(name) > MAX_NAME_LENGTH:
            raise InputError(
                f"{what} has a column whose name has {len(name)} characters ('{shortened(name)}'), more than "
                f"{MAX_NAME_LENGTH}: rename it, and see whether the first line names the columns"
            )
        if name.startswith("^") and name.endswith("$"):  # many methods of Polars would read it as one
            raise InputError(f"{what} has a column called '{name}', which would be taken for a pattern: rename it")


def _checked(options: FormatOptions, head: list[str], file: Path) -> FormatOptions:
    """Check the given format against the first lines of a file.

    What contradicts them is dropped if it was given for another file, so that it is inferred for this one.

    Raises:
        InputError: the lines contradict a format that was given for this file.
    """
    if options.skip_rows is not None and options.skip_rows >= len(head):
        if not options.is_for_other_file:
            raise InputError(f"data.skip_rows is {options.skip_rows}, but '{file}' has {len(head)} lines: give less")
        options = options._replace(skip_rows=None)
    if options.delimiter and options.delimiter != BLANKS and not any(options.delimiter in line for line in head):
        if not options.is_for_other_file:
            raise InputError(
                f"data.delimiter is {options.delimiter!r}, but '{file}' does not contain it: leave data.delimiter out"
            )
        options = options._replace(delimiter=None)
    return options


def _head(text: Text) -> list[str]:
    with text.opened() as stream:
        lines = [stream.readline(MAX_LINE_LENGTH) for _ in range(LINES_IN_HEAD)]
    decoded = b"".join(lines).decode("utf-8-sig", errors="replace").split("\n")
    return [line.removesuffix("\r") for line in (decoded[:-1] if not decoded[-1] else decoded)]


def _names(given: Sequence[str], width: int, options: FormatOptions, file: Path) -> list[str]:
    if isinstance(options.header, tuple):
        if len(options.header) < width or not {*options.header[width:]} <= {*options.optional_names}:
            by = "the checkpoint" if options.is_for_other_file else "data.header"
            raise InputError(f"{by} names {len(options.header)} columns, but '{file}' has {width}: give as many")
        return list(options.header[:width])
    if not given:
        return [f"column_{i + 1}" for i in range(width)]
    names = [name.strip() for name in given]
    counts = Counter(name for name in names if name)
    if twice := next((name for name, count in counts.items() if count > 1), None):
        raise InputError(f"'{file}' has two columns called {shown(twice)}: rename one of them")
    unnamed = [i for i, name in enumerate(names) if not name]
    for i in unnamed if len(unnamed) > 1 else []:
        names[i] = f"unnamed: {i}"
    return names


def _parsed_by_polars(
    text: Text,
    spill: Spill,
    dialect: Dialect,
    names: list[str],
    first: int,
    head: list[str],
    typed: dict[str, pl.DataType],
) -> tuple[pl.LazyFrame, bool] | None:
    """Return the table, and whether it is large, if Polars can parse it and all rows have the same number of cells.

    Otherwise return None.
    """

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
        integers = [name for name, kind in typed.items() if kind.is_integer()]
        if integers and _may_hold_codes(text, dialect):  # as integers, codes such as 007 would lose their zeros
            holds_codes = scanned({}).select(by_name(*integers).str.contains(CODE).any())
            if any(holds_codes.collect().row(0)):
                return None
        table = _without_empty_text(scanned(typed))
        if is_large := text.size > SPILLED_FROM:
            path = spill.new_file(".parquet")
            table.sink_parquet(path, compression="lz4")
            table = pl.scan_parquet(path, glob=False)
        else:
            table = table.collect().lazy()
        num_rows, has_gaps = table.select(pl.len(), gaps=pl.col(names[-1]).is_null().any()).collect().row(0)
        if has_gaps and not _has_all_cells(text, dialect, head[:first], table, num_rows):
            return None  # Polars fills a row that is too short with nulls, so the last column shows it
    except pl.exceptions.PolarsError:
        return None
    return table, is_large


def _may_hold_codes(text: Text, dialect: Dialect) -> bool:
    """Tell whether any cell of a text may begin with a zero and another digit."""
    cell_starts = (*dialect.delimiter.encode(), *dialect.quote.encode(), *b"\n+-")  # bytes before a cell's first digit
    before = b"\n"
    with text.opened() as stream:
        while chunk := stream.read(CHUNK_SIZE):
            buffer = np.frombuffer(before + chunk, dtype=np.uint8)
            zeros = (buffer[1:-1] == ord("0")) & (buffer[2:] >= ord("0")) & (buffer[2:] <= ord("9"))
            first = buffer[:-2]
            if any((zeros & (first == one)).any() for one in cell_starts):
                return True
            before = chunk[-2:]  # so that three bytes across two chunks are seen together
    return False


def _is_well_quoted(text: Text, dialect: Dialect, first: int) -> bool:
    """Tell whether each quote opens a cell, closes a cell, or is doubled within one.

    Polars does not refuse other quotes, but guesses what they mean. The check counts the quotes: the first opens, the
    second closes, and so on. This holds for a doubled quote as well, which closes a cell and opens it again.
    """
    quote, delimiter = dialect.quote.encode(), dialect.delimiter.encode()
    if not quote:
        return True
    if len(quote) + len(delimiter) > 2:  # characters of several bytes, which the search below cannot see
        return False
    ends_cell = np.zeros(256, dtype=bool)
    ends_cell[[*quote, *delimiter, *b"\r\n"]] = True
    num_quotes, before = 0, b"\n"
    with text.opened() as stream:
        if stream.read(len(BOM_UTF8)) != BOM_UTF8:
            stream.seek(0)
        for _ in range(first):
            stream.readline()
        chunk = stream.read(CHUNK_SIZE)
        while chunk:
            following = stream.read(CHUNK_SIZE)
            if quote in chunk:
                buffer = np.frombuffer(before + chunk + (following[:1] or b"\n"), dtype=np.uint8)
                quotes = 1 + np.flatnonzero(buffer[1:-1] == quote[0])
                opens = (num_quotes + np.arange(len(quotes))) % 2 == 0
                if not ends_cell[buffer[quotes + np.where(opens, -1, 1)]].all():
                    return False
                num_quotes += len(quotes)
            before, chunk = chunk[-1:], following
    return num_quotes % 2 == 0


def _has_all_cells(text: Text, dialect: Dialect, above: list[str], table: pl.LazyFrame, num_rows: int) -> bool:
    """Tell, by a count of delimiters, whether each row has as many cells as there are columns."""
    schema = table.collect_schema()
    num_within = 0  # delimiters within cells, which quotes protect
    if pl.String in schema.values():
        counts = table.select(string().str.count_matches(dialect.delimiter, literal=True).sum()).collect()
        num_within = sum(number or 0 for number in counts.row(0))
    num_above = sum(line.count(dialect.delimiter) for line in above)
    num_delimiters, before = 0, b""
    with text.opened() as stream:
        while chunk := stream.read(CHUNK_SIZE):
            num_delimiters += chunk.count(dialect.delimiter.encode())
            # A blank line may be no row. The second part to search joins the ends of two chunks.
            if any(blank in part for blank in (b"\n\n", b"\n\r\n") for part in (chunk, before + chunk[:2])):
                return False
            before = chunk[-2:]
    return num_delimiters - num_above == (len(schema) - 1) * num_rows + num_within


def _line_by_line(
    text: Text,
    spill: Spill,
    dialect: Dialect,
    names: list[str],
    first: int,
    shapes: Shapes,
    damaged_rows: str,
    file: Path,
    messages: list[str],
) -> tuple[pl.LazyFrame, bool]:
    """Return the table, and whether it is large; add to `messages` what becomes of damaged lines and comments."""
    path = spill.new_file(".csv")
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
    for action, lines in (("left out", skipped), ("repaired", repaired)):
        if lines:
            numbers = ", ".join(map(str, lines[:MAX_NAMED])) + (", ..." if len(lines) > MAX_NAMED else "")
            messages.append(f"{action} {len(lines)} damaged line{'s' if len(lines) != 1 else ''}: {numbers}")
    if commented:
        messages.append(
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
            # A comment becomes an empty line, so that later lines keep their numbers.
            yield "" if is_comment else line.rstrip("\r\n")

    with text.opened() as stream, TextIOWrapper(stream, "utf-8-sig", newline="\n") as decoded:
        yield from records(kept(decoded), dialect.delimiter, dialect.quote, width, first + 1)


def _repaired(record: Record, names: list[str], shapes: Shapes, dialect: Dialect) -> list[str] | None:
    if len(record.cells) == len(names):
        return record.cells
    return shapes.aligned(record.cells, dialect.delimiter)


def _without_repeated_names(
    frame: pl.LazyFrame, ids: Sequence[str], names: Sequence[str], messages: list[str]
) -> pl.LazyFrame:
    """Leave out rows that repeat the header, as in a file that several files were concatenated into."""
    pairs = list(zip(ids, names, strict=True))
    if not frame.select((pl.col(ids[0]) == names[0]).any()).collect().item():  # a quick check of one column
        return frame
    is_header = pl.all_horizontal(pl.col(one).fill_null("").str.strip_chars() == name.strip() for one, name in pairs)
    if num := frame.select(is_header.sum()).collect().item():
        rows = "row that only repeats" if num == 1 else "rows that only repeat"
        messages.append(f"left out {num} {rows} the names")
        return frame.filter(~is_header)
    return frame


def _without_empty_columns(frame: pl.LazyFrame, ids: Sequence[str], names: Sequence[str]) -> pl.LazyFrame:
    """Leave out columns that have neither a name nor a filled cell."""
    unnamed = [column for column, name in zip(ids, names, strict=False) if not name.strip()]
    if not unnamed:
        return frame
    filled = frame.select(pl.col(column).is_not_null().any() for column in unnamed).collect().row(0)
    return frame.drop([column for column, is_filled in zip(unnamed, filled, strict=True) if not is_filled])
