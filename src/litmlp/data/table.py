"""Datasets whose rows come from files or frames."""

import hashlib
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from polars import DataFrame, Int64, LazyFrame, Series

from litmlp.data import date_formats, format_options
from litmlp.data.batch import Batch
from litmlp.data.cells import Levels, Numbers, as_dates, as_levels, as_numbers, is_text, texts_of
from litmlp.data.columns import Column, DateColumn
from litmlp.data.dialect import FormatOptions
from litmlp.data.frames import as_frame
from litmlp.data.inputs import collected
from litmlp.data.kinds import LEFT_OUT, kind_of
from litmlp.data.reading import files_of, read_frame, read_table
from litmlp.data.splits import SPLITS, Rows, column_split, group_split, time_split
from litmlp.data.tabular import TabularData
from litmlp.data.targets import Target
from litmlp.errors import InputError, did_you_mean

CACHED_FROM = 32 * 2**20  # bytes of all files; a smaller table is read and encoded in a second
ROLES = ("split_column", "group_column", "time_column", "weight_column")


class TableData(TabularData):
    """A table in text or Parquet files.

    The format of text files is inferred from the whole text. `assumptions` lists what could not be proved, and the keys
    from `missing_values` to `damaged_rows` correct it. The kind of each column is inferred from its cells: numbers,
    dates, truth values or levels. Identifiers and columns with the same value in all rows are left out.
    `inputs.decisions` lists the inferred kinds, and the lists of columns below correct them.

    Args:
        path: the file, a folder of files, or a pattern; relative to the current folder or to the project. None if a
            frame is given from Python, or if a subclass defines `rows`.
        target: name of the target column, or for regression a list of several names.
        target_type: the class of targets that the task learns; passed in when a run is built.
        target_transform: `none`, or `log1p` to learn the logarithm of 1 + the target.
        numeric: columns to read as numbers, whatever they look like.
        categorical: columns to read as levels, whatever they look like.
        date: columns to read as dates, whatever they look like.
        ignore: columns to leave out.
        missing_values: texts that mark a missing cell, in addition to the empty text. They replace the inferred marks;
            `default` in the list adds the usual marks, such as NA.
        decimal: the decimal mark, `.` or `,`.
        thousands: the thousands separator; empty for none.
        date_format: the format of dates, such as %d.%m.%Y.
        delimiter: the text between cells; `tab` for a tab, a blank for one or more blanks.
        quote: the quotation mark around cells; empty for none.
        header: whether the first line names the columns; or the list of their names, if no line does.
        skip_rows: number of lines above the table.
        comment: lines that begin with this text are not part of the table.
        encoding: of text, such as utf-8 or cp1252.
        damaged_rows: how to treat rows with more or fewer cells than others: `refuse`, `skip`, or `repair`.
        val_path: files with the rows for validation, if these are not in the files of `path`.
        test_path: files with the rows for the test, if these are not in the files of `path`.
        min_count: number of training rows in which a level, or a missing cell, must occur to have a code of its own;
            all rarer levels have the same code.
        split_column: a column that says `train`, `val` or `test`, or other words for them, such as `holdout`.
            `test_size` is then ignored. If no row says `val`, `val_size` is the fraction of the training rows to use
            for validation.
        group_column: rows with the same value in this column stay together in one split.
        time_column: a column of dates or numbers; later rows are for validation, the latest rows for the test.
        weight_column: a column of numbers from 0 up: how much each row counts in the loss.
        scaling: of numeric inputs: `standard`, `robust` or `quantile`.
        batch_size: rows per training step, in each process; if None, from 32 for a small table to 256 if there are
            6,400 training rows or more.
        val_size: fraction of the rows for validation.
        test_size: fraction of the rows for the test.
        folds: number of folds for cross-validation; `test_size` is then ignored.
        fold: the fold that is the test set now, from 0 to folds - 1.
        val_fold: which of the disjoint validation sets is used, all beside the same test set; `val_size=0.16` gives 5.
        seed: of the split and of the order of training rows.
        train_rows: how many of the training rows are used; each class keeps its fraction. All if None.
    """

    def __init__(
        self,
        path: str | None,
        target: str | list[str],
        target_type: type[Target],
        target_transform: str = "none",
        numeric: list[str] | None = None,
        categorical: list[str] | None = None,
        date: list[str] | None = None,
        ignore: list[str] | None = None,
        missing_values: list[str] | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        date_format: str | None = None,
        delimiter: str | None = None,
        quote: str | None = None,
        header: bool | list[str] | None = None,
        skip_rows: int | None = None,
        comment: str | None = None,
        encoding: str | None = None,
        damaged_rows: str = "refuse",
        val_path: str | None = None,
        test_path: str | None = None,
        min_count: int = 3,
        split_column: str | None = None,
        group_column: str | None = None,
        time_column: str | None = None,
        weight_column: str | None = None,
        scaling: str = "quantile",
        batch_size: int | None = None,
        val_size: float = 0.16,
        test_size: float = 0.2,
        folds: int | None = None,
        fold: int = 0,
        val_fold: int = 0,
        seed: int = 0,
        train_rows: int | None = None,
    ) -> None:
        split = (val_size, test_size, folds, fold, val_fold, seed, train_rows)
        super().__init__(target, target_type, target_transform, scaling, batch_size, *split)
        self.path = path
        self.val_path = val_path
        self.test_path = test_path
        self.names_of_kind = {  # columns whose kind the user has set
            "numeric": [name.strip() for name in numeric or []],
            "categorical": [name.strip() for name in categorical or []],
            "date": [name.strip() for name in date or []],
        }
        self.ignore = [name.strip() for name in ignore or []]
        self.missing_values = None if missing_values is None else list(missing_values)
        self.file_options, self.cell_options = format_options.parsed(
            missing_values,
            decimal,
            thousands,
            date_format,
            delimiter,
            quote,
            header,
            skip_rows,
            comment,
            encoding,
            damaged_rows,
        )
        self.min_count = min_count
        self.split_column = split_column
        self.group_column = group_column
        self.time_column = time_column
        self.weight_column = weight_column
        self.sizes: dict[str, int] = {}  # numbers of rows in the files of each split; empty for a frame
        self.logs_formats = True  # False while the task is chosen, because the same files are read again later
        self.frame: LazyFrame | DataFrame | None = None  # rows that were given from Python instead of files
        self._check_lists()

    def rows(self) -> LazyFrame | DataFrame | None:
        """Return rows that do not come from files but, for example, from a database; None to read the files.

        A subclass overrides it. Cells of text are read like those of a file, so that numbers, dates and missing cells
        are recognised.
        """
        return self.frame

    def read(self, text_columns: Sequence[str] = ()) -> LazyFrame:
        """Return all rows, and infer the format of files and cells; `text_columns` are additionally read as text."""
        as_text = [*self.names_of_kind["categorical"], *self.names_of_kind["date"], *self.target.text_columns]
        as_text += text_columns
        notation = self.notation if self.is_fitted else self.cell_options
        finds_marks = self.missing_values is None and not self.is_fitted
        given, files = self.rows(), {}
        if given is not None:
            for key in ("val_path", "test_path"):
                if getattr(self, key) is not None:
                    raise InputError(
                        f"data.{key} names a file, but the rows do not come from files: leave it out, or name a column "
                        "that gives the split of each row as data.split_column"
                    )
            table = read_frame(as_frame(given), notation, as_text, finds_marks=finds_marks)
        else:
            files = self._files()
            all_files = [file for files_of_split in files.values() for file in files_of_split]
            table = read_table(all_files, self.options_of_files(), notation, as_text, finds_marks=finds_marks)
        if not self.is_fitted:
            self.notation, self.formats_read, self.assumptions = table.notation, table.formats, table.assumed
        self.spill = table.spill
        sizes = iter(table.sizes)
        self.sizes = {split: sum(next(sizes) for _ in files_of_split) for split, files_of_split in files.items()}
        if self.logs_formats:
            self.log_formats(table.formats, table.assumed)
        return table.frame

    def options_of_files(self) -> FormatOptions:
        """Return the user's options for reading text files, with the names of columns found in training."""
        if self.file_options.header is None and self.notation.header is not None:
            return self.file_options._replace(header=self.notation.header)
        return self.file_options

    def candidates(self, names: list[str]) -> list[str]:
        """Return all columns except those that the user ignores and those with another role, such as targets."""
        listed = [*self.ignore, *(name for listed in self.names_of_kind.values() for name in listed)]
        for name in [*listed, *self._roles()]:
            if name not in names:
                raise InputError(f"there is no column '{name}': {did_you_mean(name, names)}")
        left_out = {*self.ignore, *self.target.columns, *self._roles()} - {self.time_column}
        return [name for name in names if name not in left_out]

    def column(self, cells: Series) -> tuple[Column | None, str]:
        """Return a column of the kind that the user has set, or else of the kind inferred from the cells."""
        given = next((kind for kind, names in self.names_of_kind.items() if cells.name in names), None)
        if given is not None and cells.null_count() < len(cells):
            return self.new_column(given, cells.name, self._date_format(cells) if given == "date" else None), ""
        kind = kind_of(cells, self.notation)
        if kind.name == LEFT_OUT:
            return None, kind.reason
        if cells.name == self.time_column:
            # The times of later rows lie beyond those of training rows, but their months and weekdays do not. The time
            # elapsed is therefore no input, and neither is a column of numbers that orders the rows.
            if kind.name != DateColumn.kind:
                return None, "it orders the rows"
            shared = (self.scaling, kind.date_format, kind.absent, self.min_count)
            remark = "; ".join(filter(None, ["it orders the rows", kind.reason]))
            return DateColumn(cells.name, *shared, has_trend=False), remark
        return self.new_column(kind.name, cells.name, kind.date_format, kind.absent), kind.reason

    def split(self, frame: LazyFrame, usable: np.ndarray, strata: np.ndarray | None) -> Rows:
        """Split rows by their files, or by the column that splits, groups or orders them; else at random."""
        for name in self._roles():
            if name not in (names := frame.collect_schema().names()):
                raise InputError(f"there is no column '{name}': {did_you_mean(name, names)}")
        if self.val_path or self.test_path:
            starts = np.cumsum([0, *self.sizes.values()])
            for split, start, end in zip(self.sizes, starts, starts[1:], strict=False):
                if not ((usable >= start) & (usable < end)).any():
                    key = "path" if split == "train" else f"{split}_path"
                    raise InputError(f"no row of data.{key} has a target: give a file with rows that do")
            split_of_row = np.repeat([SPLITS.index(split) for split in self.sizes], [*self.sizes.values()])
            column = Levels([*SPLITS], split_of_row[usable])
            name = "data.val_path" if self.val_path else "data.test_path"
            return column_split(column, name, self.split_fractions, self.seed, strata)
        if self.split_column is not None:
            column = as_levels(self._usable(frame, self.split_column, usable), self.notation)
            fractions = self.split_fractions._replace(test=0.0)
            return column_split(column, self.split_column, fractions, self.seed, strata)
        if self.group_column is not None:
            groups = as_levels(self._usable(frame, self.group_column, usable), self.notation)
            return group_split(groups.codes, self.split_fractions, self.seed)
        if self.time_column is not None:
            return time_split(self._times(frame, self.time_column, usable), self.split_fractions)
        return super().split(frame, usable, strata)

    def content_key(self) -> str | None:
        """Return a text that changes when the files of a large table change; None if rows do not come from files only.

        Only a subclass knows what its rows depend on, so that it must override this method for its rows to be cached.
        """
        if type(self) is not TableData or self.frame is not None:
            return None
        found = self._files()
        files = [found.get(split, []) for split in SPLITS]
        if sum(file.stat().st_size for files_of_split in files for file in files_of_split) < CACHED_FROM:
            return None
        return json.dumps([[fingerprint(file) for file in files_of_split] for files_of_split in files])

    def version_of_rows(self) -> Any:
        """Return what tells whether files were changed; None if rows do not come from files only."""
        if type(self) is not TableData or self.frame is not None:
            return None
        files = [file for files_of_split in self._files().values() for file in files_of_split]
        states = [file.stat() for file in files]
        return Path.cwd(), *files, *((s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_dev) for s in states)

    def cache_settings(self) -> dict[str, Any]:
        """Return the settings on which the encoded rows depend, as plain values."""
        own = ("names_of_kind", "ignore", "missing_values", "min_count", "file_options", "cell_options", *ROLES)
        return super().cache_settings() | {name: getattr(self, name) for name in own}

    def _encoded(self, folder: Path | None) -> tuple[Batch, dict[str, int]]:
        encoded = super()._encoded(folder)
        date_format = self.cell_options.date_format
        found = {column.date_format: column.name for column in self.inputs.columns if isinstance(column, DateColumn)}
        if date_format is not None and date_format not in found:
            followed = [f"'{name}' follows {other}" for other, name in found.items() if other is not None]
            raise InputError(
                f"data.date_format is {date_format!r}, but no input column follows it"
                f"{f' ({followed[0]})' if followed else ''}: correct it, or leave it out"
            )
        return encoded

    def _files(self) -> dict[str, list[Path]]:
        paths = {"train": self.path, "val": self.val_path, "test": self.test_path}
        if self.path is None:
            raise InputError("no rows are given: add data.path=<a file>, or give a frame from Python")
        return {split: files_of(path) for split, path in paths.items() if path is not None}

    def _roles(self) -> list[str]:
        return [name for role in ROLES if (name := getattr(self, role)) is not None]

    def _usable(self, frame: LazyFrame, name: str, usable: np.ndarray) -> Series:
        return collected(frame, [name])[name][usable]

    def _times(self, frame: LazyFrame, name: str, usable: np.ndarray) -> np.ndarray:
        cells = collected(frame, [name])[name]
        is_usable = np.zeros(len(cells), dtype=bool)
        is_usable[usable] = True
        cells = cells.set(Series(~is_usable), None)  # not filtered, so that a message names the row of the table
        if cells.dtype.is_numeric():
            numbers = as_numbers(cells, self.notation)
        else:
            advice = ", or say how they are written with data.date_format"
            dates = as_dates(cells, self.notation, advice=advice)
            numbers = Numbers(dates.cast(Int64).fill_null(0).to_numpy(), dates.is_null().to_numpy())
        if numbers.is_missing is not None and (numbers.is_missing & is_usable).any():
            row = int(np.argmax(numbers.is_missing & is_usable))
            raise InputError(
                f"the time column '{name}' holds no time in its row {row + 1}: leave the row out, or fill it"
            )
        return numbers.values[usable]

    def _date_format(self, cells: Series) -> str | None:
        if not is_text(cells):
            return None
        texts = texts_of(cells).distinct
        present = texts.filter(~texts.is_in([*self.notation.marks]))
        found = date_formats.format_of(present, self.notation.day_first, self.notation.date_format)
        return found.format if found else None

    def _check_lists(self) -> None:
        lists = {f"data.{kind}": names for kind, names in self.names_of_kind.items()}
        lists |= {"data.ignore": self.ignore, "data.target": self.target.columns}
        lists |= {f"data.{role}": [name] for role in ROLES if (name := getattr(self, role)) is not None}
        for (first, names), (second, other_names) in combinations(lists.items(), 2):
            if both := [name for name in names if name in other_names]:
                raise InputError(f"column '{both[0]}' is in {first} and in {second}: leave it in one of them")
        keys_of_split = ("test_path", "val_path", "split_column", "group_column", "time_column")
        used = [key for key in keys_of_split if getattr(self, key) is not None]
        if self.test_path is not None:  # val_path and test_path may be given together
            used = [key for key in used if key != "val_path"]
        if self.split_fractions.folds is not None:  # folds of groups are possible
            used = [*(key for key in used if key != "group_column"), "folds"]
        if self.split_fractions.val_fold and used == ["time_column"]:  # validation rows precede the test rows
            used = [*used, "val_fold"]
        if len(used) > 1:
            raise InputError(f"data.{used[0]} and data.{used[1]} each split the rows: give one of them")


def fingerprint(file: Path) -> list[str | int]:
    """Return a list that changes with a file's content: size, modification time, and a digest of about 64 parts."""
    state = file.stat()
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for start in range(0, state.st_size, max(state.st_size // 64, 2**20)):
            stream.seek(start)
            digest.update(stream.read(2**20))
    return [state.st_size, state.st_mtime_ns, digest.hexdigest()]
