"""Rows that come from Python: frames of Polars or pandas, and dicts of arrays."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from litmlp.data.cells import shortened
from litmlp.errors import InputError

UNITS = ("D", "ms", "us", "ns")  # of moments, that Polars takes
PLAIN = "biufM"  # kinds of numpy's types that Polars takes as they are: truth, numbers, text, moments


def as_frame(rows: Any) -> pl.LazyFrame:
    """Return rows as a frame of Polars.

    Args:
        rows: a frame of Polars, a DataFrame of pandas, or a dict of arrays or lists of the same length.

    Raises:
        InputError: `rows` are something else, or columns differ in length or share a name.
    """
    if isinstance(rows, pl.LazyFrame):
        return rows
    if isinstance(rows, pl.DataFrame):
        return rows.lazy()
    columns: list[tuple[str, Any]]
    if isinstance(rows, Mapping):
        columns = [(str(name), values) for name, values in rows.items()]
    elif type(rows).__module__.partition(".")[0] == "pandas" and hasattr(rows, "columns"):
        columns = [(str(name), rows.iloc[:, place]) for place, name in enumerate(rows.columns)]
    else:
        raise InputError(
            f"rows are given as {type(rows).__name__}: give a file, a frame of Polars or pandas, or a dict of arrays"
        )
    names = [name for name, _ in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two columns are called '{shortened(twice[0])}': rename one of them")
    series = [_series(name, values) for name, values in columns]
    lengths = {len(one): one.name for one in series}
    if len(lengths) > 1:
        (first, some), (other, others), *_ = lengths.items()
        raise InputError(f"column '{some}' has {first} rows, but '{others}' has {other}: give columns of one length")
    return pl.LazyFrame(series)


def _series(name: str, values: Any) -> pl.Series:
    if isinstance(values, pl.Series):
        return values.alias(name)
    if hasattr(values, "dt") and getattr(values.dtype, "tz", None) is not None:  # of pandas: moments are in UTC
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    is_plain = isinstance(getattr(values, "dtype", None), np.dtype) and values.dtype.kind in PLAIN
    if is_plain:
        array = np.asarray(values)
        if array.ndim != 1:
            raise InputError(f"column '{shortened(name)}' is an array of {array.ndim} dimensions: give one of 1")
        is_coarse = array.dtype.kind == "M" and np.datetime_data(array.dtype)[0] not in UNITS
        return pl.Series(name, array.astype("datetime64[us]") if is_coarse else array)
    cells = [None if _is_missing(value) else value for value in values]
    try:
        return pl.Series(name, cells)
    except (TypeError, pl.exceptions.PolarsError):  # cells of several types
        return pl.Series(name, [None if value is None else str(value) for value in cells])


def _is_missing(value: Any) -> bool:
    # None, NaN, and pandas' NA and NaT, which compare to nothing as equal.
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")
