"""Rows from a file."""

import hashlib
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from polars import DataFrame, Int64, LazyFrame, Series

from litmlp.data import keys, moments
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

CACHED_FROM = 32 * 2**20  # bytes of files; smaller ones are read and encoded in a second
ROLES = ("split_column", "group_column", "time_column", "weight_column")
CACHE_VERSION = 3  # of the encoding: raise it where the same settings give other rows than before


class TableData(TabularData):
    """A table in text or Parquet files.

    How text is written is found from all of it; `assumed` tells what nothing proved, and the keys from `missing_values`
    to `damaged_rows` correct it. What a column is follows from its cells: numbers, dates, truth values, levels; columns
    with the same value in all rows are left out, as are identifiers. `inputs.decisions` tells what was found, and the
    lists below correct it.

    Args:
        path: the file, a folder of files, or a pattern; as seen from the current folder or from the project. None
            where a frame is given from Python, or a subclass has `rows` of its own.
        target: name of the target column, or of several for regression.
        target_type: the kind of target that the task learns; passed in when a run is built.
        target_transform: `none`, or `log1p` to learn the logarithm of 1 + the target.
        numeric: columns to read as numbers, whatever they look like.
        categorical: columns to read as levels, whatever they look like.
        date: columns to read as dates, whatever they look like.
        ignore: columns to leave out.
        missing_values: texts that stand for a missing cell beside the empty one, instead of those that are found;
            `default` among them stands for the usual ones, such as NA.
        decimal: the decimal mark, `.` or `,`.
        thousands: the mark of thousands; empty for none.
        date_format: how dates are written, as %d.%m.%Y.
        delimiter: between cells; `tab` for a tab, a blank for any run of blanks.
        quote: around cells; empty for none.
        header: whether the first line names the columns, or their names, where none does.
        skip_rows: lines above the table.
        comment: with which lines begin that are no part of the table.
        encoding: of text, as utf-8 or cp1252.
        damaged_rows: what becomes of rows with more or fewer cells than others: `refuse`, `skip`, or `repair`.
        val_path: files with the rows for validation, if they are not among the others.
        test_path: files with the rows for the test, if they are not among the others.
        min_count: training rows in which a level, or a missing cell, must occur to be learned by itself; rarer levels
            are taken together.
        split_column: a column that says `train`, `val` or `test`, in these words or others for them; `test_size` then
            means nothing, and `val_size` is the fraction of the training rows where no row says `val`.
        group_column: a column whose rows of the same value stay on one side of the split.
        time_column: a column of dates or numbers; later rows validate, the latest test.
        weight_column: a column of numbers from 0 up: how much each row counts in the loss.
        scaling: of numeric inputs: `standard`, `robust` or `quantile`.
        batch_size: rows a step, in each process.
        val_size: fraction of the rows for validation.
        test_size: fraction of the rows for the test.
        folds: parts of the rows, each of which can be the test; `test_size` then means nothing.
        fold: the part that is the test now, from 0 up.
        seed: of the split and of the order of training rows.
        train_rows: how many of the training rows are used, as many of each class alike; all if None.
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
        self.val_path = val_path
        self.test_path = test_path
        self.asked_for = {
            "numeric": [name.strip() for name in numeric or []],
            "categorical": [name.strip() for name in categorical or []],
            "date": [name.strip() for name in date or []],
        }
        self.ignore = [name.strip() for name in ignore or []]
        self.missing_values = None if missing_values is None else list(missing_values)
        self.asked, self.given = keys.parsed(
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
        self.sizes: dict[str, int] = {}  # rows of the files of each split, where there are several
        self.says = True
        self.frame: LazyFrame | DataFrame | None = None  # rows that were given rather than read
        self._check_lists()

    def rows(self) -> LazyFrame | DataFrame | None:
        """Return rows that come from elsewhere than files, as from a database; None to read the files.

        A subclass overrides it. Cells of text are read as those of a file: numbers, dates and missing cells are found.
        """
        return self.frame

    def read(self, text_columns: Sequence[str] = ()) -> LazyFrame:
        """Return all rows, and learn how they are written; more columns can be asked for as text."""
        wanted = [*self.asked_for["categorical"], *self.asked_for["date"], *self.target.text_columns]
        wanted += text_columns
        notation = self.notation if self.is_fitted else self.given
        finds_marks = self.missing_values is None and not self.is_fitted
        given, files = self.rows(), {}
        if given is not None:
            table = read_frame(as_frame(given), notation, wanted, finds_marks=finds_marks)
        else:
            files = self._files()
            every = [one for some in files.values() for one in some]
            table = read_table(every, self.asked_of_files(), notation, wanted, finds_marks=finds_marks)
        if not self.is_fitted:
            self.notation, self.written, self.assumed = table.notation, table.formats, table.assumed
        self.spill = table.spill
        sizes = iter(table.sizes)
        self.sizes = {split: sum(next(sizes) for _ in some) for split, some in files.items()}
        if self.says:
            self.say(table.formats, table.assumed)
        return table.frame

    def asked_of_files(self) -> FormatOptions:
        """Return what is said of how text files are written."""
        if self.asked.header is None and self.notation.header is not None:
            return self.asked._replace(header=self.notation.header)
        return self.asked

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
            return self.new_column(asked, cells.name, self._date_format(cells) if asked == "date" else None), ""
        kind = kind_of(cells, self.notation)
        if kind.name == LEFT_OUT:
            return None, kind.reason
        if cells.name == self.time_column:  # later rows have moments that training has not seen, but months that it has
            if kind.name != DateColumn.kind:
                return None, "it orders the rows"
            shared = (self.scaling, kind.date_format, kind.absent, self.min_count)
            remark = "; ".join(filter(None, ["it orders the rows", kind.reason]))
            return DateColumn(cells.name, *shared, has_trend=False), remark
        return self.new_column(kind.name, cells.name, kind.date_format, kind.absent), kind.reason

    def split(self, frame: LazyFrame, usable: np.ndarray, strata: np.ndarray | None) -> Rows:
        """Follow the column that splits, groups or orders the rows, if there is one."""
        for name in self._roles():
            if name not in (names := frame.collect_schema().names()):
                raise InputError(f"there is no column '{name}': {did_you_mean(name, names)}")
        if self.val_path or self.test_path:
            starts = np.cumsum([0, *self.sizes.values()])
            for split, start, end in zip(self.sizes, starts, starts[1:], strict=False):
                if not ((usable >= start) & (usable < end)).any():
                    key = "path" if split == "train" else f"{split}_path"
                    raise InputError(f"no row of data.{key} has a target: give a file with rows that do")
            places = np.repeat([SPLITS.index(split) for split in self.sizes], [*self.sizes.values()])
            column = Levels([*SPLITS], places[usable])
            parts = (self.split_fractions.val, self.seed, strata, self.split_fractions.test)
            return column_split(column, "data.test_path", *parts)
        if self.split_column is not None:
            column = as_levels(self._usable(frame, self.split_column, usable), self.notation)
            return column_split(column, self.split_column, self.split_fractions.val, self.seed, strata)
        if self.group_column is not None:
            groups = as_levels(self._usable(frame, self.group_column, usable), self.notation)
            return group_split(groups.codes, self.split_fractions, self.seed)
        if self.time_column is not None:
            return time_split(self._moments(frame, self.time_column, usable), self.split_fractions)
        return super().split(frame, usable, strata)

    def cache_key(self) -> str | None:
        """Return a digest of content and settings of a large table; None where rows do not come from files alone.

        What the rows of a subclass follow from, it alone knows: it overrides this to have them kept.
        """
        if type(self) is not TableData or self.frame is not None:
            return None
        found = self._files()
        files = [found.get(split, []) for split in SPLITS]
        if sum(file.stat().st_size for some in files for file in some) < CACHED_FROM:
            return None
        settings = {
            **{name: getattr(self, name) for name in ("asked_for", "ignore", "missing_values", "min_count", *ROLES)},
            **{"asked": self.asked, "given": self.given},
            **{"target": [type(self.target).__name__, self.target.columns, self.target.transform]},
            **{"scaling": self.scaling, "fractions": self.split_fractions, "seed": self.seed, "version": CACHE_VERSION},
            **{"train_rows": self.train_rows},
            **{"files": [[fingerprint(file) for file in some] for some in files]},
        }
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32]

    def _encoded(self, folder: Path | None) -> tuple[Batch, dict[str, int]]:
        encoded = super()._encoded(folder)
        asked = self.given.date_format
        found = {column.date_format: column.name for column in self.inputs.columns if isinstance(column, DateColumn)}
        if asked is not None and asked not in found:
            others = [f"'{name}' follows {other}" for other, name in found.items() if other is not None]
            raise InputError(
                f"data.date_format is {asked!r}, but no input column follows it"
                f"{f' ({others[0]})' if others else ''}: correct it, or leave it out"
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

    def _moments(self, frame: LazyFrame, name: str, usable: np.ndarray) -> np.ndarray:
        cells = collected(frame, [name])[name]
        is_usable = np.zeros(len(cells), dtype=bool)
        is_usable[usable] = True
        cells = cells.set(Series(~is_usable), None)
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
        found = moments.format_of(present, self.notation.day_first, self.notation.date_format)
        return found.format if found else None

    def _check_lists(self) -> None:
        lists = {f"data.{kind}": names for kind, names in self.asked_for.items()}
        lists |= {"data.ignore": self.ignore, "data.target": self.target.columns}
        lists |= {f"data.{role}": [name] for role in ROLES if (name := getattr(self, role)) is not None}
        for (first, some), (second, others) in combinations(lists.items(), 2):
            if both := [name for name in some if name in others]:
                raise InputError(f"column '{both[0]}' is in {first} and in {second}: leave it in one of them")
        by = ("test_path", "val_path", "split_column", "group_column", "time_column")
        ways = [way for way in by if getattr(self, way) is not None and (way != "val_path" or self.test_path is None)]
        if self.split_fractions.folds is not None:
            ways = [*(way for way in ways if way != "group_column"), "folds"]
        if len(ways) > 1:
            raise InputError(f"data.{ways[0]} and data.{ways[1]} each split the rows: give one of them")


def fingerprint(file: Path) -> list[str | int]:
    """Return what changes with a file's content: size, time of change, and a digest of 64 chunks of it."""
    state = file.stat()
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for start in range(0, state.st_size, max(state.st_size // 64, 2**20)):
            stream.seek(start)
            digest.update(stream.read(2**20))
    return [state.st_size, state.st_mtime_ns, digest.hexdigest()]
