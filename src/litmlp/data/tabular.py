"""What every dataset of this project shares: rows are read, split, encoded and cut into batches."""

import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from polars import DataFrame, Series, any_horizontal, col

from litmlp.data.batch import Batch, Batches, InOrder, Shuffled
from litmlp.data.encoding import CategoricalEncoder, NumericEncoder, as_numbers, as_text
from litmlp.data.reading import read_table
from litmlp.data.spec import Spec
from litmlp.data.splits import SPLITS, Rows, check_sizes, random_split
from litmlp.data.targets import Target
from litmlp.errors import InputError, did_you_mean

log = logging.getLogger(__name__)


class TabularData(pl.LightningDataModule, ABC):
    """Rows with numeric and categorical columns, and a target.

    A subclass says where rows come from (`read`) and which columns are inputs (`columns`).

    Args:
        target: name of the target column, or of several.
        target_type: the kind of target that the task learns; passed in when a run is built.
        scaling: of numeric inputs: `standard`, `robust` or `quantile`.
        batch_size: rows a step, in each process.
        val_size: share of the rows for validation.
        test_size: share of the rows for the test.
        seed: of the split and of the order of training rows.
    """

    def __init__(
        self,
        target: str | list[str],
        target_type: type[Target],
        scaling: str = "standard",
        batch_size: int = 256,
        val_size: float = 0.16,
        test_size: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {batch_size}")
        if not (0 < val_size < 1 and 0 < test_size < 1 and val_size + test_size < 1):
            raise ValueError(
                f"val_size={val_size} and test_size={test_size} must be shares above 0 that leave rows to train"
            )
        targets = [target] if isinstance(target, str) else list(target)
        if not targets or len(set(targets)) < len(targets):
            raise ValueError(f"target={targets} must name one column, or several different ones")
        self.target = target_type(targets)
        self.batch_size = batch_size
        self.val_size = val_size
        self.test_size = test_size
        self.seed = seed
        self.missing_values: list[str] = []
        self.numeric = NumericEncoder(scaling)
        self.categorical = CategoricalEncoder()
        self.is_fitted = False
        self.tables: dict[str, Batch] = {}

    @abstractmethod
    def read(self) -> DataFrame:
        """Return all rows, raw."""

    @abstractmethod
    def columns(self, frame: DataFrame) -> tuple[list[str], list[str]]:
        """Return the names of the numeric and of the categorical inputs."""

    def split(self, frame: DataFrame, strata: Series | None) -> Rows:
        """Return the row indices of `train`, `val` and `test`, each with its share of the labels in `strata`."""
        return random_split(len(frame), self.val_size, self.test_size, self.seed, strata)

    def derive(self, frame: DataFrame) -> DataFrame:
        """Return `frame` with the input columns that are computed from others."""
        return frame

    def setup(self, stage: str | None = None) -> None:
        """Read, split and encode all rows; fit the encoders on training rows unless a checkpoint brought them."""
        if self.tables:
            return
        raw = self.read()
        self._check_target(raw)
        if not self.is_fitted:
            self.numeric.columns, self.categorical.columns = self.columns(self.derive(raw))
        frame = self._parse(raw, self.target.columns)
        is_complete = self._is_complete(frame)
        raw, frame = raw.filter(is_complete), frame.filter(is_complete)
        rows = self.split(raw, self.target.strata(frame))
        check_sizes(rows)
        if not self.is_fitted:
            self._fit(frame[rows["train"]])
        self.tables = {split: self._encode(frame[rows[split]], has_target=True) for split in SPLITS}

    @property
    def spec(self) -> Spec:
        """What networks and tasks are built from; known after `setup` or `load_state_dict`."""
        cardinalities = zip(self.categorical.columns, self.categorical.cardinalities, strict=True)
        return Spec(self.numeric.names, dict(cardinalities), self.target)

    def train_dataloader(self) -> Batches:
        """Training rows, in a new order each epoch."""
        return self._batches("train", Shuffled(self.seed))

    def val_dataloader(self) -> Batches:
        """Validation rows, in order."""
        return self._batches("val", InOrder())

    def test_dataloader(self) -> Batches:
        """Test rows, in order."""
        return self._batches("test", InOrder())

    def in_order(self, split: str) -> Batches:
        """All rows of a split, in order, in this process."""
        return Batches(self.tables[split], self.batch_size, InOrder())

    def encode_file(self, path: Path, has_target: bool) -> Batch:
        """Encode all rows of another file with the same columns, in its order; `has_target` asks for targets."""
        frame = read_table(path, self.missing_values)
        if not has_target:
            return self._encode(self._parse(frame, []), has_target)
        self._check_target(frame)
        frame = self._parse(frame, self.target.columns)
        return self._encode(frame.filter(self._is_complete(frame)), has_target)

    def state_dict(self) -> dict[str, Any]:
        """Return the fitted encoders as tensors and plain values: part of every checkpoint."""
        return {
            "numeric": self.numeric.state_dict(),
            "categorical": self.categorical.state_dict(),
            "target": self.target.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore fitted encoders; `setup` then leaves them as they are."""
        self.numeric.load_state_dict(state_dict["numeric"])
        self.categorical.load_state_dict(state_dict["categorical"])
        self.target.load_state_dict(state_dict["target"])
        self.is_fitted = True

    def _check_target(self, frame: DataFrame) -> None:
        for name in self.target.columns:
            if name not in frame.columns:
                raise InputError(f"there is no target column '{name}': {did_you_mean(name, frame.columns)}")

    def _parse(self, frame: DataFrame, targets: list[str]) -> DataFrame:
        # All rows at once, before any is left out or moved, so that an error names a row of the file.
        frame = self.derive(frame)
        inputs = [*self.numeric.columns, *self.categorical.columns]
        if absent := [name for name in inputs if name not in frame.columns]:
            raise InputError(
                f"the column '{absent[0]}' that the network was trained on is missing: "
                f"{did_you_mean(absent[0], frame.columns)}"
            )
        return DataFrame(
            [as_numbers(frame[name]) for name in self.numeric.columns]
            + [as_text(frame[name]) for name in self.categorical.columns]
            + [self.target.parse(frame[name]) for name in targets]
        )

    def _is_complete(self, frame: DataFrame) -> Series:
        is_complete = ~frame.select(any_horizontal(col(self.target.columns).is_null())).to_series()
        if left_out := len(frame) - is_complete.sum():
            log.warning("left out %d of %d rows, whose target is missing", left_out, len(frame))
        if not is_complete.any():
            raise InputError(f"no row has a value in the target {', '.join(self.target.columns)}: give rows that do")
        return is_complete

    def _fit(self, frame: DataFrame) -> None:
        self.numeric.fit(frame)
        self.categorical.fit(frame)
        self.target.fit(frame)
        self.is_fitted = True

    def _encode(self, frame: DataFrame, has_target: bool) -> Batch:
        target = self.target.encode(frame) if has_target else None
        return Batch(self.numeric.encode(frame), self.categorical.encode(frame), target)

    def _batches(self, split: str, sampler: InOrder | Shuffled) -> Batches:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return Batches(self.tables[split], self.batch_size, sampler, rank, world_size)
