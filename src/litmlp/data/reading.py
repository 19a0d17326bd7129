"""Reading a table from files."""

import codecs
import csv
import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import polars as pl

from litmlp.data import panics, parquet
from litmlp.data.cells import MISSING, shortened
from litmlp.errors import InputError
from litmlp.paths import ROOT, find

ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet", ".pq")
DELIMITERS = ",;\t|"
MOST_ENTRIES = 50_000  # of a folder that is looked through for Parquet files
LONGEST_NAME = 500  # of a column
LONGEST_LINE = 2**24  # bytes that name the columns
AT_ONCE = 2**20  # bytes to decompress
# What grows more than this is a bomb, or might as well be decompressed by hand.
MOST_DECOMPRESSED, MOST_GROWTH = 50_000_000, 200
MOST_ROWS, MOST_ROWS_A_BYTE = 1_000_000, 64

os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")  # moments are in UTC, whatever the zone is called


def files_of(path: str | Path) -> list[Path]:
    """Return the files that a path means: itself, those of a folder of Parquet files, or those that a pattern matches.

    Raises:
        InputError: there are none, or their kind is unknown.
    """
    if any(mark in str(path) for mark in "*?["):
        files = sorted(_matching(str(path)))
        if not files:
            raise InputError(f"no file matches '{path}': check the pattern")
    elif (found := find(path)).is_dir():
        files = sorted(_parquet_files_below(found))
        if not files:
            raise InputError(f"the folder '{path}' holds no Parquet files: give one that does, or a file")
    else:
        files = [found]
    for file in files:
        if not file.name.lower().endswith(ENDINGS):
            raise InputError(f"cannot tell how to read '{file}': name it .csv, .tsv (either also .gz) or .parquet")
        if not file.is_file():
            raise InputError(f"'{file}' is a folder, a pipe or a device, not a file: save the rows to a file")
    return files


def read_table(
    files: Sequence[Path], missing_values: Sequence[str] = (), text_columns: Sequence[str] = ()
) -> pl.LazyFrame:
    """Read CSV, TSV (either may be gzipped) or Parquet, by the names' ending; several files one after the other.

    Columns of Parquet files are read only when they are collected. The delimiter of text (comma, semicolon, tab, bar)
    is the one most frequent in the first line; its encoding is UTF-8, UTF-16 if its first bytes say so, or else
    Windows-1252.

    Args:
        files: as `files_of` returns.
        missing_values: texts that stand for a missing cell, beside the empty cell and those in MISSING.
        text_columns: columns that stay text even if all of a CSV file's cells are numbers: 007 is not 7 there.

    Raises:
        InputError: a file cannot be read as what its name says, or has other columns than the first.
    """
    frames = [_read(file, missing_values, text_columns) for file in files]
    schemas = [frame.collect_schema() for frame in frames]
    for file, schema in zip(files, schemas, strict=True):
        if schema.names() != schemas[0].names():
            other = sorted({*schema.names()} ^ {*schemas[0].names()}) or ["the order"]
            raise InputError(f"'{file}' and '{files[0]}' have different columns ({other[0]}): make them alike")
    try:
        table = pl.concat(frames, how="vertical_relaxed") if len(frames) > 1 else frames[0]
        with panics.as_errors():
            num_rows = table.select(pl.len()).collect().item()
    except pl.exceptions.PolarsError as error:
        raise InputError(f"'{files[0]}' and the files after it do not fit together: {_reason(error)}") from error
    if num_rows == 0:
        raise InputError(f"'{files[0]}' has no rows: give at least one")
    return table


def _matching(pattern: str) -> list[Path]:
    for base in (Path.cwd(), ROOT):
        place = base / Path(pattern).expanduser()
        if found := [path for path in Path(place.anchor).glob(str(place.relative_to(place.anchor))) if path.is_file()]:
            return found
    return []


def _parquet_files_below(folder: Path) -> Iterator[Path]:
    num_entries = 0
    for place, folders, names in os.walk(folder, onerror=_raise):
        num_entries += len(folders) + len(names)
        if num_entries > MOST_ENTRIES:
            raise InputError(
                f"the folder '{folder}' holds more than {MOST_ENTRIES} files and folders: name the one below it that "
                "holds the Parquet files, or a pattern such as folder/*.parquet"
            )
        yield from (Path(place, name) for name in names if name.lower().endswith((".parquet", ".pq")))


def _raise(error: OSError) -> None:
    raise error


def _read(file: Path, missing_values: Sequence[str], text_columns: Sequence[str]) -> pl.LazyFrame:
    is_parquet = file.suffix.lower() in (".parquet", ".pq")
    try:
        with panics.as_errors():
            frame = _scan_parquet(file) if is_parquet else _read_text(file, missing_values, text_columns).lazy()
            names = frame.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError, EOFError, UnicodeError, zlib.error, csv.Error) as error:
        kind = "Parquet" if is_parquet else "text"
        raise InputError(f"cannot read '{file}' as {kind}: {_reason(error)}") from error
    if not names:
        raise InputError(f"'{file}' has no columns: give a table")
    for name in names:
        if len(name) > LONGEST_NAME:
            raise InputError(
                f"'{file}' has a column whose name has {len(name)} letters ('{shortened(name)}'), more than "
                f"{LONGEST_NAME}: rename it, and see whether the first line names the columns"
            )
        if name.startswith("^") and name.endswith("$"):  # for many methods of Polars
            raise InputError(f"'{file}' has a column called '{name}', which would be taken for a pattern: rename it")
    return frame


def _scan_parquet(file: Path) -> pl.LazyFrame:
    parquet.check(file)
    frame = pl.scan_parquet(file, glob=False)
    num_rows, size = frame.select(pl.len()).collect().item(), file.stat().st_size  # both without reading rows
    if num_rows > MOST_ROWS and num_rows > MOST_ROWS_A_BYTE * size:
        raise InputError(
            f"'{file}' claims {num_rows} rows, but has {size} bytes: it is damaged, or made to fill the memory"
        )
    return frame


def _read_text(file: Path, missing_values: Sequence[str], text_columns: Sequence[str]) -> pl.DataFrame:
    is_gzipped = file.name.lower().endswith(".gz")
    with gzip.open(file) if is_gzipped else file.open("rb") as stream:
        head = stream.read(65536)
        if b"\n" not in head:
            head += stream.readline(LONGEST_LINE)
    encoding = _encoding(head)
    first_line = head.decode(encoding, errors="replace").lstrip("\ufeff").partition("\n")[0].rstrip("\r")
    if not first_line.strip():
        raise InputError(f"'{file}' is empty, or its first line is: it should name the columns")
    separator = max(DELIMITERS, key=first_line.count)
    names = next(csv.reader([first_line], delimiter=separator), [])
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise InputError(f"'{file}' has two columns called '{shortened(twice)}': rename one of them")
    content = _decompressed(file) if is_gzipped else None
    read = partial(
        pl.read_csv,
        glob=False,
        separator=separator,
        encoding=encoding,
        decimal_comma=separator == ";",  # as spreadsheets write where the comma is the decimal mark
    )
    try:
        frame = read(
            content or file,
            null_values=[*MISSING, *missing_values],
            infer_schema_length=10_000,
            schema_overrides={name: pl.String for name in text_columns if name in names},
        )
    except pl.exceptions.ComputeError:  # a cell further down is of another type: left to the reader of cells
        frame = read(content or file, infer_schema=False)
    if len(names) == frame.width:
        frame.columns = names  # Polars leaves doubled quotes as they are
    return frame


def _decompressed(file: Path) -> bytes:
    content = BytesIO()
    with file.open("rb") as raw, gzip.open(raw) as stream:
        while part := stream.read(AT_ONCE):
            content.write(part)
            if content.tell() > MOST_DECOMPRESSED and content.tell() > MOST_GROWTH * raw.tell():
                raise InputError(
                    f"'{file}' grows to more than {MOST_GROWTH} times its size when it is decompressed, which could "
                    "fill the memory: decompress it yourself if you trust it, with gzip -dk"
                )
    return content.getvalue()


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise UnicodeError("it is a binary file")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut off
    except UnicodeDecodeError:
        return "cp1252"
    return "utf8"


def _reason(error: BaseException) -> str:
    if "found more fields" in str(error):
        return "a row has more cells than the first line, which should name the columns"
    if "new-line character seen" in str(error):
        return "its lines end with carriage returns alone, so write them with line feeds"
    return shortened(next(iter(str(error).splitlines()), ""), 200) or type(error).__name__
