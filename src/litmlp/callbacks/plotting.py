"""The base class of callbacks that draw plots: during training as often as time allows, and after training."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from litmlp import loggers, run_folder
from litmlp.callbacks.base import Callback
from litmlp.data import Batch
from litmlp.files import replacing
from litmlp.networks.hidden import evaluating

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

MAX_DRAWINGS = 12  # during training
FIRST_SECONDS = 0.08  # assumed for the first drawing, before one was measured
ROWS = 2_000  # at most, in a sample


class Plotting(Callback, ABC):
    """Draws plots during and after training, for the loggers and the run's folder `plots/`.

    During training, plots show validation rows and go to the loggers only. The later it is, the more epochs lie between
    two drawings. The plots of all callbacks together take at most `fraction_of_time`, or `min_seconds` if that is more.
    A short run may have few of them, or none. After training, plots show test rows as the best weights predict them.

    A subclass defines whether there is something to draw (`fits`), the plots (`draw`), and how many of them, from the
    first, are also drawn during training (`num_while_training`).

    Args:
        in_sweeps: whether each job of a sweep draws plots, too.
    """

    num_while_training = 1
    fraction_of_time = 0.01
    min_seconds = 0.0

    def __init__(self, in_sweeps: bool = False) -> None:
        self.in_sweeps = in_sweeps
        self.seconds = 0.0  # of all drawings so far
        self.last_seconds = FIRST_SECONDS  # of the last drawing
        self.next_epoch = 2  # not 1: the first epoch takes longer than others, so the training time cannot be estimated
        self.num_drawings = 0

    @abstractmethod
    def fits(self, task: Any, data: Any) -> bool:
        """Return whether there is something to draw."""

    @abstractmethod
    def draw(self, task: Any, data: Any, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield pairs of a tag, `group/name`, and a plot.

        Args:
            task: the task to draw, on its device and in evaluation mode.
            data: the task's data.
            split: name of the split whose rows are drawn.
            title: text that tells rows and weights.
        """

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock after the first epoch; after a later one, draw validation rows if it is time to."""
        epoch = trainer.current_epoch + 1
        if not hasattr(self, "started"):
            self.started, self.first_epoch = perf_counter(), epoch
            self.next_epoch = max(self.next_epoch, epoch + 1)
        elif epoch >= self.next_epoch and self._may_draw(trainer, pl_module):
            if self._seconds_left(trainer) >= self.last_seconds:
                self._show(trainer, pl_module, trainer.datamodule, "val", f"validation rows, epoch {epoch}")
                self.num_drawings += 1
            self.next_epoch = self._epoch_after(epoch, trainer)

    def finish(self, trainer: Any, task: Any, data: Any) -> None:
        """Draw test rows with the best weights, after training; validation rows if there are no test rows."""
        if self.fits(task, data):
            split = "test" if len(data.tables["test"].numeric) else "val"
            folder = Path(trainer.default_root_dir)
            weights = "best" if run_folder.best_checkpoint(folder) else "last"
            title = f"{'test' if split == 'test' else 'validation'} rows, {weights} weights"
            self._show(trainer, task, data, split, title, folder)

    def _may_draw(self, trainer: Any, task: Any) -> bool:
        return (
            self.num_while_training > 0
            and self.num_drawings < MAX_DRAWINGS
            and trainer.current_epoch + 1 != trainer.max_epochs  # the plots after training follow at once
            and trainer.is_global_zero
            and bool(trainer.loggers)
            and self.fits(task, trainer.datamodule)
        )

    def _show(self, trainer: Any, task: Any, data: Any, split: str, title: str, folder: Path | None = None) -> None:
        begun = perf_counter()
        try:
            with evaluating(task):
                plots = self.draw(task, data, split, title)
                for tag, figure in islice(plots, self.num_while_training if folder is None else None):
                    _give(trainer, tag, figure, folder)
        except Exception as error:  # plots must not end a run
            log.warning("no plots by %s: %s: %s", type(self).__name__, type(error).__name__, error)
            self.num_while_training = 0  # the next drawing, after training, is tried nevertheless
        seconds = perf_counter() - begun
        self.seconds += seconds
        # The first drawing also reads fonts and allocates memory, so the next ones will take less.
        self.last_seconds = seconds / 2 if self.num_drawings == 0 else seconds

    def _seconds_left(self, trainer: Any) -> float:
        # The time of all epochs is estimated from those so far, without the time that plots took.
        drawing_seconds = sum(callback.seconds for callback in trainer.callbacks if isinstance(callback, Plotting))
        num_epochs = trainer.current_epoch + 1 - self.first_epoch
        total_epochs = max(num_epochs, (trainer.max_epochs or 0) - self.first_epoch)
        expected = (perf_counter() - self.started - drawing_seconds) / num_epochs * total_epochs
        return max(self.min_seconds, self.fraction_of_time * expected) - drawing_seconds

    def _epoch_after(self, epoch: int, trainer: Any) -> int:
        # As many more drawings as there is time for, at equal steps of the epoch's square root: more at the beginning.
        if not trainer.max_epochs or trainer.max_epochs <= epoch:
            return 2 * epoch
        affordable = max(1, int(self._seconds_left(trainer) / self.last_seconds))
        num_left = max(1, min(MAX_DRAWINGS - self.num_drawings, affordable))
        root = epoch**0.5
        return max(epoch + 1, round((root + (trainer.max_epochs**0.5 - root) / (num_left + 1)) ** 2))


def _give(trainer: Any, tag: str, figure: "Figure", folder: Path | None) -> None:
    from litmlp.plots.style import to_image, write

    image = to_image(figure)
    loggers.show(trainer, tag, image)
    if folder is not None:
        path = folder / run_folder.PLOTS / f"{tag.replace('/', '-')}.png"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            write(image, temporary)


def sampled_rows(data: Any, split: str, device: torch.device, max_rows: int = ROWS) -> Batch:
    """Return a sample of at most `max_rows` rows of a split, evenly spread over it."""
    table = data.tables[split]
    num_rows = len(table.numeric)
    index = torch.linspace(0, num_rows - 1, min(num_rows, max_rows), dtype=torch.float64).round().long()
    return table.rows(index.to(table.numeric.device)).to(device)
