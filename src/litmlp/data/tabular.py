"""The base class of all datasets: it reads rows, splits them, encodes them and cuts them into batches."""

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
from polars import LazyFrame, Series
from torch import Tensor

from litmlp.data import cache, format_options
from litmlp.data.batch import Batch, weights_of_rows
from litmlp.data.batches import Batches, InOrder, Shuffled, belong_on
from litmlp.data.cells import as_numbers, shown
from litmlp.data.columns import BooleanColumn, CategoricalColumn, Column, DateColumn, Encoded, NumericColumn
from litmlp.data.dialect import FormatOptions
from litmlp.data.frames import as_frame
from litmlp.data.inputs import Inputs, collected, num_rows
from litmlp.data.notation import Notation
from litmlp.data.reading import Table, files_of, read_frame, read_table
from litmlp.data.scaling import scaling_named
from litmlp.data.spec import Spec
from litmlp.data.splits import SPLITS, Rows, SplitFractions, check_sizes, random_split, sample_of
from litmlp.data.state import checked_values
from litmlp.data.targets import Target
from litmlp.errors import InputError, did_you_mean
from litmlp.paths import display

log = logging.getLogger(__name__)

STEP_ROWS, MOST_STEP_ROWS = {2800: 32, 4500: 64, 6400: 128}, 256  # by the number of training rows
ROWS_EVALUATED_AT_ONCE = 1024  # or the batch size, if that is larger
CACHE_VERSION = 6  # raise it if the same settings give other encoded rows, or if the state of an entry has other keys


class TabularData(L.LightningDataModule, ABC):
    """Rows with input columns and a target.

    A subclass defines where rows come from (`read`), which columns may be inputs (`candidates`) and how each is encoded
    (`column`).

    Args:
        target: name of the target column, or a list of several names.
        target_type: the class of targets that the task learns; passed in when a run is built.
        target_transform: `none`, or `log1p` to learn the logarithm of 1 + the target.
        scaling: of numeric inputs: `standard`, `robust` or `quantile`.
        batch_size: rows per training step, in each process; if None, fewer for a small table, see `step_rows`.
        val_size: fraction of the rows for validation.
        test_size: fraction of the rows for the test.
        folds: number of folds for cross-validation; `test_size` is then ignored.
        fold: the fold that is the test set now, from 0 to folds - 1.
        val_fold: which of the disjoint validation sets is used, all beside the same test set.
        seed: of the split and of the order of training rows.
        train_rows: how many of the training rows are used; all if None.
    """

    weight_column: str | None = None
    min_count = 1
    on_device: bool | None = None  # keep all rows on the GPU, so that a step moves none; None to do so if they fit

    def __init__(
        self,
        target: str | list[str],
        target_type: type[Target],
        target_transform: str = "none",
        scaling: str = "standard",
        batch_size: int | None = None,
        val_size: float = 0.16,
        test_size: float = 0.2,
        folds: int | None = None,
        fold: int = 0,
        val_fold: int = 0,
        seed: int = 0,
        train_rows: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {batch_size}")
        self.split_fractions = SplitFractions(val_size, test_size, folds, fold, val_fold)
        self.split_fractions.check()
        if train_rows is not None and train_rows < 2:
            raise ValueError(f"train_rows must be 2 or more, not {train_rows}")
        targets = [target] if isinstance(target, str) else list(target)
        if not targets or len(set(targets)) < len(targets):
            raise ValueError(f"target={targets} must name one column, or several different ones")
        scaling_named(scaling)
        self.target = target_type(targets, target_transform)
        self.scaling = scaling
        self.given_batch_size = batch_size
        self.seed = seed
        self.train_rows = train_rows
        self.notation = Notation()  # the format of cells, which is inferred when rows are read
        self.spill: Any = None  # temporary files of the table that was read last: they exist as long as this object
        self.formats_read: list[str] = []  # sentences that describe the formats of the files, for people
        self.assumptions: list[str] = []  # sentences about what was assumed in reading but not proved, for people
        self.inputs = Inputs()
        self.is_fitted = False
        self.tables: dict[str, Batch] = {}

    @abstractmethod
    def read(self) -> LazyFrame:
        """Return all raw rows."""

    @abstractmethod
    def candidates(self, names: list[str]) -> list[str]:
        """Return those of the columns that may be inputs."""

    @abstractmethod
    def column(self, cells: Series) -> tuple[Column | None, str]:
        """Return a column that is not yet fitted, and a remark; or None, and the reason why it is left out."""

    def derive(self, frame: LazyFrame) -> LazyFrame:
        """Return `frame` with additional input columns that are computed from the given ones."""
        return frame

    def split(self, frame: LazyFrame, usable: np.ndarray, strata: np.ndarray | None) -> Rows:
        """Return indices among the usable rows for `train`, `val` and `test`.

        Args:
            frame: all raw rows.
            usable: indices of the rows that have a target, `[N]`.
            strata: a label for each usable row, `[N]`; each split keeps the proportions of the labels.
        """
        return random_split(len(usable), self.split_fractions, self.seed, strata)

    def parted(self, frame: LazyFrame) -> tuple[Any, Rows]:
        """Return all parsed targets, and the row indices of each split in a table as `read` returns it."""
        target, usable = self.targets_of(frame, self.notation)
        strata = self.target.strata(target)
        strata = None if strata is None else strata[usable]
        indices = self.split(frame, usable, strata)
        check_sizes(indices)
        if self.train_rows is not None:
            indices["train"] = sample_of(indices["train"], self.train_rows, self.seed, strata)
        return target, {split: usable[indices[split]] for split in SPLITS}

    def content_key(self) -> str | None:
        """Return a text that changes when the rows change; None if encoded rows are not to be cached.

        A subclass overrides it for its rows to be cached.
        """
        return None

    def version_of_rows(self) -> Any:
        """Return a value that changes when the rows change, whatever their number; None if nothing tells.

        A subclass overrides it for its encoded rows to be kept in memory between the runs of a process.
        """
        return None

    def cache_settings(self) -> dict[str, Any]:
        """Return the settings on which the encoded rows depend, as plain values."""
        return {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "target": [type(self.target).__name__, self.target.columns, self.target.transform],
            **{"scaling": self.scaling, "fractions": self.split_fractions, "seed": self.seed},
            **{"train_rows": self.train_rows, "version": CACHE_VERSION},
        }

    def cache_key(self) -> str | None:
        """Return the name of the encoded rows in the cache, a digest of content and settings; None for no cache."""
        content = self.content_key()
        if content is None:
            return None
        return hashlib.sha256(json.dumps([self.cache_settings(), content]).encode()).hexdigest()[:32]

    def setup(self, stage: str | None = None) -> None:
        """Read, split and encode all rows; fit the encoders on training rows unless a checkpoint has restored them."""
        if self.tables:
            return
        key = None if self.is_fitted else self.cache_key()
        if key is not None:
            try:
                self._setup_cached(cache.folder() / key)
            except OSError as error:
                log.warning("encoded rows are not kept, for %s cannot be written: %s", cache.folder(), error)
        if not self.tables:
            rows, sizes = self._encoded(None)
            self.tables = _named(rows, sizes)

    @property
    def spec(self) -> Spec:
        """The facts that networks and tasks are built from; known after `setup` or `load_state_dict`."""
        return Spec(self.inputs.numeric_names, self.inputs.cardinalities, self.target)

    @property
    def batch_size(self) -> int:
        """Rows per training step, in each process; known after `setup`."""
        return self.given_batch_size or step_rows(len(self.tables["train"].numeric))

    def train_dataloader(self) -> Batches:
        """Return batches of training rows, in a new order in each epoch."""
        return self._batches("train", Shuffled(self.seed), self.batch_size)

    def val_dataloader(self) -> Batches:
        """Return batches of validation rows, in order."""
        return self._batches("val", InOrder(), self._evaluated_at_once)

    def test_dataloader(self) -> Batches:
        """Return batches of test rows, in order."""
        return self._batches("test", InOrder(), self._evaluated_at_once)

    def in_order(self, split: str) -> Batches:
        """Return batches of all rows of a split, in order. They are not divided among processes."""
        return Batches(self.tables[split], self._evaluated_at_once, InOrder())

    def encode_rows(self, rows: Any, has_target: bool, read_options: Mapping[str, Any] | None = None) -> Batch:
        """Encode other rows with the same columns, in their order; with targets, only the rows that have one.

        Args:
            rows: see `read_as_before`.
            has_target: whether targets are read and encoded as well.
            read_options: see `read_as_before`.
        """
        read = self.read_as_before(rows, read_options=read_options)
        targets = self.targets_of(read.frame, read.notation) if has_target else None
        return self.encode(read.frame, targets, read.notation)

    def read_as_before(
        self, rows: Any, text_columns: Sequence[str] = (), read_options: Mapping[str, Any] | None = None
    ) -> Table:
        """Read other rows, whose cells have the format of the table of the training.

        Details that the training table left open are inferred again. For example, whole numbers alone do not show what
        the decimal mark is.

        Args:
            rows: a file, a folder of files, or a pattern; or a frame or a dict of arrays, see `as_frame`.
            text_columns: additional columns to read as text.
            read_options: keys of a table, such as `delimiter`, for a file whose format differs from that of training.
        """
        known = self.notation._replace(date_format=None)  # each column of dates has a format of its own
        options, notation = format_options.joined(self.options_of_another_file(), known, dict(read_options or {}))
        numeric = {column.name for column in self.inputs.columns if not column.reads_text}
        numeric |= {*self.target.columns} - {*self.target.text_columns}
        if isinstance(rows, str | Path):
            read = read_table(files_of(rows), options, notation, text_columns, numeric, finds_marks=False)
        else:
            read = read_frame(as_frame(rows), notation, text_columns, numeric, finds_marks=False)
        self.log_formats(read.formats, read.assumed)
        return read

    def options_of_another_file(self) -> FormatOptions:
        """Return the options for reading another text file, including what is known from the training table."""
        known = self.notation
        options = self.options_of_files()
        return options._replace(
            header=known.header or True,
            comment=known.comment if options.comment is None else options.comment,
            likely_quote=known.quote,
            may_lack_name=known.lacks_name,
            optional_names=tuple(self.target.columns),
            is_for_other_file=True,
        )

    def log_formats(self, formats: list[str], assumptions: list[str]) -> None:
        """Log the formats of files, and warn about what was assumed in reading them."""
        for sentence in formats:
            log.info("%s", sentence)
        for sentence in assumptions:
            log.warning("%s", sentence)

    def options_of_files(self) -> FormatOptions:
        """Return the user's options for reading text files."""
        return FormatOptions()

    def encode(
        self, frame: LazyFrame, targets: tuple[Any, np.ndarray] | None = None, notation: Notation | None = None
    ) -> Batch:
        """Encode raw rows.

        Args:
            frame: the rows.
            targets: the result of `targets_of`, with which only the rows that have a target are encoded. If None, all
                rows are encoded, without targets.
            notation: the format of cells; if None, that of training.
        """
        frame, notation = self.derive(frame), notation or self.notation
        if targets is None:
            encoded = self.inputs.encode(frame, notation)
            return _batch(encoded, np.arange(num_rows(frame)), None, None, None)
        parsed, rows = targets
        encoded = self.inputs.encode(frame, notation, self.target.is_complete(parsed))
        return _batch(encoded, rows, self.target.encode(parsed, rows), None, None)

    def new_column(self, kind: str, name: str, date_format: str | None = None, absent: Sequence[str] = ()) -> Column:
        """Return a column that is not yet fitted.

        Args:
            kind: of the column.
            name: of the column.
            date_format: the format of its dates; inferred if None.
            absent: texts that mark missing cells in it.
        """
        if kind == CategoricalColumn.kind:
            return CategoricalColumn(name, self.min_count)
        if kind == DateColumn.kind:
            return DateColumn(name, self.scaling, date_format, absent, self.min_count)
        numeric = BooleanColumn if kind == BooleanColumn.kind else NumericColumn
        return numeric(name, self.scaling, absent, self.min_count)

    def state_dict(self) -> dict[str, Any]:
        """Return the fitted encoders as tensors and plain values. They are part of every checkpoint."""
        return {
            "notation": self.notation.state_dict(),
            "inputs": self.inputs.state_dict(),
            "target": self.target.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore fitted encoders; `setup` then does not fit them again."""
        hints = {"notation": dict, "inputs": list[dict], "target": dict}
        notation, inputs, target = checked_values(state_dict, hints)
        self.notation = Notation.of_state(notation)
        self.inputs.load_state_dict(inputs, self.new_column)
        self.target.load_state_dict(target)
        self.is_fitted = True

    def facts(self) -> dict[str, Any]:
        """Return what `setup` has found out beside the encoded rows, as tensors and plain values."""
        sentences = {"formats_read": self.formats_read, "assumptions": self.assumptions}
        return {"data": self.state_dict(), "decisions": self.inputs.decisions} | sentences

    def restore(self, facts: dict[str, Any], tables: dict[str, Batch]) -> None:
        """Take what another object of the same settings has found out, and its encoded rows."""
        self.load_state_dict(facts["data"])
        self.inputs.decisions = facts["decisions"]
        self.formats_read, self.assumptions = facts["formats_read"], facts["assumptions"]
        self.tables = tables

    def _setup_cached(self, entry: Path) -> None:
        with cache.locked(entry):
            kept = cache.load(entry) if entry.exists() or entry.is_symlink() else None
            if kept is None:  # there is no entry, or it was damaged and is removed now
                with cache.filling(entry) as unfinished:
                    rows, sizes = self._encoded(unfinished)
                    cache.save(unfinished, self.facts() | {"sizes": sizes}, rows)
                kept = cache.load(entry)
            else:
                log.info("encoded rows are in %s", display(entry))
        if kept is None:
            return
        facts, rows = kept
        self.restore(facts, _named(rows, facts["sizes"]))

    def _encoded(self, folder: Path | None) -> tuple[Batch, dict[str, int]]:
        # Return all rows, sorted by split, and the sizes of the splits.
        frame = self.derive(self.read())
        target, rows = self.parted(frame)
        sizes = {split: len(indices) for split, indices in rows.items()}
        order = np.concatenate([rows.pop(split) for split in SPLITS])
        train = order[: sizes["train"]]
        usable = self.target.is_complete(target)
        if self.is_fitted:
            encoded = self.inputs.encode(frame, self.notation, usable)
        else:
            doubts = self.target.doubts(target)
            self.log_formats([], doubts)
            self.assumptions = [*self.assumptions, *doubts]
            self.target.fit(target, train)
            names = self.candidates(frame.collect_schema().names())
            encoded = self.inputs.fit_and_encode(frame, names, self.column, train, self.notation, usable)
            self.is_fitted = True
        weights = self._weights(frame, order)
        if weights is not None:
            self._check_weights(weights, sizes)
        batch = _batch(encoded, order, self.target.encode(target, order), weights, folder)
        return batch, sizes

    def targets_of(self, frame: LazyFrame, notation: Notation) -> tuple[Any, np.ndarray]:
        """Return all parsed targets, and the indices of the rows that have a target."""
        names = frame.collect_schema().names()
        for name in self.target.columns:
            if name not in names:
                raise InputError(f"there is no target column '{name}': {did_you_mean(name, names)}")
        target = self.target.parse(collected(frame, self.target.columns), notation)
        is_complete = self.target.is_complete(target)
        usable = np.flatnonzero(is_complete)
        if left_out := len(is_complete) - len(usable):
            log.warning("left out %d of %d rows, whose target is missing", left_out, len(is_complete))
        if len(usable) == 0:
            raise InputError(f"no row has a value in the target {', '.join(self.target.columns)}: give rows that do")
        return target, usable

    def _weights(self, frame: LazyFrame, rows: np.ndarray) -> Tensor | None:
        if self.weight_column is None:
            return None
        cells = collected(frame, [self.weight_column])[self.weight_column]
        weights = as_numbers(cells, self.notation)
        is_bad = (weights.values < 0) | (weights.is_missing if weights.is_missing is not None else False)
        if is_bad[rows].any():
            row = int(rows[np.argmax(is_bad[rows])])
            raise InputError(
                f"column '{cells.name}' should hold weights from 0 up, but its row {row + 1} holds "
                f"{shown(cells, row)}: correct the cell, or name another data.weight_column"
            )
        return weights_of_rows(weights.values[rows])

    def _check_weights(self, weights: Tensor, sizes: dict[str, int]) -> None:
        for split, weights_of_split in zip(sizes, weights.split(list(sizes.values())), strict=True):
            if not weights_of_split.any():
                raise InputError(
                    f"all rows of the {split} split have weight 0 in data.weight_column '{self.weight_column}': give "
                    "some of them a weight above 0, or change how the rows are split"
                )

    @property
    def _evaluated_at_once(self) -> int:
        return max(self.given_batch_size or 0, ROWS_EVALUATED_AT_ONCE)

    def _batches(self, split: str, sampler: InOrder | Shuffled, batch_size: int) -> Batches:
        if self.trainer is None:
            return Batches(self.tables[split], batch_size, sampler)
        trainer, device = self.trainer, self.trainer.strategy.root_device
        if belong_on(self.tables, device, self.on_device):
            self.tables = {name: table.to(device) for name, table in self.tables.items()}
        return Batches(self.tables[split], batch_size, sampler, trainer.global_rank, trainer.world_size, device)


def step_rows(num_rows: int) -> int:
    """Return the number of rows for a step if there are so many training rows.

    A small table needs small batches, or an epoch has few steps. Source: the defaults of Gorishniy et al. 2025, "TabM".
    """
    return next((rows for limit, rows in STEP_ROWS.items() if num_rows < limit), MOST_STEP_ROWS)


def _batch(
    encoded: Encoded, rows: np.ndarray, target: Tensor | None, weight: Tensor | None, folder: Path | None
) -> Batch:
    numeric = cache.stacked(encoded.numeric, rows, np.float32, folder and folder / cache.NUMERIC)
    codes = cache.stacked(encoded.codes, rows, np.int32, folder and folder / cache.CODES)
    return Batch(numeric, codes, target, weight)


def _named(rows: Batch, sizes: dict[str, int]) -> dict[str, Batch]:
    return dict(zip(sizes, rows.split(list(sizes.values())), strict=True))
