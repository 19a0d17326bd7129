"""Reading a table from files."""

import codecs
import csv
import gzip
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl

from litmlp.data.cells import MISSING
from litmlp.errors import InputError
from litmlp.paths import ROOT, find

ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet", ".pq")
DELIMITERS = ",;\t|"


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
        files = sorted(file for ending in ("parquet", "pq") for file in found.rglob(f"*.{ending}"))
        if not files:
            raise InputError(f"the folder '{path}' holds no Parquet files: give one that does, or a file")
    else:
        files = [found]
    for file in files:
        if not file.name.lower().endswith(ENDINGS):
            raise InputError(f"cannot tell how to read '{file}': name it .csv, .tsv (either also .gz) or .parquet")
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


def _read(file: Path, missing_values: Sequence[str], text_columns: Sequence[str]) -> pl.LazyFrame:
    is_parquet = file.suffix.lower() in (".parquet", ".pq")
    kind = "Parquet" if is_parquet else "text"
    try:
        frame = (
            pl.scan_parquet(file, glob=False) if is_parquet else _read_text(file, missing_values, text_columns).lazy()
        )
        if not frame.collect_schema().names():
            raise InputError(f"'{file}' has no columns: give a table")
    except (pl.exceptions.PolarsError, OSError, EOFError, UnicodeError, zlib.error) as error:
        raise InputError(f"cannot read '{file}' as {kind}: {_reason(error)}") from error
    return frame


def _read_text(file: Path, missing_values: Sequence[str], text_columns: Sequence[str]) -> pl.DataFrame:
    is_gzipped = file.name.lower().endswith(".gz")
    with gzip.open(file) if is_gzipped else file.open("rb") as stream:
        head = stream.read(65536)
    encoding = _encoding(head)
    first_line = head.decode(encoding, errors="replace").lstrip("\ufeff").partition("\n")[0].rstrip("\r")
    if not first_line.strip():
        raise InputError(f"'{file}' is empty, or its first line is: it should name the columns")
    separator = max(DELIMITERS, key=first_line.count)
    names = next(csv.reader([first_line], delimiter=separator), [])
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"'{file}' has two columns called '{twice}': rename one of them")
    read = partial(
        pl.read_csv,
        source=gzip.decompress(file.read_bytes()) if is_gzipped else file,
        glob=False,
        separator=separator,
        encoding=encoding,
        decimal_comma=separator == ";",  # as spreadsheets write where the comma is the decimal mark
    )
    try:
        frame = read(
            null_values=[*MISSING, *missing_values],
            infer_schema_length=10_000,
            schema_overrides={name: pl.String for name in text_columns if name in names},
        )
    except pl.exceptions.ComputeError:  # a cell further down is of another type: left to the reader of cells
        frame = read(infer_schema=False)
    if len(names) == frame.width:
        frame.columns = names  # Polars leaves doubled quotes as they are
    return frame


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
    return next(iter(str(error).splitlines()), "") or type(error).__name__
