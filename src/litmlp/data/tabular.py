"""What every dataset of this project shares: rows are read, split, encoded and cut into batches."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
from polars import LazyFrame, Series
from torch import Tensor

from litmlp.data import cache, keys
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
from litmlp.data.splits import SPLITS, Rows, SplitFractions, check_sizes, random_split, some_of
from litmlp.data.state import taken
from litmlp.data.targets import Target
from litmlp.errors import InputError, did_you_mean
from litmlp.paths import display

log = logging.getLogger(__name__)

ROWS_EVALUATED_AT_ONCE = 1024  # or a batch, if that is more


class TabularData(L.LightningDataModule, ABC):
    """Rows with input columns and a target.

    A subclass says where rows come from (`read`), which columns may be inputs (`candidates`) and what they are
    (`column`).

    Args:
        target: name of the target column, or of several.
        target_type: the kind of target that the task learns; passed in when a run is built.
        target_transform: `none`, or `log1p` to learn the logarithm of 1 + the target.
        scaling: of numeric inputs: `standard`, `robust` or `quantile`.
        batch_size: rows a step, in each process.
        val_size: fraction of the rows for validation.
        test_size: fraction of the rows for the test.
        folds: parts of the rows, each of which can be the test; `test_size` then means nothing.
        fold: the part that is the test now, from 0 up.
        seed: of the split and of the order of training rows.
        train_rows: how many of the training rows are used; all if None.
    """

    weight_column: str | None = None
    min_count = 1
    on_device: bool | None = None  # keep all rows on the GPU, so that a step moves none; None if they fit

    def __init__(
        self,
        target: str | list[str],
        target_type: type[Target],
        target_transform: str = "none",
        scaling: str = "standard",
        batch_size: int = 256,
        val_size: float = 0.16,
        test_size: float = 0.2,
        folds: int | None = None,
        fold: int = 0,
        seed: int = 0,
        train_rows: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {batch_size}")
        self.split_fractions = SplitFractions(val_size, test_size, folds, fold)
        self.split_fractions.check()
        if train_rows is not None and train_rows < 2:
            raise ValueError(f"train_rows must be 2 or more, not {train_rows}")
        targets = [target] if isinstance(target, str) else list(target)
        if not targets or len(set(targets)) < len(targets):
            raise ValueError(f"target={targets} must name one column, or several different ones")
        scaling_named(scaling)
        self.target = target_type(targets, target_transform)
        self.scaling = scaling
        self.batch_size = batch_size
        self.seed = seed
        self.train_rows = train_rows
        self.notation = Notation()  # how cells are written, found as rows are read
        self.spill: Any = None  # temporary files of the table that was read last
        self.written: list[str] = []  # how files are, for people
        self.assumed: list[str] = []  # of that
        self.inputs = Inputs()
        self.is_fitted = False
        self.tables: dict[str, Batch] = {}

    @abstractmethod
    def read(self) -> LazyFrame:
        """Return all rows, raw."""

    @abstractmethod
    def candidates(self, names: list[str]) -> list[str]:
        """Return which of the columns may be inputs."""

    @abstractmethod
    def column(self, cells: Series) -> tuple[Column | None, str]:
        """Return how a column is to be encoded, not yet fitted, and a remark; or None, and why it is left out."""

    def derive(self, frame: LazyFrame) -> LazyFrame:
        """Return `frame` with the input columns that are computed from others."""
        return frame

    def split(self, frame: LazyFrame, usable: np.ndarray, strata: np.ndarray | None) -> Rows:
        """Return places among the usable rows for `train`, `val` and `test`.

        Args:
            frame: all rows, raw.
            usable: places of those that have a target, `[N]`.
            strata: a label for each usable row, whose fractions each split is to have.
        """
        return random_split(len(usable), self.split_fractions, self.seed, strata)

    def parted(self, frame: LazyFrame) -> tuple[Any, Rows]:
        """Return all targets, parsed, and the places of each split's rows in a table as `read` returns it."""
        target, usable = self.targets_of(frame, self.notation)
        strata = self.target.strata(target)
        strata = None if strata is None else strata[usable]
        places = self.split(frame, usable, strata)
        check_sizes(places)
        if self.train_rows is not None:
            places["train"] = some_of(places["train"], self.train_rows, self.seed, strata)
        return target, {split: usable[places[split]] for split in SPLITS}

    def cache_key(self) -> str | None:
        """Return what tells these encoded rows from any others; None where encoding again is as quick."""
        return None

    def setup(self, stage: str | None = None) -> None:
        """Read, split and encode all rows; fit the encoders on training rows unless a checkpoint brought them."""
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
        """What networks and tasks are built from; known after `setup` or `load_state_dict`."""
        return Spec(self.inputs.numeric_names, self.inputs.cardinalities, self.target)

    def train_dataloader(self) -> Batches:
        """Training rows, in a new order each epoch."""
        return self._batches("train", Shuffled(self.seed), self.batch_size)

    def val_dataloader(self) -> Batches:
        """Validation rows, in order."""
        return self._batches("val", InOrder(), self._evaluated_at_once)

    def test_dataloader(self) -> Batches:
        """Test rows, in order."""
        return self._batches("test", InOrder(), self._evaluated_at_once)

    def in_order(self, split: str) -> Batches:
        """All rows of a split, in order, in this process."""
        return Batches(self.tables[split], self._evaluated_at_once, InOrder())

    def encode_rows(self, rows: Any, has_target: bool, written: Mapping[str, Any] | None = None) -> Batch:
        """Encode all of other rows with the same columns, in their order.

        Args:
            rows: see `read_as_before`.
            has_target: whether targets are wanted.
            written: see `read_as_before`.
        """
        read = self.read_as_before(rows, written=written)
        targets = self.targets_of(read.frame, read.notation) if has_target else None
        return self.encode(read.frame, targets, read.notation)

    def read_as_before(
        self, rows: Any, text_columns: Sequence[str] = (), written: Mapping[str, Any] | None = None
    ) -> Table:
        """Return other rows, whose cells are written as those of the table that was trained on.

        What training left open, as whole numbers alone leave the decimal mark, is found anew.

        Args:
            rows: a file, a folder of files, or a pattern; or a frame or a dict of arrays, see `as_frame`.
            text_columns: more columns to be read as text.
            written: keys of a table, where a file is written in another way.
        """
        known = self.notation._replace(date_format=None)  # each column of dates has one of its own
        asked, notation = keys.joined(self.asked_of_another(), known, dict(written or {}))
        numeric = {column.name for column in self.inputs.columns if not column.reads_text}
        numeric |= {*self.target.columns} - {*self.target.text_columns}
        if isinstance(rows, str | Path):
            read = read_table(files_of(rows), asked, notation, text_columns, numeric, finds_marks=False)
        else:
            read = read_frame(as_frame(rows), notation, text_columns, numeric, finds_marks=False)
        self.say(read.formats, read.assumed)
        return read

    def asked_of_another(self) -> FormatOptions:
        """Return what is known of how another text file is written."""
        known = self.notation
        asked = self.asked_of_files()
        return asked._replace(
            header=known.header or True,
            comment=known.comment if asked.comment is None else asked.comment,
            likely_quote=known.quote,
            may_lack_name=known.lacks_name,
            optional_names=tuple(self.target.columns),
            is_for_other_file=True,
        )

    def say(self, written: list[str], assumed: list[str]) -> None:
        """Log how files are written, and what was assumed of that."""
        for sentence in written:
            log.info("%s", sentence)
        for sentence in assumed:
            log.warning("%s", sentence)

    def asked_of_files(self) -> FormatOptions:
        """Return what is said of how text files are written."""
        return FormatOptions()

    def encode(
        self, frame: LazyFrame, targets: tuple[Any, np.ndarray] | None = None, notation: Notation | None = None
    ) -> Batch:
        """Encode raw rows.

        Args:
            frame: the rows.
            targets: what `targets_of` returns; only the rows that have one are then encoded. All are if None.
            notation: how cells are written; as in training if None.
        """
        frame, notation = self.derive(frame), notation or self.notation
        if targets is None:
            encoded = self.inputs.encode(frame, notation)
            return _batch(encoded, np.arange(num_rows(frame)), None, None, None)
        parsed, rows = targets
        encoded = self.inputs.encode(frame, notation, self.target.is_complete(parsed))
        return _batch(encoded, rows, self.target.encode(parsed, rows), None, None)

    def new_column(self, kind: str, name: str, written: str | None = None, absent: Sequence[str] = ()) -> Column:
        """Return a column that is not yet fitted.

        Args:
            kind: of the column.
            name: of the column.
            written: the format of its dates; found if None.
            absent: texts that stand for missing cells in it.
        """
        if kind == CategoricalColumn.kind:
            return CategoricalColumn(name, self.min_count)
        if kind == DateColumn.kind:
            return DateColumn(name, self.scaling, written, absent, self.min_count)
        numeric = BooleanColumn if kind == BooleanColumn.kind else NumericColumn
        return numeric(name, self.scaling, absent, self.min_count)

    def state_dict(self) -> dict[str, Any]:
        """Return the fitted encoders as tensors and plain values: part of every checkpoint."""
        return {
            "notation": self.notation.state_dict(),
            "inputs": self.inputs.state_dict(),
            "target": self.target.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore fitted encoders; `setup` then leaves them as they are."""
        notation, inputs, target = taken(state_dict, {"notation": dict, "inputs": list[dict], "target": dict})
        self.notation = Notation.of_state(notation)
        self.inputs.load_state_dict(inputs, self.new_column)
        self.target.load_state_dict(target)
        self.is_fitted = True

    def _setup_cached(self, entry: Path) -> None:
        with cache.locked(entry):
            kept = cache.load(entry) if entry.exists() or entry.is_symlink() else None
            if kept is None:
                with cache.filling(entry) as unfinished:
                    rows, sizes = self._encoded(unfinished)
                    told = {"decisions": self.inputs.decisions, "written": self.written, "assumed": self.assumed}
                    cache.save(unfinished, {"data": self.state_dict(), "sizes": sizes, **told}, rows)
                kept = cache.load(entry)
            else:
                log.info("encoded rows are in %s", display(entry))
        if kept is None:
            return
        state, rows = kept
        self.load_state_dict(state["data"])
        self.inputs.decisions, self.written, self.assumed = state["decisions"], state["written"], state["assumed"]
        self.tables = _named(rows, state["sizes"])

    def _encoded(self, folder: Path | None) -> tuple[Batch, dict[str, int]]:
        # All rows, those of each split together, and the splits' sizes.
        frame = self.derive(self.read())
        target, rows = self.parted(frame)
        sizes = {split: len(index) for split, index in rows.items()}
        order = np.concatenate([rows.pop(split) for split in SPLITS])
        train = order[: sizes["train"]]
        usable = self.target.is_complete(target)
        if self.is_fitted:
            encoded = self.inputs.encode(frame, self.notation, usable)
        else:
            doubts = self.target.doubts(target)
            self.say([], doubts)
            self.assumed = [*self.assumed, *doubts]
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
        """Return all targets, parsed, and the places of the rows that have one."""
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
        for split, some in zip(sizes, weights.split(list(sizes.values())), strict=True):
            if not some.any():
                raise InputError(
                    f"no row of the {split} split counts, for data.weight_column is '{self.weight_column}', which "
                    "holds only weights of 0 there: give some above it, or change how the rows are split"
                )

    @property
    def _evaluated_at_once(self) -> int:
        return max(self.batch_size, ROWS_EVALUATED_AT_ONCE)

    def _batches(self, split: str, sampler: InOrder | Shuffled, batch_size: int) -> Batches:
        if self.trainer is None:
            return Batches(self.tables[split], batch_size, sampler)
        trainer, device = self.trainer, self.trainer.strategy.root_device
        if belong_on(self.tables, device, self.on_device):
            self.tables = {name: table.to(device) for name, table in self.tables.items()}
        return Batches(self.tables[split], batch_size, sampler, trainer.global_rank, trainer.world_size, device)


def _batch(
    encoded: Encoded, rows: np.ndarray, target: Tensor | None, weight: Tensor | None, folder: Path | None
) -> Batch:
    numeric = cache.stacked(encoded.numeric, rows, np.float32, folder and folder / cache.NUMERIC)
    codes = cache.stacked(encoded.codes, rows, np.int32, folder and folder / cache.CODES)
    return Batch(numeric, codes, target, weight)


def _named(rows: Batch, sizes: dict[str, int]) -> dict[str, Batch]:
    return dict(zip(sizes, rows.split(list(sizes.values())), strict=True))
