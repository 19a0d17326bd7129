"""Measures how long an epoch takes, before a search decides how many its runs have."""

import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import lightning.pytorch as L

from litmlp.commands.train import train

EPOCHS, BATCHES = 3, 50  # of the run that is measured; the first epoch takes longer than others


class Pilot(NamedTuple):
    """What is known before the search.

    Attributes:
        seconds: that an epoch takes with the default settings.
        steps: that it has.
        rows: the number of training rows, validation rows and test rows, by the name of the split.
    """

    seconds: float
    steps: int
    rows: dict[str, int]

    def with_val_size(self, size: float) -> "Pilot":
        """Return the same for runs that have this fraction of the rows for validation."""
        val = round(size * sum(self.rows.values()))
        train = self.rows["train"] + self.rows["val"] - val
        more = train / self.rows["train"]
        return Pilot(more * self.seconds, math.ceil(more * self.steps), self.rows | {"train": train, "val": val})


class Stopwatch(L.Callback):
    """Measures the latest epoch.

    Attributes:
        seconds: that the epoch took, validation included.
        num_batches: that it had.
        num_all: that an epoch has.
        rows: the number of rows of each split.
    """

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self.seconds = time.perf_counter() - self.started
        self.num_batches = trainer.num_training_batches
        self.rows = {split: len(table.numeric) for split, table in data.tables.items()}
        self.num_all = math.ceil(self.rows["train"] / data.batch_size)


def pilot(config: dict[str, Any]) -> Pilot:
    """Train a few steps; raise InputError if the config or its table cannot be used."""
    stopwatch = Stopwatch()
    trainer = {"limit_train_batches": BATCHES} | config["trainer"]
    trainer |= {"max_epochs": EPOCHS, "enable_checkpointing": False, "enable_progress_bar": False}
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(config | {"trainer": trainer, "callbacks": {}, "logger": {}}, run, callbacks=[stopwatch])
    seconds = stopwatch.seconds * max(1.0, stopwatch.num_all / stopwatch.num_batches)
    return Pilot(seconds, stopwatch.num_all, stopwatch.rows)
