"""Converts rows that are given in Python (frames of Polars or pandas, dicts of arrays) to a frame of Polars."""

import math
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import polars as pl

from litmlp.data.cells import shortened
from litmlp.errors import InputError

UNITS = ("D", "ms", "us", "ns")  # time units of NumPy that Polars accepts
PLAIN = "biufM"  # NumPy's codes of types that Polars accepts: bool, int, unsigned int, float, datetime


def as_frame(rows: Any) -> pl.LazyFrame:
    """Return rows as a frame of Polars.

    Args:
        rows: a frame of Polars, a DataFrame of pandas, or a dict of arrays or lists of the same length.

    Raises:
        InputError: `rows` has another type, a lazy frame cannot be computed, or columns differ in length, share a name
            or are not one-dimensional.
    """
    if isinstance(rows, pl.LazyFrame):
        # Computed once, here: each computation of a lazy frame may give another order of rows.
        try:
            return rows.collect().lazy()
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"the lazy frame cannot be computed ({reason}): correct its expressions") from error
    if isinstance(rows, pl.DataFrame):
        return rows.lazy()
    columns: list[tuple[str, Any]]
    if isinstance(rows, Mapping):
        columns = [(str(name), values) for name, values in rows.items()]
    elif type(rows).__module__.partition(".")[0] == "pandas" and hasattr(rows, "columns"):
        columns = [(str(name), rows.iloc[:, i]) for i, name in enumerate(rows.columns)]
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
        (first, name), (second, other_name), *_ = lengths.items()
        raise InputError(
            f"column '{name}' has {first} rows, but '{other_name}' has {second}: give columns of one length"
        )
    return pl.LazyFrame(series)


def _series(name: str, values: Any) -> pl.Series:
    if isinstance(values, pl.Series):
        return values.alias(name)
    if isinstance(values, np.ma.MaskedArray):
        return _series(name, values.data).set(pl.Series(np.ma.getmaskarray(values)), None)
    dtype = getattr(values, "dtype", None)
    if getattr(dtype, "tz", None) is not None:  # of pandas
        # Timestamps become UTC without a time zone, as everywhere in `cells`.
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping | Set):
        kind = type(values).__name__
        raise InputError(f"column '{shortened(name)}' is of type {kind}: give an array of 1 dimension, or a list")
    if (num_dimensions := getattr(values, "ndim", 1)) != 1:
        raise InputError(f"column '{shortened(name)}' is an array of {num_dimensions} dimensions: give one of 1")
    if isinstance(dtype, np.dtype) and dtype.kind in PLAIN:
        array = np.asarray(values)
        if array.dtype.itemsize > 8:  # a long double
            array = array.astype(np.float64)
        is_coarse = array.dtype.kind == "M" and np.datetime_data(array.dtype)[0] not in UNITS
        return pl.Series(name, array.astype("datetime64[us]") if is_coarse else array)
    cells = [None if _is_missing(value) else value for value in values]
    try:
        series = pl.Series(name, cells)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):  # the cells have several types
        series = pl.Series(name, cells, dtype=pl.Object)
    if series.dtype not in (pl.Object, pl.Binary):
        return series
    # Cells of a type that Polars does not know, such as pandas' intervals, are read like text.
    return pl.Series(name, [None if value is None else _as_text(value) for value in cells])


def _as_text(value: Any) -> str:
    try:
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    except ValueError:  # Python refuses to convert a whole number with thousands of digits, which no float holds either
        return "inf"


def _is_missing(value: Any) -> bool:
    # Tells whether a value is None, NaN, or pandas' NA or NaT. The last two are recognized by name, so that pandas is
    # not imported.
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")
