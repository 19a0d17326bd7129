"""What tests of several processes wait for. Other processes import this module, too."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as L

from litmlp.errors import InputError

MOST_SECONDS = 200.0  # for something that happens in any case, on a busy machine, too


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + MOST_SECONDS
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


@dataclass
class Gated:
    """A job of two chunks: the first is done once another process has begun the second, which may end badly."""

    folder: Path
    end: str = "well"
    workers: Any = None
    parent: int | None = None

    def train(self, numbers: Sequence[int], share: Callable[[], None]) -> None:
        if numbers == [0]:
            self.workers.begin()
            wait_until(lambda: (self.folder / "1").exists())
            return
        (self.folder / "1").write_text(str(os.getpid()))
        if self.end == "error":
            raise InputError("the table has vanished")
        if self.end == "death":
            os.kill(os.getpid(), signal.SIGKILL)


class WaitsForOthers(L.Callback):
    """Lets no process train before a number of them do so."""

    def __init__(self, folder: str, number: int) -> None:
        self.folder = Path(folder)
        self.number = number

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / str(os.getpid())).touch()
        wait_until(lambda: len(list(self.folder.iterdir())) == self.number)


class WaitsAtSteps(WaitsForOthers):
    """Does so, too, and has a hook for each step."""

    def on_train_batch_start(self, *_: Any) -> None:
        pass
