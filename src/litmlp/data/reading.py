"""Reads a table from files, or from rows that are given in memory."""

import csv
import lzma
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars.selectors import by_name

from litmlp.data import panics, parquet
from litmlp.data.cells import shortened
from litmlp.data.dialect import NO_OPTIONS, Dialect, FormatOptions
from litmlp.data.notation import UNKNOWN, Notation, Survey
from litmlp.data.text import TypesOf, check_names, read_text
from litmlp.data.unpacked import Spill
from litmlp.errors import InputError
from litmlp.paths import ROOT, display, find

PARQUET = b"PAR1"  # the first bytes of a Parquet file
PARQUET_SUFFIXES = (".parquet", ".pq")
TEXT_SUFFIXES = tuple(  # they select a folder's tables; the format of a file is recognized by its first bytes
    suffix + compression
    for suffix in (".csv", ".tsv", ".tab", ".txt", ".dat", ".data")
    for compression in ("", ".gz", ".bz2", ".xz", ".zst", ".zip")
)
MAX_ENTRIES = 50_000  # files and folders that are listed in search of a folder's tables
MAX_MESSAGES = 10  # log messages about all files together
MAX_ROWS, MAX_ROWS_PER_BYTE = 1_000_000, 64  # a Parquet file that exceeds both is refused
ERRORS = (
    *(pl.exceptions.PolarsError, OSError, EOFError, UnicodeError, csv.Error),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError),  # zipfile raises RuntimeError for a password
)

# Without it, Polars refuses a time zone whose name it does not know. The name is not needed: timestamps are in UTC.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")


class Table(NamedTuple):
    """The raw rows of one or more files.

    Attributes:
        frame: the columns. A column is text unless all of its cells are of another type, such as numbers.
        notation: the format of cells of text.
        formats: log messages that describe the format of the files.
        assumed: log messages about assumptions that reading made.
        sizes: the number of rows of each file.
        spill: the temporary files that the frame reads if the text is large. Keep it as long as the frame.
    """

    frame: pl.LazyFrame
    notation: Notation
    formats: list[str]
    assumed: list[str]
    sizes: list[int]
    spill: Spill


def files_of(path: str | Path) -> list[Path]:
    """Return the files that a path stands for: one file, the tables in a folder, or the matches of a pattern.

    Raises:
        InputError: there are no such files, or a folder holds both Parquet files and text.
    """
    if any(mark in str(path) for mark in "*?[") and not _is_there(str(path)):
        files = sorted(_matching(str(path)))
        if not files:
            raise InputError(f"no file matches '{path}': check the pattern")
    elif (found := find(path)).is_dir():
        files = sorted(_files_below(found))
        if not files:
            raise InputError(f"the folder '{path}' holds no tables, such as .csv or .parquet: give one that does")
        kinds = {file.name.lower().endswith(PARQUET_SUFFIXES): file for file in files}
        if len(kinds) > 1:
            raise InputError(
                f"the folder '{path}' holds Parquet files ('{kinds[True].name}') and text ('{kinds[False].name}'): "
                f"say which are meant with a pattern, such as '{path}/**/*{kinds[True].suffix}'"
            )
    else:
        files = [found]
    for file in files:
        if not file.is_file():
            raise InputError(f"'{file}' is a folder, a pipe or a device, not a file: save the rows to a file")
    return files


def read_table(
    files: Sequence[Path],
    options: FormatOptions = NO_OPTIONS,
    notation: Notation = UNKNOWN,
    text_columns: Collection[str] = (),
    numeric_columns: Collection[str] | None = None,
    finds_marks: bool = True,
) -> Table:
    """Read files of text, which may be compressed, or of Parquet. The rows of several files follow each other.

    Columns of Parquet files are read only when the frame is collected.

    Args:
        files: as `files_of` returns them.
        options: the given part of the format of text files.
        notation: the known part of the format of cells; the rest is inferred.
        text_columns: columns that stay text even if all of their cells are numbers, so that 007 does not become 7.
        numeric_columns: the columns from which the format of numbers is inferred; the others stay text. None for all.
        finds_marks: whether to infer which texts mark a missing cell; otherwise `notation` gives them.

    Raises:
        InputError: a file cannot be read, or its columns differ from those of the first file.
    """
    survey, spill = Survey(notation), Spill()

    def types_of(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, pl.DataType]:
        indices = [i for i, name in enumerate(names) if numeric_columns is None or name in numeric_columns]
        types = survey.types_of([names[i] for i in indices], [[row[i] for i in indices] for row in rows])
        return {name: kind for name, kind in types.items() if name not in text_columns}

    parts = _parts(files, options, spill, types_of if len(files) == 1 else None)
    what = f"'{files[0]}'" if len(files) == 1 else f"'{files[0]}' and the files after it"
    column_options = (text_columns, numeric_columns, finds_marks)
    return _as_table(parts, survey, spill, not options.is_for_other_file, what, *column_options)


def read_frame(
    frame: pl.LazyFrame,
    notation: Notation = UNKNOWN,
    text_columns: Collection[str] = (),
    numeric_columns: Collection[str] | None = None,
    finds_marks: bool = True,
) -> Table:
    """Return the table of rows that are given in memory. Cells of text are parsed like those of a file.

    The arguments are those of `read_table`.
    """
    check_names("the table", frame.collect_schema().names())
    parts = [_Part(None, frame, is_parquet=True)]
    column_options = (text_columns, numeric_columns, finds_marks)
    return _as_table(parts, Survey(notation), Spill(), False, "the table", *column_options)


def _as_table(
    parts: Sequence["_Part"],
    survey: Survey,
    spill: Spill,
    learns_dialect: bool,
    what: str,
    text_columns: Collection[str],
    numeric_columns: Collection[str] | None,
    finds_marks: bool,
) -> Table:
    messages = [f"{display(part.file)}: {one}" for part in parts if part.file for one in part.assumed][:MAX_MESSAGES]
    if (dialect := next((part.dialect for part in parts if part.dialect), None)) and learns_dialect:
        survey.notation = survey.notation._replace(
            header=next((part.header for part in parts if part.header is not None), None),
            quote=dialect.quote,
            comment=dialect.comment,
            lacks_name=any(part.lacks_name for part in parts),
        )
    survey.delimiter = "," if dialect is None else dialect.delimiter
    try:
        with panics.as_errors():
            sizes = [part.frame.select(pl.len()).collect().item() for part in parts]
            if sum(sizes) == 0:
                raise InputError(f"{what} has no rows: give at least one")
            frame = pl.concat([part.frame for part in parts], how="vertical_relaxed") if parts[1:] else parts[0].frame
            is_large = any(part.is_large for part in parts)
            surveyed = _surveyed_columns(frame, parts[-1].is_parquet, numeric_columns)
            frame = _typed(frame, survey, surveyed, text_columns, spill if is_large else None)
            notation, assumed = survey.found(finds_marks)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"cannot read {what} as one table: {_reason(error)}") from error
    return Table(frame, notation, _formats(parts), [*messages, *assumed], sizes, spill)


class _Part(NamedTuple):
    """One file of a table.

    Attributes:
        file: its path; None for rows that are given in memory.
        frame: its rows, with the columns in the order of the first file.
        header: the names of its columns if the file has no header; else None.
        dialect: the format of a text file.
        lacks_name: whether the header has one name fewer than there are columns.
        format: a description of its format, for log messages.
        assumed: log messages about assumptions that reading made.
        is_large: whether its rows are kept on disk.
        is_parquet: whether it is a Parquet file, or given in memory, rather than a text file.
    """

    file: Path | None
    frame: pl.LazyFrame
    header: tuple[str, ...] | None = None
    dialect: Dialect | None = None
    lacks_name: bool = False
    format: str = "Parquet"
    assumed: Sequence[str] = ()
    is_large: bool = False
    is_parquet: bool = False


def _parts(files: Sequence[Path], options: FormatOptions, spill: Spill, types_of: TypesOf | None) -> list[_Part]:
    parts: list[_Part] = []
    for file in files:
        is_parquet = _begins(file, PARQUET) or file.suffix.lower() in PARQUET_SUFFIXES
        try:
            with panics.as_errors():
                part = _parquet_part(file) if is_parquet else _text_part(file, options, spill, types_of)
                names = part.frame.collect_schema().names()
        except ERRORS as error:
            kind = "Parquet" if is_parquet else "text"
            raise InputError(f"cannot read '{file}' as {kind}: {_reason(error)}") from error
        check_names(f"'{file}'", names)
        if parts:
            first = parts[0].frame.collect_schema().names()
            if other := sorted({*names} ^ {*first}):
                raise InputError(
                    f"'{file}' and '{files[0]}' have different columns ({other[0]}): give them the same columns, or "
                    "select files with a pattern, such as folder/*.csv"
                )
            part = part._replace(frame=part.frame.select(by_name(*first)))
        elif options.header is None and not is_parquet:  # the other files have a header if the first one has
            options = options._replace(header=part.header is None)
        parts.append(part)
    return parts


def _text_part(file: Path, options: FormatOptions, spill: Spill, types_of: TypesOf | None) -> _Part:
    reading = read_text(file, spill, options, types_of)
    names = None if reading.dialect.has_header else reading.names
    details = (reading.dialect, reading.lacks_name, reading.format, reading.assumed, reading.is_large)
    return _Part(file, reading.frame, names, *details)


def _formats(parts: Sequence[_Part]) -> list[str]:
    files_by_format: dict[str, list[Path]] = {}
    for part in parts:
        if part.file is not None:
            files_by_format.setdefault(part.format, []).append(part.file)
    return [
        f"{display(files[0])}{f' and {len(files) - 1} more' if files[1:] else ''}: {description}"
        for description, files in list(files_by_format.items())[:MAX_MESSAGES]
    ]


def _surveyed_columns(frame: pl.LazyFrame, is_parquet: bool, numeric_columns: Collection[str] | None) -> list[str]:
    return [
        name
        for name, kind in frame.collect_schema().items()
        if numeric_columns is None or name in numeric_columns
        if not is_parquet or kind in (pl.String, pl.Categorical, pl.Enum)
    ]


def _typed(
    frame: pl.LazyFrame, survey: Survey, surveyed: Sequence[str], text_columns: Collection[str], spill: Spill | None
) -> pl.LazyFrame:
    """Pass columns to the survey, and return the frame with numbers for columns whose cells are all plain numbers."""
    schema = frame.collect_schema()
    # A large table is read column by column, a small one at once.
    whole = None if spill else frame.select(by_name(*surveyed)).collect()

    def raw(name: str) -> pl.Series:
        cells = (frame.select(by_name(name)).collect() if whole is None else whole)[name]
        return cells if cells.dtype.is_numeric() else cells.cast(pl.String)

    typed: dict[str, pl.LazyFrame] = {}
    kinds: dict[str, pl.DataType] = {}

    def keep(numbers: pl.Series | None, name: str) -> None:
        if numbers is not None and numbers.dtype.is_numeric() and name not in text_columns:
            typed[name], kinds[name] = _stored(numbers.alias(name), spill), numbers.dtype

    numeric = [name for name in surveyed if schema[name].is_numeric()]  # parsing made them numbers already
    with_nan = set(survey.look_at_numbers(frame, numeric)) if numeric else set()
    for name in surveyed:
        if name not in numeric or name in with_nan:
            keep(survey.look(raw(name)), name)
    # Only now is the decimal mark known. If it is the comma, 1.234 means 1234, so floats that were parsed with a dot
    # are dropped, and text with commas is tried instead.
    if survey.decimal == ",":
        typed = {name: numbers for name, numbers in typed.items() if not kinds[name].is_float()}
        for name in surveyed:
            if name not in typed and name not in numeric:
                keep(survey.with_commas(raw(name)), name)
    if not typed:
        return frame
    remaining = [name for name in schema if name not in typed]
    parts = [*typed.values(), *([frame.select(by_name(*remaining))] if remaining else [])]
    return pl.concat(parts, how="horizontal").select(by_name(*schema))


def _stored(numbers: pl.Series, spill: Spill | None) -> pl.LazyFrame:
    if spill is None:
        return numbers.to_frame().lazy()
    path = spill.new_file(".parquet")
    numbers.to_frame().write_parquet(path, compression="lz4")
    return pl.scan_parquet(path, glob=False)


def _is_there(path: str) -> bool:
    return any((base / Path(path).expanduser()).exists() for base in (Path.cwd(), ROOT))


def _begins(file: Path, start: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(start)) == start


def _matching(pattern: str) -> list[Path]:
    for base in (Path.cwd(), ROOT):
        full = base / Path(pattern).expanduser()
        if found := [path for path in Path(full.anchor).glob(str(full.relative_to(full.anchor))) if path.is_file()]:
            return found
    return []


def _files_below(folder: Path) -> Iterator[Path]:
    num_entries = 0
    for parent, folders, names in os.walk(folder, onerror=_raise):  # os.walk would skip folders it cannot read
        num_entries += len(folders) + len(names)
        if num_entries > MAX_ENTRIES:
            raise InputError(
                f"the folder '{folder}' holds more than {MAX_ENTRIES} files and folders: name the one below it that "
                "holds the table's files, or a pattern such as folder/*.parquet"
            )
        yield from (Path(parent, name) for name in names if name.lower().endswith((*PARQUET_SUFFIXES, *TEXT_SUFFIXES)))


def _raise(error: OSError) -> None:
    raise error


def _parquet_part(file: Path) -> _Part:
    parquet.check(file)
    frame = pl.scan_parquet(file, glob=False)
    num_rows, size = frame.select(pl.len()).collect().item(), file.stat().st_size  # neither reads rows
    if num_rows > MAX_ROWS and num_rows > MAX_ROWS_PER_BYTE * size:
        raise InputError(
            f"'{file}' claims {num_rows} rows, but has {size} bytes: it is damaged, or made to fill the memory"
        )
    return _Part(file, frame, is_parquet=True)


def _reason(error: BaseException) -> str:
    return shortened(next(iter(str(error).splitlines()), ""), 200) or type(error).__name__
