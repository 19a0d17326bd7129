"""A trained model, which predicts the rows of files, frames and arrays."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import torch

from litmlp import checkpoint
from litmlp.config_check import arguments_of, check_value
from litmlp.data import Batch, ClassTarget, TabularData, format_options
from litmlp.data.batches import Batches, InOrder
from litmlp.data.inputs import collected
from litmlp.errors import InputError, did_you_mean, shown
from litmlp.tasks import Task

ROWS_PREDICTED_AT_ONCE = 8192
BLOCK = 64  # rows; processors compute several numbers at once and round the remaining ones differently


def load(path: str | os.PathLike[str]) -> "Model":
    """Return the model of a `Run` or of a run's folder, with its best weights, or the model of a `.ckpt` file.

    Raises:
        InputError: there is no checkpoint, or it is damaged, or it contains what a checkpoint of this project must not.
    """
    file = checkpoint.resolve(os.fspath(path))
    # Building the network draws random weights, but the generator of the caller stays as it is.
    with torch.random.fork_rng(devices=[]):
        loaded = checkpoint.load(file)
    return Model(loaded)


class Model:
    """Turns raw rows into predictions.

    Args:
        loaded: a loaded checkpoint.

    Attributes:
        task: holds the network, on the accelerator if there is one.
        data: encodes rows.
        config: the config that both were built from.
    """

    def __init__(self, loaded: checkpoint.Loaded) -> None:
        self.task: Task = on_device(loaded.task)
        self.data: TabularData = loaded.data
        self.config = loaded.config

    @property
    def columns(self) -> list[str]:
        """The names of the columns that rows need."""
        return list(self.data.inputs.indices_by_name())

    @property
    def targets(self) -> list[str]:
        """The names of the targets, which are predicted."""
        return self.data.target.columns

    @property
    def classes(self) -> list[str] | None:
        """The classes, in the order of their probabilities; None if the targets are numbers."""
        return self.data.target.classes if isinstance(self.data.target, ClassTarget) else None

    def predict(
        self, rows: Any, keep: str | Sequence[str] | None = None, read_options: Mapping[str, Any] | None = None
    ) -> pl.DataFrame:
        """Return a prediction for each row, in the order of the rows.

        Columns may come in any order, with or without the target. Cells may be missing, and levels may be unseen. On
        the CPU, the prediction for a row does not depend on the other rows.

        Args:
            rows: a file of text or Parquet, a folder of files, or a pattern; a frame of Polars or pandas; or a dict of
                arrays.
            keep: names of columns of the rows to put before the predictions; or a single name.
            read_options: keys of a table, such as `delimiter`, for a file whose format differs from that of training.

        Returns:
            The table that the command writes: the columns of `keep`, then `prediction` and for classes the columns
            `probability_<class>`. Several targets have the columns `prediction_<target>` instead.

        Raises:
            InputError: a column is missing, or a cell cannot be read.
        """
        keep = [keep] if isinstance(keep, str) else list(keep or ())
        read = self.data.read_as_before(rows, keep, _checked(read_options))
        kept = _kept(read.frame, keep)
        rows_encoded = self.data.encode(read.frame, notation=read.notation)
        batches = map(_in_blocks, Batches(rows_encoded, ROWS_PREDICTED_AT_ONCE, InOrder()))
        task = self.task
        with torch.inference_mode():
            predictions = [task.predict_step(task.transfer_batch_to_device(b, task.device, 0), 0) for b in batches]
        table = self.data.target.table(torch.cat(predictions).cpu()[: len(rows_encoded.numeric)])
        if both := [name for name in keep if name in table.columns]:
            raise InputError(
                f"keep names '{both[0]}', which is also the name of a column of predictions: rename it in the file"
            )
        return pl.concat([kept, table], how="horizontal") if keep else table

    def evaluate(self, rows: Any, read_options: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Return loss and metrics for rows with targets, by name.

        Args:
            rows: see `predict`.
            read_options: see `predict`.
        """
        self.data.tables["test"] = self.data.encode_rows(rows, has_target=True, read_options=_checked(read_options))
        return {name.removeprefix("test/"): value for name, value in measure(self.task, self.data, "test").items()}

    def __repr__(self) -> str:
        return f"Model({', '.join(self.columns)} -> {', '.join(self.targets)})"


def measure(task: Task, data: TabularData, split: str) -> dict[str, float]:
    """Return loss and metrics of a task on the rows of a split, named `split/name`; each row is counted once."""
    task.eval()
    with torch.inference_mode():
        for batch in data.in_order(split):
            task.step(task.transfer_batch_to_device(batch, task.device, 0), split)
        return {name: float(value) for name, value in task.take_metrics(split).items()}


def on_device(task: Task) -> Task:
    """Move a task to the accelerator if there is one."""
    return task.to(torch.accelerator.current_accelerator(check_available=True) or "cpu")


def _checked(read_options: Any) -> Mapping[str, Any] | None:
    if read_options is None:
        return None
    if not isinstance(read_options, Mapping):
        raise InputError(f"read_options are {shown(read_options)}: give a dict, such as {{'delimiter': ';'}}")
    hints, _ = arguments_of(format_options.parsed)
    for key, value in read_options.items():
        if key not in hints:
            raise InputError(f"there is no key {shown(key)} in read_options: {did_you_mean(key, hints)}")
        check_value(f"read_options.{key}", value, hints[key])
    return read_options


def _in_blocks(batch: Batch) -> Batch:
    """Repeat the last row until the last block is full, so that rounding does not depend on the number of rows."""
    last = len(batch.numeric) - 1
    return batch.rows(torch.arange(BLOCK * (last // BLOCK + 1)).clamp(max=last))


def _kept(frame: pl.LazyFrame, names: Sequence[str]) -> pl.DataFrame:
    present = frame.collect_schema().names()
    if absent := [name for name in names if name not in present]:
        raise InputError(f"keep names '{absent[0]}', but there is no such column: {did_you_mean(absent[0], present)}")
    return collected(frame, list(dict.fromkeys(names)))
