"""Reading a table from a file."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from litmlp.errors import InputError


def read_table(path: Path, missing_values: list[str]) -> pl.DataFrame:
    """Read CSV or Parquet, by the name's ending.

    Args:
        path: the file.
        missing_values: texts that stand for a missing cell, beside the empty cell.

    Raises:
        InputError: the file cannot be read as what its name says.
    """
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {".csv": _read_csv, ".parquet": _read_parquet}
    ending = path.suffix.lower()
    if ending not in readers or path.is_dir():
        raise InputError(f"cannot tell how to read '{path}': name it .csv or .parquet")
    try:
        frame = readers[ending](path)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read '{path}' as {ending[1:]}: {reason}") from error
    if len(frame) == 0:
        raise InputError(f"'{path}' has no rows: give at least one")
    return _with_types(_with_missing(frame, ["", *missing_values]))


def _read_csv(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, infer_schema=False, glob=False)


def _read_parquet(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, glob=False)


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
