"""Each advice about a table is followed, as in `test_advice.py`: the mistake, the message, the advice, and it works.

`messages` collects what the code in `data/` says. One without a case here, or a line in `NOT_FOLLOWED`, fails the test.
"""

import csv
import gzip
import io
import os
import zipfile
from copy import deepcopy
from datetime import date
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import polars as pl
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from conftest import compose_config
from litmlp import build, cli
from litmlp.auto_task import with_task
from litmlp.cli import sentence
from litmlp.config_check import check
from litmlp.data import reading, targets, unpacked
from litmlp.data import table as tables
from test_advice import assert_said, messages

NUMBERS = list(range(40))
HALVES = [i / 2 for i in NUMBERS]
THOUSANDS = [f"{1000 + i:,}.5" for i in NUMBERS]
XY = {"x": NUMBERS, "y": HALVES}
INF = float("inf")
AB = ["a", "b"] * 20
DAYS = [f"2024-01-{1 + i % 28:02d}" for i in NUMBERS]
DATES = [date.fromisoformat(day) for day in DAYS]
SPLIT = ["train"] * 20 + ["val"] * 10 + ["test"] * 10
TABLE = ["data=table", "data.path=table.csv", "data.target=y"]
CLASSES = "task=classification"
CSV = b"x,y\n" + b"".join(b"%d,%d\n" % (i, i * 2) for i in NUMBERS)


class Try(NamedTuple):
    """What a user does: overrides, and files (columns, bytes, or None for a pipe), of which `rows.csv` comes later."""

    overrides: str
    files: dict[str, Any]
    cache_gb: str | None = None  # of LITMLP_CACHE_GB, where encoded rows are kept
    frame: Any = None  # rows that come later, from Python


def table(overrides: str = "", **columns: Any) -> Try:
    """A CSV file with the columns x and y, and others; None leaves one out."""
    return files(overrides, table_csv={name: cells for name, cells in {**XY, **columns}.items() if cells is not None})


def files(overrides: str, **contents: Any) -> Try:
    """Files, whose endings are written as `table_csv`."""
    return Try(overrides, {name.replace("_", "."): content for name, content in contents.items()})


def later(trained: Try, **columns: Any) -> Try:
    """Another file, which is read when training is over."""
    return trained._replace(files=trained.files | {"rows.csv": columns})


def odd(cell: Any, cells: list[Any] = NUMBERS) -> list[Any]:
    return [*cells[:7], cell, *cells[8:]]


def moments(first: int) -> pl.Series:
    return pl.Series([first, *range(39)], dtype=pl.Int64).cast(pl.Datetime("us"))


def parquet(overrides: str = "", **columns: Any) -> Try:
    return files(f"data.path=table.parquet {overrides}", table_parquet={**XY, **columns})


def packed(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, CSV)
    return file.getvalue()


A_CELL = "column '{}' should hold {}, but {}: correct the cell{}"
NO_COLUMN = "there is no column '{}': {}"
A_WEIGHT = (
    "column '{}' should hold weights from 0 up, but its row {} holds {}: correct the cell, or name another "
    "data.weight_column"
)
NO_WEIGHT = (
    "all rows of the {} split have weight 0 in data.weight_column '{}': give some of them a weight above 0, or change "
    "how the rows are split"
)
NO_CLASS_WEIGHT = (
    "all rows of the {} split have weight 0, because task.class_weights is 0 for all of their classes: give one of "
    "them a weight above 0"
)
CASES: list[tuple[Any, ...]] = [  # the message, a try that leads to it, and those that follow its advice
    # cache.py
    (
        "LITMLP_CACHE_GB is {} in the environment: set it to gigabytes, or leave it out",
        table()._replace(cache_gb="much"),
        table()._replace(cache_gb="1.5"),
        table()._replace(cache_gb=""),
    ),
    # cells.py
    (
        A_CELL,
        later(table(), x=odd("soon")),
        later(table(), x=NUMBERS),
        later(table("data.missing_values=[soon]"), x=odd("soon")),
        later(table("data.categorical=[x]"), x=odd("soon")),
        later(table("data.ignore=[x]", z=NUMBERS), x=odd("soon"), z=NUMBERS),
    ),
    (
        A_CELL,
        table("data.numeric=[x]", x=odd("soon")),
        table("data.missing_values=[soon] data.numeric=[x]", x=odd("soon")),
    ),
    (
        A_CELL,
        parquet(x=[*[INF] * 5, *HALVES[5:]]),
        parquet("data.missing_values=['inf']", x=[*[INF] * 5, *HALVES[5:]]),
    ),
    (
        A_CELL,
        table("task=regression", y=odd("soon")),
        table("task=regression"),
        table("task=regression data.missing_values=[soon]", y=odd("soon")),
        table("task=classification", y=AB),
    ),
    (
        A_CELL,
        table("data.weight_column=w", w=odd("soon", [1] * 40)),
        table("data.weight_column=w", w=[1] * 40),
    ),
    (
        A_CELL,
        later(table(t=["yes", "no"] * 20), x=[1, 2], t=["yes", "soon"]),
        later(table(t=["yes", "no"] * 20), x=[1, 2], t=["yes", "no"]),
        later(table("data.missing_values=[soon]", t=["yes", "no"] * 20), x=[1, 2], t=["yes", "soon"]),
        later(table("data.categorical=[t]", t=["yes", "no"] * 20), x=[1, 2], t=["yes", "soon"]),
        later(table("data.ignore=[t]", t=["yes", "no"] * 20), x=[1, 2], t=["yes", "soon"]),
    ),
    (
        A_CELL,
        later(table(t=DAYS), x=NUMBERS, t=odd("soon", DAYS)),
        later(table(t=DAYS), x=NUMBERS, t=DAYS),
        later(table("data.missing_values=[soon]", t=DAYS), x=NUMBERS, t=odd("soon", DAYS)),
        later(table("data.categorical=[t]", t=DAYS), x=NUMBERS, t=odd("soon", DAYS)),
        later(table("data.ignore=[t]", t=DAYS), x=NUMBERS, t=odd("soon", DAYS)),
    ),
    (A_CELL, table("data.time_column=t", t=odd("soon", DAYS)), table("data.time_column=t", t=DAYS)),
    (
        A_CELL,
        table("data.time_column=t", t=[f"2024d{i + 1:03}" for i in NUMBERS]),
        table("data.time_column=t data.date_format=%Yd%j", t=[f"2024d{i + 1:03}" for i in NUMBERS]),
    ),
    (
        "the numbers of column '{}' have different units, as in {} and {}: write them in one unit{}",
        table("data.numeric=[x]", x=odd("3 g", [f"{i} kg" for i in NUMBERS])),
        table("data.numeric=[x]", x=odd("3 kg", [f"{i} kg" for i in NUMBERS])),
        table("data.categorical=[x]", x=odd("3 g", [f"{i} kg" for i in NUMBERS]), z=NUMBERS),
        table("data.ignore=[x]", x=odd("3 g", [f"{i} kg" for i in NUMBERS]), z=NUMBERS),
    ),
    (
        "column '{}' has cells of type {}, which are neither numbers nor text nor dates: write them as such, or leave "
        "the column out",
        parquet("data.categorical=[z]", z=[[i] for i in NUMBERS]),
        parquet("data.categorical=[z]", z=NUMBERS),
        parquet("data.ignore=[z]", z=[[i] for i in NUMBERS]),
    ),
    (
        "column '{}' holds a date outside the years 1 to 9999 in its row {}: correct the cell, or add the "
        "column to data.ignore if it is an input",
        parquet(t=moments(2**62)),
        parquet(t=moments(5)),
        parquet("data.ignore=[t]", t=moments(2**62)),
    ),
    # encoding.py
    ("no column beside the target can be an input ({}): give one", table(x=None), table()),
    (
        "the column '{}' that the network was trained on is missing: add it, or rename the one of {} that holds it",
        later(table(width=NUMBERS), x=[1], widht=[2]),
        later(table(width=NUMBERS), x=[1], widht=[2], width=[2]),
        later(table(width=NUMBERS), x=[1], width=[2]),
    ),
    # reading.py
    ("{} has no rows: give at least one", later(table(), x=[]), later(table(), x=[1])),
    ("{} has no columns: give a table", files("data.path=table.parquet", table_parquet={}), parquet()),
    ("'{}' is empty: give a table", files("", table_csv=b"\n"), files("", table_csv=CSV)),
    (
        "'{}' has two columns called {}: rename one of them",
        files("", table_csv=CSV.replace(b"x,y", b"y,y")),
        files("", table_csv=CSV),
    ),
    ("no file matches '{}': check the pattern", table("data.path=tabel*.csv"), table("data.path=tab*.csv")),
    (
        "'{}' is a page for browsers, not a table: download the table itself",
        files("", table_csv=b"<!doctype html><html>"),
        files("", table_csv=CSV),
    ),
    (
        "'{}' packs {} files, not one: unpack it, and name the table's file",
        files("data.path=table.zip", table_zip=packed("a.csv", "b.csv")),
        files("data.path=a.csv", a_csv=CSV),
        files("data.path=table.zip", table_zip=packed("a.csv")),
    ),
    (
        "'{}' is not written in {} ({}): name its encoding, such as data.encoding=latin-1",
        files("data.encoding=utf-8", table_csv=CSV.replace(b"x", b"\xe9")),
        files("data.encoding=latin-1", table_csv=CSV.replace(b"x", b"\xe9")),
    ),
    (
        "line {} of '{}' {}: correct it, or add data.damaged_rows=repair or data.damaged_rows=skip",
        files("", table_csv=CSV + b"1,2,3\n"),
        files("", table_csv=CSV),
        files("data.damaged_rows=repair", table_csv=CSV + b"1,2,3\n"),
        files("data.damaged_rows=skip", table_csv=CSV + b"1,2,3\n"),
    ),
    (
        "the decimal mark is '{}' according to data.decimal, data.thousands or the checkpoint, but column '{}' holds "
        "{}: write all numbers in the same way, or leave these keys out",
        table("data.decimal=,", x=HALVES),
        table("data.decimal=,", y=NUMBERS),
        table("", x=HALVES),
    ),
    (
        "the thousands separator is {} according to data.thousands or the checkpoint, but column '{}' holds {}: write "
        "all numbers in the same way, or leave data.thousands out",
        table("data.thousands=_", x=THOUSANDS),
        table("data.thousands=_", x=[number.replace(",", "_") for number in THOUSANDS]),
        table("", x=THOUSANDS),
    ),
    (
        "{} names {} columns, but '{}' has {}: give as many",
        files("data.header=[x,y,z]", table_csv=CSV),
        files("data.header=[x,y]", table_csv=CSV),
    ),
    (
        "'{}' is a folder, a pipe or a device, not a file: save the rows to a file",
        files("", table_csv=None),
        files("", table_csv=CSV),
    ),
    (
        "'{}' and '{}' have different columns ({}): give them the same columns, or select files with a pattern, such "
        "as folder/*.csv",
        files("data.path=*.parquet", a_parquet=XY, b_parquet={**XY, "z": NUMBERS}),
        files("data.path=*.parquet", a_parquet=XY, b_parquet=XY),
        files("data.path=a*.parquet", a_parquet=XY, b_parquet={**XY, "z": NUMBERS}),
    ),
    (
        "the folder '{}' holds Parquet files ('{}') and text ('{}'): say which are meant with a pattern, such as "
        "'{}/**/*{}'",
        Try("data.path=some", {"some/deep/table.parquet": XY, "some/notes.txt": CSV}),
        Try("data.path=some/**/*.parquet", {"some/deep/table.parquet": XY, "some/notes.txt": CSV}),
    ),
    (
        "the folder '{}' holds more than {} files and folders: name the one below it that holds the table's files, or "
        "a pattern such as folder/*.parquet",
        Try("data.path=all", {"all/some/a.parquet": XY, **{f"all/{i}.txt": b"" for i in NUMBERS}}),
        Try("data.path=all/some", {"all/some/a.parquet": XY, **{f"all/{i}.txt": b"" for i in NUMBERS}}),
        Try("data.path=all/*.parquet", {"all/a.parquet": XY, **{f"all/{i}.txt": b"" for i in NUMBERS}}),
    ),
    ("cannot read '{}' as {}: {}", files("", table_csv=b"PAR1"), files("", table_csv=CSV)),
    ("cannot read '{}' as text: it is a binary file", files("", table_csv=bytes(range(256))), files("", table_csv=CSV)),
    (
        "{} has a column whose name has {} characters ('{}'), more than {}: rename it, and see whether the first line "
        "names the columns",
        table(**{"z" * 600: NUMBERS}),
        table(z=NUMBERS),
    ),
    (
        "{} has a column called '{}', which would be taken for a pattern: rename it",
        table(**{"^z$": NUMBERS}),
        table(z=NUMBERS),
    ),
    (
        "the folder '{}' holds no tables, such as .csv or .parquet: give one that does",
        Try("data.path=some", {"some/table.log": CSV}),
        Try("data.path=some", {"some/table.parquet": XY}),
        Try("data.path=some", {"some/table.csv": XY}),
    ),
    (
        "'{}' grows to more than {} times its size when it is decompressed, which could fill the memory: decompress it "
        "yourself if you trust it",
        files("data.path=table.csv.gz", table_csv_gz=gzip.compress(CSV + b"\n" * 100_000)),
        files("data.path=table.csv", table_csv=CSV),
    ),
    (
        "line {} of '{}', which names the columns, {}: correct it, or give other names with data.header=[...] and "
        "data.skip_rows={}",
        files("data.target=b", table_csv=b'a,,"b","c"\n' + b"1,2,3\n" * 9),
        files("data.target=b", table_csv=b'a,"b","c"\n' + b"".join(b"%d,%d,%d\n" % (i, i % 5, i) for i in NUMBERS)),
        files(
            "data.header=[a,b,c] data.skip_rows=1 data.target=b",
            table_csv=b'a,,"b","c"\n' + b"".join(b"%d,%d,%d\n" % (i, i % 5, i) for i in NUMBERS),
        ),
    ),
    (
        "no row of data.{} has a target: give a file with rows that do",
        files("data.test_path=test.csv", table_csv=CSV, test_csv=b"x,y\n1,\n2,\n"),
        files("data.test_path=test.csv", table_csv=CSV, test_csv=b"x,y\n1,1\n2,2\n"),
    ),
    (
        "column '{}' holds {}, which may be {} or {}: write dates as 2024-12-31, or say which with data.date_format",
        later(parquet(d=DATES), x=[1, 2], d=["03/04/2024", "03/05/2024"]),
        later(parquet(d=DATES), x=[1, 2], d=["2024-12-31", "2024-12-30"]),
    ),
    (
        "column '{}' holds {}, but held {} when the network was trained: write it in the same way",
        later(parquet("data.numeric=[d]", d=DATES), x=[1, 2], d=[3, 4]),
        later(parquet(d=DATES), x=[1, 2], d=["2024-12-31", "2024-12-30"]),
    ),
    # scaling.py, splits.py
    ("scaling is '{}': {}", table("data.scaling=quantiles"), table("data.scaling=quantile")),
    (
        "data.group_column has {} different groups, but no group may be on two sides of the split: give {} or more "
        "groups",
        table("data.group_column=g", g=AB),
        table("data.group_column=g", g=[i % 3 for i in NUMBERS]),
    ),
    (
        "data.group_column has {} different groups, but no group may be on two sides of the split: give {} or more "
        "groups",
        table("data.group_column=g data.folds=4", g=AB),
        table("data.group_column=g data.folds=4", g=[i % 4 for i in NUMBERS]),
    ),
    (
        "the split column '{}' holds {}: its cells must say train, val or test",
        table("data.split_column=s", s=odd("tset", SPLIT)),
        table("data.split_column=s", s=SPLIT),
    ),
    (
        "val_fold={}, but with val_size={} there are {} disjoint validation sets: give a number from 0 to {}",
        table("data.val_fold=5"),
        table("data.val_fold=4"),
    ),
    (
        "data.val_fold is {}, but {} already says which rows are for validation: leave data.val_fold out",
        table("data.split_column=s data.val_fold=1", s=SPLIT),
        table("data.split_column=s", s=SPLIT),
    ),
    (
        "data.group_column has {} groups of training rows, too few for {} validation sets: leave data.val_fold out, or "
        "raise data.val_size",
        table("data.group_column=g data.val_fold=1", g=[i % 5 for i in NUMBERS]),
        table("data.group_column=g", g=[i % 5 for i in NUMBERS]),
        table("data.group_column=g data.val_fold=1 data.val_size=0.4", g=[i % 5 for i in NUMBERS]),
    ),
    (
        "data.train_rows is {}, but there are {} training rows: give that or less",
        table("data.train_rows=39"),
        table("data.train_rows=26"),
        table("data.train_rows=5"),
    ),
    (
        "folds={} and fold={}: give 2 or more folds, and a fold from 0 to folds - 1",
        table("data.folds=1"),
        table("data.folds=2 data.fold=0"),
        table("data.folds=2 data.fold=1"),
    ),
    (
        "the {} split has {} of {} rows, but needs 2 or more: give more rows, or change how they are split",
        table("data.val_size=0.02"),
        table("data.val_size=0.02", x=NUMBERS * 4, y=HALVES * 4),
        table("data.val_size=0.2"),
    ),
    # table.py
    (
        "the time column '{}' holds no time in its row {}: leave the row out, or fill it",
        table("data.time_column=t", t=odd(None, DAYS)),
        table("data.time_column=t", x=NUMBERS[1:], y=HALVES[1:], t=DAYS[1:]),
        table("data.time_column=t", t=DAYS),
    ),
    ("data.damaged_rows is {}: {}", table("data.damaged_rows=mend"), table("data.damaged_rows=repair")),
    (
        "data.date_format cannot be used: {}",
        table("data.date_format=soon"),
        table("data.date_format=%d.%m.%Y", t=["01.02.2024", "02.02.2024"] * 20),
    ),
    (
        "data.date_format is {}, but no input column follows it{}: correct it, or leave it out",
        table("data.date_format=%d.%m.%Y", t=["01/02/2024", "02/02/2024"] * 20),
        table("data.date_format=%d/%m/%Y", t=["01/02/2024", "02/02/2024"] * 20),
        table("", t=["01/02/2024", "02/02/2024"] * 20),
    ),
    ("data.decimal is {}: use '.' or ','", table("data.decimal=;"), table("data.decimal=.", x=HALVES)),
    (
        "data.delimiter is {}, but '{}' does not contain it: leave data.delimiter out",
        table("data.delimiter=|"),
        table(),
    ),
    ("data.{} is {}: give one character", table("data.quote=xx"), table("data.quote=z")),
    (
        "data.encoding is {}, which is no encoding that Python knows: use utf-8, or cp1252",
        table("data.encoding=klingon"),
        table("data.encoding=utf-8"),
        table("data.encoding=cp1252"),
    ),
    (
        "data.header names a column twice: give different names",
        files("data.header=[y,y]", table_csv=CSV),
        files("data.header=[x,y]", table_csv=CSV),
    ),
    ("data.skip_rows is {}, but '{}' has {} lines: give less", table("data.skip_rows=100"), table("data.skip_rows=0")),
    ("data.skip_rows is {}: give a number from 0 up", table("data.skip_rows=-1"), table("data.skip_rows=0")),
    (
        "data.thousands is {}, as is the decimal mark: give another data.decimal",
        table("data.thousands=. data.decimal=."),
        table("data.thousands=. data.decimal=,", y=NUMBERS),
    ),
    (
        "data.thousands is {}: give one mark, or nothing at all",
        table("data.thousands=,,"),
        table("data.thousands=,"),
        table(),
    ),
    (
        "data.{} and data.{} each split the rows: give one of them",
        table("data.split_column=s data.time_column=t", s=SPLIT, t=DAYS),
        table("data.split_column=s", s=SPLIT, t=DAYS),
        table("data.time_column=t", s=SPLIT, t=DAYS),
    ),
    (NO_COLUMN, table("data.ignore=[widht]", width=NUMBERS), table("data.ignore=[width]", width=NUMBERS)),
    (NO_COLUMN, table("data.time_column=wen", when=DAYS), table("data.time_column=when", when=DAYS)),
    (
        "column '{}' is in {} and in {}: leave it in one of them",
        table("data.numeric=[x] data.categorical=[x]"),
        table("data.numeric=[x]"),
        table("data.categorical=[x]", x=AB),
    ),
    # tabular.py
    (
        "no row has a value in the target {}: give rows that do",
        table("task=regression", y=[None] * 40),
        table("task=regression", y=[*[None] * 10, *NUMBERS[10:]]),
    ),
    (
        A_WEIGHT,
        table("data.weight_column=w", w=odd(-1)),
        table("data.weight_column=w", w=NUMBERS),
        table("data.weight_column=v", w=odd(-1), v=NUMBERS),
    ),
    (
        "there is no target column '{}': {}",
        table("task=regression data.target=widht", width=NUMBERS),
        table("task=regression data.target=width", width=NUMBERS),
    ),
    (
        NO_WEIGHT,
        table("data.weight_column=w data.split_column=s", s=SPLIT, w=[int(s != "val") for s in SPLIT]),
        table("data.weight_column=w data.split_column=s", s=SPLIT, w=odd(1, [1] * 40)),
        table("data.weight_column=w", s=SPLIT, w=[int(s != "val") for s in SPLIT]),
    ),
    # targets.py
    (
        "target_transform is '{}': {}",
        table("data.target_transform=log"),
        table("data.target_transform=log1p"),
    ),
    (
        "the target '{}' holds a number in its row {} that is more than {} standard deviations of the training rows "
        "from their mean: correct the cell",
        later(table(), x=[1, 2], y=[3, 1e20]),
        later(table(), x=[1, 2], y=[3, 1e2]),
    ),
    (
        "the target '{}' holds {} in its row {}, too much to be squared: correct the cell, or give the target in a "
        "unit in which it is below {}",
        table(y=[i * 1e150 for i in NUMBERS]),
        table(y=[i * 1e120 for i in NUMBERS]),
        table(),
    ),
    (
        "the target '{}' holds {} in its row {}, but target_transform=log1p needs numbers from 0 up: leave it out, or "
        "correct the cell",
        table("data.target_transform=log1p", y=odd(-0.5)),
        table("", y=odd(-0.5)),
        table("data.target_transform=log1p", y=odd(0.5)),
    ),
    (
        "target_transform={} is for numbers, but the task has classes: leave it out",
        table(f"{CLASSES} data.target_transform=log1p", y=AB),
        table(CLASSES, y=AB),
    ),
    (
        "the target '{}' holds fractions, not classes: use task=regression",
        table(CLASSES),
        table("task=regression"),
    ),
    (
        "the target '{}' has a single class, {}, in the training rows: classification needs two or more",
        table(CLASSES, y=["a"] * 40),
        table(CLASSES, y=AB),
    ),
    (
        "the target '{}' holds the class {}, which is not among the training rows' classes: {}",
        later(table(CLASSES, y=["apple", "pear"] * 20), x=[1, 2], y=["apple", "pera"]),
        later(table(CLASSES, y=["apple", "pear"] * 20), x=[1, 2], y=["apple", "pear"]),
    ),
    (
        "the target '{}' holds {} classes in {} rows, whose scores would fill the memory: join classes until there are "
        "{} or fewer, or take another data.target",
        table(CLASSES, x=NUMBERS * 10, y=[i % 30 for i in range(400)], z=AB * 10),
        table(CLASSES, x=NUMBERS * 10, y=[i % 20 for i in range(400)], z=AB * 10),
        table(f"{CLASSES} data.target=z", x=NUMBERS * 10, y=[i % 30 for i in range(400)], z=AB * 10),
    ),
    (
        "the target '{}' holds {} different values in {} rows, too many to be classes: use task=regression if they are "
        "numbers, or choose another data.target",
        table(CLASSES, y=NUMBERS, z=AB),
        table("task=regression", y=NUMBERS, z=AB),
        table(f"{CLASSES} data.target=z", y=NUMBERS, z=AB),
    ),
    (
        "the class {} of the target '{}' has a single row{}, too few to learn and to test: leave it out, or join "
        "classes",
        table(CLASSES, y=odd("c", AB)),
        table(CLASSES, x=NUMBERS[1:], y=AB[1:]),
        table(CLASSES, y=odd("a", AB)),
    ),
    (
        "the target '{}' varies by only {}, too little to be squared: give it in another unit",
        table(y=[i * 1e-150 for i in NUMBERS]),
        table(),
    ),
    # of the task, for the rows of a split
    (
        NO_CLASS_WEIGHT,
        table(f"{CLASSES} task.class_weights=[0,1] data.split_column=s", s=SPLIT, y=[*AB[:20], *"a" * 10, *AB[:10]]),
        table(f"{CLASSES} task.class_weights=[0.5,1] data.split_column=s", s=SPLIT, y=[*AB[:20], *"a" * 10, *AB[:10]]),
    ),
]
CASES += [  # frames.py, and rows that nobody gave
    (
        "rows are given as {}: give a file, a frame of Polars or pandas, or a dict of arrays",
        table()._replace(frame=[[1, 2]]),
        table()._replace(frame={"x": [1, 2]}),
        table()._replace(frame=pl.DataFrame({"x": [1, 2]})),
    ),
    (
        "two columns are called '{}': rename one of them",
        table()._replace(frame={1: [1], "1": [2], "x": [3]}),
        table()._replace(frame={1: [1], "2": [2], "x": [3]}),
    ),
    (
        "column '{}' has {} rows, but '{}' has {}: give columns of one length",
        table()._replace(frame={"x": [1, 2], "z": [1]}),
        table()._replace(frame={"x": [1, 2], "z": [1, 2]}),
    ),
    (
        "column '{}' is an array of {} dimensions: give one of 1",
        *(table()._replace(frame={"x": cells}) for cells in (np.zeros((2, 1)), np.zeros(2))),
    ),
    (
        "column '{}' is of type {}: give an array of 1 dimension, or a list",
        *(table()._replace(frame={"x": cells}) for cells in (0.5, np.zeros(2), [0.0, 1.0])),
    ),
    (
        "the lazy frame cannot be computed ({}): correct its expressions",
        *(table()._replace(frame=pl.LazyFrame({"x": [1, 2]}).select(name)) for name in ("y", "x")),
    ),
    ("no rows are given: add data.path=<a file>, or give a frame from Python", Try("data.path=null", {}), table()),
]
NOT_FOLLOWED = {  # the message: why no advice can be followed here
    "cannot read column '{}': {}": "what comes after the colon is the reason",
    "cannot read {} as one table: {}": "what comes after the colon is the reason",
    "'{}' claims {} rows, but has {} bytes: it is damaged, or made to fill the memory": (
        "what comes after the colon is the reason"
    ),
    "column '{}' has cells of type {}, which cannot be read as asked ({}): add it to data.ignore": (
        "no type is known that Polars cannot read so"
    ),
    "encoded rows are not kept, for %s cannot be written: %s": "what comes after the colon is the reason",
    "data.{} names a file, but the rows do not come from files: leave it out, or name a column that gives the split of "
    "each row as data.split_column": "test_api.py makes that mistake",
}


def test_each_message_in_the_code_has_a_case_here():
    assert _found() - _here() == set()


def test_each_case_here_is_of_a_message_in_the_code():
    assert _here() - _found() == set()


def _found() -> set[str]:
    return {*messages(lambda file: file.startswith("data/")), NO_CLASS_WEIGHT}


def _here() -> set[str]:
    return {message for message, *_ in CASES} | NOT_FOLLOWED.keys()


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ENTRIES", 20)
    monkeypatch.setattr(unpacked, "MAX_UNPACKED", 10_000)
    monkeypatch.setattr(targets, "MAX_CLASSES", 20)
    monkeypatch.setattr(targets, "MAX_SCORES", 10_000)


@pytest.mark.parametrize("case", CASES, ids=[message for message, *_ in CASES])
def test_who_follows_an_advice_about_a_table_succeeds(
    case: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    message, wrong, *rights = case
    with pytest.raises(Exception) as refused:  # noqa: PT011  # also what a constructor refuses
        do(wrong, tmp_path / "wrong", monkeypatch)
    assert_said(message, sentence(refused.value), str(rights))
    for number, right in enumerate(rights):
        do(right, tmp_path / f"right_{number}", monkeypatch)


def do(a_try: Try, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the files in a new folder, check the config, read the table, and then the other file if there is one."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, content in a_try.files.items():
        write(Path(name), content)
    if a_try.cache_gb is not None:
        monkeypatch.setattr(tables, "CACHED_FROM", 0)
        monkeypatch.setenv("LITMLP_CACHE", "cache")
        monkeypatch.setenv("LITMLP_CACHE_GB", a_try.cache_gb)
    config = with_task(configured(a_try.overrides))
    check(config)
    data = build.data(config)
    data.setup()
    if (rows := a_try.files.get("rows.csv")) is not None:
        data.encode_rows("rows.csv", has_target="y" in rows)
    if a_try.frame is not None:
        data.encode_rows(a_try.frame, has_target=False)
    task = build.task(config, data.spec)
    with mock.patch.object(type(task), "trainer", SimpleNamespace(datamodule=data)):
        task.setup("fit")


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        os.mkfifo(file)
    elif isinstance(content, bytes):
        file.write_bytes(content)
    elif file.suffix == ".parquet":
        pl.DataFrame(content).write_parquet(file)
    else:
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows([list(content), *zip(*content.values(), strict=True)])


def configured(overrides: str) -> dict[str, Any]:
    """Compose a config; as that takes time, its parts only once for all cases, and single values are set here."""
    typed = overrides.split()
    parts = [part for part in typed if "." not in part.partition("=")[0]]
    table = [] if any(part.startswith("data=") for part in parts) else TABLE
    config = deepcopy(composed(*table, *parts))
    values = [cli.normalized(value, open_keys=True) for value in typed if value not in parts]
    for value in OverridesParser.create().parse_overrides(values):
        group, name = value.key_or_group.split(".")
        config[group][name] = value.value()
    return config


composed = cache(compose_config)
