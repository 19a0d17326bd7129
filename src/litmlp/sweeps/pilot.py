"""Measures how long an epoch takes, before a search decides how many its runs have."""

import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as L

from litmlp.commands.train import train

EPOCHS, BATCHES = 3, 50  # of the run that is measured; the first epoch takes longer than others


class Stopwatch(L.Callback):
    """Measures the latest epoch.

    Attributes:
        seconds: that the epoch took, validation included.
        num_batches: that it had.
        num_all: that an epoch has.
    """

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self.seconds = time.perf_counter() - self.started
        self.num_batches = trainer.num_training_batches
        self.num_all = math.ceil(len(data.tables["train"].numeric) / data.batch_size)


def epoch(config: dict[str, Any]) -> tuple[float, int]:
    """Return the seconds and steps of an epoch; raise InputError if the config or its table cannot be used."""
    stopwatch = Stopwatch()
    trainer = {"limit_train_batches": BATCHES} | config["trainer"]
    trainer |= {"max_epochs": EPOCHS, "enable_checkpointing": False, "enable_progress_bar": False}
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(config | {"trainer": trainer, "callbacks": {}, "logger": {}}, run, callbacks=[stopwatch])
    return stopwatch.seconds * max(1.0, stopwatch.num_all / stopwatch.num_batches), stopwatch.num_all
