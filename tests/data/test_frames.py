"""Rows from Python are read as the same rows of a file are."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import litmlp
from conftest import SMALL, compose_config
from litmlp import build
from litmlp.data import TableData
from litmlp.data import table as tables
from litmlp.data.frames import as_frame
from litmlp.errors import InputError

NUM_ROWS = 60
DAYS = [date(2024, 1 + index % 12, 1 + index % 28) for index in range(NUM_ROWS)]
ROWS = pl.DataFrame(
    {
        "size": [None if index % 7 == 0 else index / 4 for index in range(NUM_ROWS)],
        "count": [index % 5 for index in range(NUM_ROWS)],
        "colour": [None if index % 11 == 0 else "rgb"[index % 3] for index in range(NUM_ROWS)],
        "is_new": [index % 2 == 0 for index in range(NUM_ROWS)],
        "price": [f"{index},50 €" for index in range(NUM_ROWS)],
        "when": DAYS,
        "y": [0.5 * index for index in range(NUM_ROWS)],
    }
)
FORMS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda rows: rows,
    "lazy": lambda rows: rows.lazy(),
    "lists": lambda rows: rows.to_dict(as_series=False),
    "arrays": lambda rows: {name: rows[name].to_numpy() for name in rows.columns},
    "series": lambda rows: rows.to_dict(),
    "pandas": lambda rows: pd.DataFrame(rows.to_dict(as_series=False)),
    "pandas of numpy's types": lambda rows: pd.DataFrame({name: rows[name].to_numpy() for name in rows.columns}),
    "pandas with categories": lambda rows: pd.DataFrame(rows.to_dict(as_series=False)).astype(
        {"colour": "category", "count": "Int64", "size": "Float64", "is_new": "boolean", "when": "datetime64[ns]"}
    ),
}


def data_of(frame: Any = None, path: str | None = None, *overrides: str) -> TableData:
    given = ["data=table", f"data.path={path or 'null'}", "data.target=y", "task=regression", *SMALL]
    config = compose_config(*given, *overrides)
    data = build.data(config)
    assert isinstance(data, TableData)
    data.frame = frame
    data.setup()
    return data


@pytest.fixture
def of_file(tmp_path: Path) -> TableData:
    ROWS.write_parquet(tmp_path / "rows.parquet")
    return data_of(path=str(tmp_path / "rows.parquet"))


@pytest.mark.parametrize("form", FORMS)
def test_a_frame_is_learned_and_read_later_as_a_parquet_file_is(form: str, of_file: TableData):
    given = FORMS[form](ROWS)
    data = data_of(as_frame(given))
    assert data.inputs.decisions == of_file.inputs.decisions
    for split, expected in of_file.tables.items():
        torch.testing.assert_close(data.tables[split], expected, rtol=0, atol=0)
    later = FORMS[form](ROWS.reverse().drop("y"))
    expected = of_file.encode_rows(ROWS.reverse(), has_target=False)
    torch.testing.assert_close(of_file.encode_rows(later, has_target=False), expected, rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_cells_stay_what_they_are(form: str):
    frame = as_frame(FORMS[form](ROWS)).collect()
    assert frame.columns == ROWS.columns
    told = frame.with_columns(pl.col("when").cast(pl.Date), pl.col("count").cast(pl.Int64)).fill_nan(None)
    assert_frame_equal(told, ROWS)


def test_moments_with_a_zone_are_in_utc():
    moments = pd.Series(pd.to_datetime(["2024-07-01 12:00", "2024-01-01 12:00"])).dt.tz_localize("Europe/Berlin")
    utc = [datetime(2024, 7, 1, 10), datetime(2024, 1, 1, 11)]
    assert as_frame(pd.DataFrame({"when": moments})).collect()["when"].to_list() == utc


def test_cells_of_several_types_are_text():
    mixed = pd.DataFrame({"a": [1, "two", None, float("nan"), pd.NA, pd.NaT, 2.5]}, dtype=object)
    assert as_frame(mixed).collect()["a"].to_list() == ["1", "two", None, None, None, None, "2.5"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([1, 2], "rows are given as list: give a file, a frame of Polars or pandas, or a dict of arrays"),
        (np.zeros((2, 2)), "rows are given as ndarray"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a': rename one of them"),
        ({"a": [1, 2], "b": [1]}, "column 'a' has 2 rows, but 'b' has 1: give columns of one length"),
        ({"a": np.zeros((2, 3))}, "column 'a' is an array of 2 dimensions: give one of 1"),
        ({"a": np.array([["x", "z"]] * 3, dtype=object)}, "column 'a' is an array of 2 dimensions: give one of 1"),
        ({"a": torch.zeros(2, 3)}, "column 'a' is an array of 2 dimensions: give one of 1"),
        ({"a": np.array(5.0)}, "column 'a' is an array of 0 dimensions: give one of 1"),
        ({"a": "xyz"}, "column 'a' is of type str: give an array of 1 dimension, or a list"),
        ({"a": {3, 1, 2}}, "column 'a' is of type set: give an array of 1 dimension, or a list"),
        ({"a": 1.0}, "column 'a' is of type float: give an array of 1 dimension, or a list"),
        (pl.scan_csv("absent.csv"), "the lazy frame cannot be computed .*: correct its expressions"),
        (pl.LazyFrame({"a": [1]}).select("b"), "the lazy frame cannot be computed .*: correct its expressions"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_table_is_refused(rows: Any, said: str):
    with pytest.raises(InputError, match=said):
        as_frame(rows)


def test_a_lazy_frame_is_computed_once(tmp_path: Path):
    num_computed = 0

    def counted(frame: pl.DataFrame) -> pl.DataFrame:
        nonlocal num_computed
        num_computed += 1
        return frame.sample(fraction=1, shuffle=True)

    rows = pl.DataFrame(ROWS).lazy().map_batches(counted)
    with pytest.raises(InputError, match=r"there is no config key 'optimizer\.lrr'"):
        litmlp.train("data.target=y", "optimizer.lrr=1", frame=rows, folder=tmp_path / "run")
    assert num_computed == 0
    run = litmlp.train("data.target=y", "trainer=debug", *SMALL, frame=rows, folder=tmp_path / "run")
    assert num_computed == 1
    predicted = run.load().predict(rows, keep="y")
    assert num_computed == 2
    assert_frame_equal(predicted.sort("y"), run.load().predict(ROWS, keep="y"))


def test_a_masked_cell_is_missing():
    numbers = np.ma.masked_array([-999, 1], mask=[True, False])
    texts = np.ma.masked_array(["u", "v"], mask=[True, False])
    days = np.ma.masked_array(np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]"), mask=[False, True])
    frame = as_frame({"numbers": numbers, "texts": texts, "days": days}).collect()
    assert frame["numbers"].to_list() == [None, 1]
    assert frame["texts"].to_list() == [None, "v"]
    assert frame["days"].is_null().to_list() == [False, True]


def test_numbers_that_no_float_holds_are_infinite_text():
    frame = as_frame({"a": [10**400, 10**5000, 1]}).collect()
    assert [float(text) for text in frame["a"]] == [float("inf"), float("inf"), 1.0]


def test_cells_of_other_types_are_read_like_text():
    rows = pd.DataFrame(
        {
            "codes": pd.Categorical([1, 2, None]),
            "ranges": pd.cut(pd.Series([1.0, 5.0, 9.0]), [0, 4, 10]),
            "months": pd.period_range("2024-01", periods=3, freq="M"),
            "bytes": np.array([b"a", b"b", b"a"]),
            "long": np.array([1.5, 2.5, 3.5], dtype=np.longdouble),
        }
    )
    frame = as_frame(rows).collect()
    assert frame["codes"].cast(pl.Float64).to_list() == [1, 2, None]
    assert frame["ranges"].to_list() == ["(0, 4]", "(4, 10]", "(4, 10]"]
    assert frame["months"].to_list() == ["2024-01", "2024-02", "2024-03"]
    assert frame["bytes"].to_list() == ["a", "b", "a"]
    assert frame["long"].to_list() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize("key", ["val_path", "test_path"])
def test_a_frame_has_no_files_for_other_splits(key: str):
    with pytest.raises(InputError, match=rf"data\.{key} names a file, but the rows do not come from files: leave it"):
        data_of(ROWS, None, f"data.{key}=absent.csv")


class Doubled(TableData):
    """The rows of a file, with all numbers twice as large."""

    def rows(self) -> pl.DataFrame:
        assert self.path is not None
        return pl.read_parquet(self.path).with_columns(pl.col(pl.Float64) * 2)


def test_a_subclass_on_the_same_file_gets_its_own_rows(
    of_file: TableData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tables, "CACHED_FROM", 0)
    monkeypatch.setenv("LITMLP_CACHE", str(tmp_path / "cache"))
    kept = data_of(path=str(of_file.path))
    assert (tmp_path / "cache").is_dir()
    doubled = Doubled(path=str(of_file.path), target=["y"], target_type=type(kept.target), seed=kept.seed)
    doubled.setup()
    assert doubled.target.scaling.mean.item() == pytest.approx(2 * kept.target.scaling.mean.item())


def test_rows_of_a_frame_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables, "CACHED_FROM", 0)
    monkeypatch.setenv("LITMLP_CACHE", str(tmp_path / "cache"))
    data_of(ROWS)
    assert not (tmp_path / "cache").exists()


def test_no_rows_at_all_are_a_sentence():
    with pytest.raises(InputError, match=r"no rows are given: add data\.path=<a file>, or give a frame from Python"):
        data_of()
