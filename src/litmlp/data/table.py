"""Rows from a file."""

from polars import DataFrame, Series

from litmlp.data.reading import read_table
from litmlp.data.splits import Rows, column_split
from litmlp.data.tabular import TabularData
from litmlp.data.targets import Target
from litmlp.errors import InputError, did_you_mean
from litmlp.paths import find


class TableData(TabularData):
    """A CSV or Parquet file; columns of numbers are numeric inputs, the others categorical ones.

    Args:
        path: the file, as seen from the current folder or from the project.
        target: name of the target column, or of several for regression.
        target_type: the kind of target that the task learns; passed in when a run is built.
        numeric: columns to read as numbers, whatever they look like.
        categorical: columns to read as levels, whatever they look like.
        ignore: columns to leave out.
        missing_values: texts that stand for a missing cell, beside the empty cell, NA, N/A, NaN and null.
        split_column: a column that says `train`, `val` or `test`; `test_size` then means nothing, and
            `val_size` is the share of the training rows where no row says `val`.
        scaling: of numeric inputs: `standard`, `robust` or `quantile`.
        batch_size: rows a step, in each process.
        val_size: share of the rows for validation.
        test_size: share of the rows for the test.
        seed: of the split and of the order of training rows.
    """

    def __init__(
        self,
        path: str,
        target: str | list[str],
        target_type: type[Target],
        numeric: list[str] | None = None,
        categorical: list[str] | None = None,
        ignore: list[str] | None = None,
        missing_values: list[str] | None = None,
        split_column: str | None = None,
        scaling: str = "quantile",
        batch_size: int = 256,
        val_size: float = 0.16,
        test_size: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(target, target_type, scaling, batch_size, val_size, test_size, seed)
        self.path = path
        self.as_numeric = numeric or []
        self.as_categorical = categorical or []
        self.ignore = ignore or []
        self.missing_values = missing_values or []
        self.split_column = split_column

    def read(self) -> DataFrame:
        """Return all rows of the file."""
        return read_table(find(self.path), self.missing_values)

    def columns(self, frame: DataFrame) -> tuple[list[str], list[str]]:
        """Return the names of the numeric and of the categorical inputs."""
        asked_for = [*self.as_numeric, *self.as_categorical, *self.ignore]
        if absent := [name for name in asked_for if name not in frame.columns]:
            raise InputError(f"there is no column '{absent[0]}': {did_you_mean(absent[0], frame.columns)}")
        left_out = [*self.ignore, *self.target.columns, self.split_column]
        names = [name for name in frame.columns if name not in left_out and frame[name].null_count() < len(frame)]
        if not names:
            raise InputError(f"'{self.path}' has no input column beside {', '.join(frame.columns)}: give at least one")
        numeric = [name for name in names if self._is_numeric(frame, name)]
        return numeric, [name for name in names if name not in numeric]

    def split(self, frame: DataFrame, strata: Series | None) -> Rows:
        """Follow the split column if there is one."""
        if self.split_column is None:
            return super().split(frame, strata)
        if self.split_column not in frame.columns:
            near = did_you_mean(self.split_column, frame.columns)
            raise InputError(f"there is no split column '{self.split_column}': {near}")
        return column_split(frame[self.split_column], self.val_size, self.seed, strata)

    def _is_numeric(self, frame: DataFrame, name: str) -> bool:
        if name in self.as_categorical:
            return False
        return name in self.as_numeric or frame[name].dtype.is_numeric()
