"""Rows from a file."""

import hashlib
import json
from itertools import combinations
from pathlib import Path

import numpy as np
from polars import Int64, LazyFrame, Series

from litmlp.data.cells import DATE_FORMATS, Numbers, as_dates, as_levels, as_numbers, date_format, is_text, number_style
from litmlp.data.columns import Column, DateColumn
from litmlp.data.encoding import collected
from litmlp.data.kinds import LEFT_OUT, kind_of
from litmlp.data.reading import files_of, read_table
from litmlp.data.splits import Rows, column_split, group_split, time_split
from litmlp.data.tabular import TabularData
from litmlp.data.targets import Target
from litmlp.errors import InputError, did_you_mean

CACHED_FROM = 32 * 2**20  # bytes of files; smaller ones are read and encoded in a second
CACHE_VERSION = 2  # of the encoding: raise it where the same settings give other rows than before


class TableData(TabularData):
    """A table in a CSV or Parquet file, or in several Parquet files.

    What a column is follows from its cells: numbers, dates, truth values, levels; columns with the same value in all
    rows are left out, as are identifiers. `inputs.decisions` tells what was found, and the lists below correct it.

    Args:
        path: the file, a folder of Parquet files, or a pattern; as seen from the current folder or from the project.
        target: name of the target column, or of several for regression.
        target_type: the kind of target that the task learns; passed in when a run is built.
        target_transform: `none`, or `log1p` to learn the logarithm of 1 + the target.
        numeric: columns to read as numbers, whatever they look like.
        categorical: columns to read as levels, whatever they look like.
        date: columns to read as dates, whatever they look like.
        ignore: columns to leave out.
        missing_values: texts that stand for a missing cell, beside the empty cell, NA, N/A, NaN and null.
        min_count: training rows in which a level, or a missing cell, must occur to be learned by itself; rarer levels
            are taken together.
        split_column: a column that says `train`, `val` or `test`; `test_size` then means nothing, and
            `val_size` is the share of the training rows where no row says `val`.
        group_column: a column whose rows of the same value stay on one side of the split.
        time_column: a column of dates or numbers; later rows validate, the latest test.
        weight_column: a column of numbers from 0 up: how much each row counts in the loss.
        scaling: of numeric inputs: `standard`, `robust` or `quantile`.
        batch_size: rows a step, in each process.
        val_size: share of the rows for validation.
        test_size: share of the rows for the test.
        folds: parts of the rows, each of which can be the test; `test_size` then means nothing.
        fold: the part that is the test now, from 0 up.
        seed: of the split and of the order of training rows.
        train_rows: how many of the training rows are used, as many of each class alike; all if None.
    """

    def __init__(
        self,
        path: str,
        target: str | list[str],
        target_type: type[Target],
        target_transform: str = "none",
        numeric: list[str] | None = None,
        categorical: list[str] | None = None,
        date: list[str] | None = None,
        ignore: list[str] | None = None,
        missing_values: list[str] | None = None,
        min_count: int = 3,
        split_column: str | None = None,
        group_column: str | None = None,
        time_column: str | None = None,
        weight_column: str | None = None,
        scaling: str = "quantile",
        batch_size: int = 256,
        val_size: float = 0.16,
        test_size: float = 0.2,
        folds: int | None = None,
        fold: int = 0,
        seed: int = 0,
        train_rows: int | None = None,
    ) -> None:
        split = (val_size, test_size, folds, fold, seed, train_rows)
        super().__init__(target, target_type, target_transform, scaling, batch_size, *split)
        self.path = path
        self.asked_for = {
            "numeric": list(numeric or []),
            "categorical": list(categorical or []),
            "date": list(date or []),
        }
        self.ignore = list(ignore or [])
        self.missing_values = list(missing_values or [])
        self.min_count = min_count
        self.split_column = split_column
        self.group_column = group_column
        self.time_column = time_column
        self.weight_column = weight_column
        self._check_lists()

    def read(self) -> LazyFrame:
        """Return all rows."""
        return read_table(files_of(self.path), self.missing_values, self.asked_for["categorical"])

    def candidates(self, names: list[str]) -> list[str]:
        """Return all columns but those that are left out by name, or have another part to play."""
        listed = [*self.ignore, *(name for asked in self.asked_for.values() for name in asked)]
        for name in [*listed, *self._roles()]:
            if name not in names:
                raise InputError(f"there is no column '{name}': {did_you_mean(name, names)}")
        taken = {*self.ignore, *self.target.columns, *self._roles()} - {self.time_column}
        return [name for name in names if name not in taken]

    def column(self, cells: Series) -> tuple[Column | None, str]:
        """Follow what was asked for, or else the cells."""
        asked = next((kind for kind, names in self.asked_for.items() if cells.name in names), None)
        if asked is not None and cells.null_count() < len(cells):
            return self.new_column(asked, cells.name, self._written(asked, cells)), ""
        kind = kind_of(cells, self.missing_values)
        if kind.name == LEFT_OUT:
            return None, kind.reason
        if cells.name == self.time_column:  # later rows have moments that training has not seen, but months that it has
            is_date = kind.name == DateColumn.kind
            column = (
                DateColumn(cells.name, self.scaling, kind.written, self.min_count, has_trend=False) if is_date else None
            )
            return column, "it orders the rows"
        return self.new_column(kind.name, cells.name, kind.written), kind.reason

    def split(self, frame: LazyFrame, usable: np.ndarray, strata: np.ndarray | None) -> Rows:
        """Follow the column that splits, groups or orders the rows, if there is one."""
        for name in self._roles():
            if name not in (names := frame.collect_schema().names()):
                raise InputError(f"there is no column '{name}': {did_you_mean(name, names)}")
        if self.split_column is not None:
            column = as_levels(self._usable(frame, self.split_column, usable), self.missing_values)
            return column_split(column, self.split_column, self.shares.val, self.seed, strata)
        if self.group_column is not None:
            groups = as_levels(self._usable(frame, self.group_column, usable), self.missing_values)
            return group_split(groups.codes, self.shares, self.seed)
        if self.time_column is not None:
            return time_split(self._moments(frame, self.time_column)[usable], self.shares)
        return super().split(frame, usable, strata)

    def cache_key(self) -> str | None:
        """Return a digest of content and settings of a large table."""
        files = files_of(self.path)
        if sum(file.stat().st_size for file in files) < CACHED_FROM:
            return None
        settings = {
            **{name: getattr(self, name) for name in ("asked_for", "ignore", "missing_values", "min_count")},
            **{name: getattr(self, name) for name in ("split_column", "group_column", "time_column", "weight_column")},
            **{"target": [type(self.target).__name__, self.target.columns, self.target.transform]},
            **{"scaling": self.scaling, "shares": self.shares, "seed": self.seed, "version": CACHE_VERSION},
            **{"train_rows": self.train_rows},
            **{"files": [fingerprint(file) for file in files]},
        }
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32]

    def _roles(self) -> list[str]:
        roles = (self.split_column, self.group_column, self.time_column, self.weight_column)
        return [name for name in roles if name is not None]

    def _usable(self, frame: LazyFrame, name: str, usable: np.ndarray) -> Series:
        return collected(frame, [name])[name][usable]

    def _moments(self, frame: LazyFrame, name: str) -> np.ndarray:
        cells = collected(frame, [name])[name]
        if cells.dtype.is_numeric():
            moments = as_numbers(cells, self.missing_values)
        else:
            dates = as_dates(cells, self.missing_values, DATE_FORMATS)
            moments = Numbers(dates.cast(Int64).fill_null(0).to_numpy(), dates.is_null().to_numpy())
        if moments.is_missing is not None and moments.is_missing.any():
            row = int(np.argmax(moments.is_missing))
            raise InputError(
                f"the time column '{name}' holds no time in its row {row + 1}: leave the row out, or fill it"
            )
        return moments.values

    def _written(self, kind: str, cells: Series) -> str | None:
        if not is_text(cells):
            return None
        find = {"numeric": number_style, "date": date_format}.get(kind)
        return find(cells, self.missing_values) if find else None

    def _check_lists(self) -> None:
        lists = {f"data.{kind}": names for kind, names in self.asked_for.items()}
        lists |= {"data.ignore": self.ignore, "data.target": self.target.columns}
        roles = ("split_column", "group_column", "time_column", "weight_column")
        lists |= {f"data.{role}": [name] for role in roles if (name := getattr(self, role)) is not None}
        for (first, some), (second, others) in combinations(lists.items(), 2):
            if both := [name for name in some if name in others]:
                raise InputError(f"column '{both[0]}' is in {first} and in {second}: leave it in one of them")
        ways = [role for role in ("split_column", "group_column", "time_column") if getattr(self, role) is not None]
        if self.shares.folds is not None:
            ways = [*(way for way in ways if way != "group_column"), "folds"]
        if len(ways) > 1:
            raise InputError(f"data.{ways[0]} and data.{ways[1]} each split the rows: give one of them")


def fingerprint(file: Path) -> list[str | int]:
    """Return what changes with a file's content: size, time of change, and a digest of 64 stretches of it."""
    state = file.stat()
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for start in range(0, state.st_size, max(state.st_size // 64, 2**20)):
            stream.seek(start)
            digest.update(stream.read(2**20))
    return [state.st_size, state.st_mtime_ns, digest.hexdigest()]
