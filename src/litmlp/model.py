"""A trained model that predicts rows of files, of frames, and of arrays."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from litmlp import checkpoint
from litmlp.data import Batch, ClassTarget, TabularData
from litmlp.data.batches import Batches, InOrder
from litmlp.data.inputs import collected
from litmlp.errors import InputError, did_you_mean
from litmlp.tasks import Task

ROWS_PREDICTED_AT_ONCE = 8192
BLOCK = 64  # rows: processors take several numbers at once, and round those that are left over in another way


def load(path: str | Path) -> "Model":
    """Return the model of a run's folder, with its best weights, or that of a `.ckpt` file.

    Raises:
        InputError: there is none, or it is damaged, or asks for more than a checkpoint of this project may.
    """
    return Model(checkpoint.load(checkpoint.resolve(str(path))))


class Model:
    """From raw rows to predictions.

    Args:
        loaded: a checkpoint, rebuilt.

    Attributes:
        task: with the network, on the accelerator if there is one.
        data: which encodes rows.
        config: how both were built.
    """

    def __init__(self, loaded: checkpoint.Loaded) -> None:
        self.task: Task = on_device(loaded.task)
        self.data: TabularData = loaded.data
        self.config = loaded.config

    @property
    def columns(self) -> list[str]:
        """The names of the columns that rows need."""
        return [column.name for column in self.data.inputs.columns]

    @property
    def targets(self) -> list[str]:
        """The names of what is predicted."""
        return self.data.target.columns

    @property
    def classes(self) -> list[str] | None:
        """The classes, in the order of their probabilities; None for numbers."""
        return self.data.target.classes if isinstance(self.data.target, ClassTarget) else None

    def predict(self, rows: Any, keep: Sequence[str] = (), written: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Return a prediction for each row, in their order.

        Columns may come in any order, with or without the target; cells may be missing and levels unseen. On the CPU,
        what is predicted of a row does not depend on the other rows.

        Args:
            rows: a file of text or Parquet, a folder of files, or a pattern; a frame of Polars or pandas; or a dict of
                arrays.
            keep: columns of the rows to put before the predictions.
            written: keys of a table, such as `delimiter`, where a file is written in another way than that of training.

        Returns:
            What the command writes: the columns kept; `prediction`, and for classes `probability_<class>`; for several
            targets `prediction_<target>`.

        Raises:
            InputError: a column is missing, or a cell cannot be read.
        """
        read = self.data.read_as_before(rows, keep, written)
        kept = _kept(read.frame, keep)
        rows_encoded = self.data.encode(read.frame, notation=read.notation)
        batches = map(_in_blocks, Batches(rows_encoded, ROWS_PREDICTED_AT_ONCE, InOrder()))
        task = self.task
        with torch.inference_mode():
            predictions = [task.predict_step(task.transfer_batch_to_device(b, task.device, 0), 0) for b in batches]
        table = self.data.target.table(torch.cat(predictions).cpu()[: len(rows_encoded.numeric)])
        if both := [name for name in keep if name in table.columns]:
            raise InputError(f"keep names '{both[0]}', as a column of predictions is called: rename it in the file")
        return pl.concat([kept, table], how="horizontal") if keep else table

    def evaluate(self, rows: Any, written: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Return loss and metrics for rows with targets, by name.

        Args:
            rows: see `predict`.
            written: see `predict`.
        """
        self.data.tables["test"] = self.data.encode_rows(rows, has_target=True, written=written)
        return {name.removeprefix("test/"): value for name, value in measure(self.task, self.data, "test").items()}

    def __repr__(self) -> str:
        return f"Model({', '.join(self.columns)} -> {', '.join(self.targets)})"


def measure(task: Task, data: TabularData, split: str) -> dict[str, float]:
    """Return loss and metrics of a task on the rows of a split, `split/name`, each row counted once."""
    task.eval()
    with torch.inference_mode():
        for batch in data.in_order(split):
            task.step(task.transfer_batch_to_device(batch, task.device, 0), split)
        return {name: float(value) for name, value in task.take_metrics(split).items()}


def on_device(task: Task) -> Task:
    """Move a task to the accelerator if there is one."""
    return task.to(torch.accelerator.current_accelerator(check_available=True) or "cpu")


def _in_blocks(batch: Batch) -> Batch:
    """Repeat the last row until there are whole blocks, so that each row is rounded alike, however many there are."""
    last = len(batch.numeric) - 1
    return batch.rows(torch.arange(BLOCK * (last // BLOCK + 1)).clamp(max=last))


def _kept(frame: pl.LazyFrame, names: Sequence[str]) -> pl.DataFrame:
    present = frame.collect_schema().names()
    if absent := [name for name in names if name not in present]:
        raise InputError(f"keep names '{absent[0]}', but there is no such column: {did_you_mean(absent[0], present)}")
    return collected(frame, list(dict.fromkeys(names)))
