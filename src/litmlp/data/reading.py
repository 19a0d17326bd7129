"""Reading a table from a file."""

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import polars as pl

from litmlp.errors import InputError

MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL"]


def read_table(path: Path, missing_values: list[str]) -> pl.DataFrame:
    """Read CSV, TSV (either may be gzipped) or Parquet, by the name's ending.

    The delimiter (comma, semicolon, tab, bar) is the one most frequent in the first line; text is UTF-8, UTF-16 if its
    first bytes say so, or else Windows-1252.

    Args:
        path: the file.
        missing_values: texts that stand for a missing cell, beside the empty cell and those in MISSING.

    Raises:
        InputError: the file cannot be read as what its name says.
    """
    kind = next((kind for kind in READERS if path.name.lower().removesuffix(".gz").endswith(f".{kind}")), None)
    if kind is None or path.is_dir():
        raise InputError(f"cannot tell how to read '{path}': name it .csv, .tsv, .csv.gz or .parquet")
    try:
        frame = READERS[kind](path)
    except (pl.exceptions.PolarsError, OSError, EOFError, UnicodeError, zlib.error) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read '{path}' as {kind}: {reason}") from error
    if len(frame) == 0:
        raise InputError(f"'{path}' has no rows: give at least one")
    return _with_types(_with_missing(frame, [*MISSING, *missing_values]))


def _read_csv(path: Path) -> pl.DataFrame:
    is_gzipped = path.name.lower().endswith(".gz")
    with gzip.open(path) if is_gzipped else path.open("rb") as file:
        head = file.read(65536)
    encoding = _encoding(head)
    first_line = head.decode(encoding, errors="replace").partition("\n")[0].rstrip("\r")
    separator = max(",;\t|", key=first_line.count)
    names = next(csv.reader([first_line], delimiter=separator), [])
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"'{path}' has two columns called '{twice}': rename one of them")
    source = io.BytesIO(gzip.decompress(path.read_bytes())) if is_gzipped else path
    return pl.read_csv(source, infer_schema=False, glob=False, separator=separator, encoding=encoding)


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


def _read_parquet(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, glob=False)


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "csv": _read_csv,
    "tsv": _read_csv,
    "parquet": _read_parquet,
}


def _with_missing(frame: pl.DataFrame, missing_values: list[str]) -> pl.DataFrame:
    is_missing = pl.col(pl.String).str.strip_chars().is_in(missing_values)
    return frame.with_columns(pl.when(~is_missing).then(pl.col(pl.String)).name.keep())


def _with_types(frame: pl.DataFrame) -> pl.DataFrame:
    # After missing cells are known: "NA" in a column of numbers must not turn it into text.
    return frame.with_columns(_narrowed(column) for column in frame.iter_columns())


def _narrowed(column: pl.Series) -> pl.Series:
    if column.dtype != pl.String or column.null_count() == len(column):
        return column
    for dtype in (pl.Int64, pl.Float64):
        numbers = column.str.strip_chars().cast(dtype, strict=False)
        if numbers.null_count() == column.null_count():
            return numbers
    return column
