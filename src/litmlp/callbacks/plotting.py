"""Plots of what a run has learned: on the way, as many as the time for them allows, and at the end."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from litmlp import loggers, run
from litmlp.callbacks.base import Callback
from litmlp.data import Batch
from litmlp.files import replacing
from litmlp.networks.hidden import evaluating

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

MAX_MOMENTS = 12  # while training goes on
FIRST_SECONDS = 0.08  # that the first plots may take
ROWS = 2_000  # drawn, or looked at


class Plotting(Callback, ABC):
    """Draws plots on the way, and those of the best weights at the end, for the loggers and the run's `plots/`.

    While training goes on they show validation rows, at moments that lie the farther apart the longer it goes; all
    plots together take no more than `share_of_time`, or `least_seconds`, so that a short run may have few of them,
    or none but the last.
    Those of the best weights show test rows.

    A subclass says when it has something to draw (`fits`), draws it (`draw`), and how many of its plots, from the
    first on, are drawn while training (`num_while_training`).

    Args:
        in_sweeps: draw them for each job of a sweep, too.
    """

    num_while_training = 1
    share_of_time = 0.01
    least_seconds = 0.0

    def __init__(self, in_sweeps: bool = False) -> None:
        self.in_sweeps = in_sweeps
        self.seconds = 0.0  # that plots have taken
        self.last_seconds = FIRST_SECONDS
        self.next_epoch = 2  # the first one takes longer than others, and tells nothing of how long they will
        self.num_moments = 0

    @abstractmethod
    def fits(self, task: Any, data: Any) -> bool:
        """Return whether there is something to draw."""

    @abstractmethod
    def draw(self, task: Any, data: Any, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield plots by their tags, `group/name`.

        Args:
            task: whose weights are drawn, on its device, evaluating.
            data: its data.
            split: the rows to draw.
            title: what the plots show.
        """

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock after the first epoch; then draw validation rows, when it is time to."""
        epoch = trainer.current_epoch + 1
        if not hasattr(self, "started"):
            self.started, self.first_epoch = perf_counter(), epoch
            self.next_epoch = max(self.next_epoch, epoch + 1)
        elif epoch >= self.next_epoch and self._may_draw(trainer, pl_module):
            if self._seconds_left(trainer) >= self.last_seconds:
                self._show(trainer, pl_module, trainer.datamodule, "val", f"validation rows, epoch {epoch}")
                self.num_moments += 1
            self.next_epoch = self._epoch_after(epoch, trainer)

    def finish(self, trainer: Any, task: Any, data: Any) -> None:
        """Draw the test rows as the best weights see them; called after training."""
        if self.fits(task, data):
            split = "test" if len(data.tables["test"].numeric) else "val"
            folder = Path(trainer.default_root_dir)
            weights = "best" if run.best_checkpoint(folder) else "last"
            title = f"{'test' if split == 'test' else 'validation'} rows, {weights} weights"
            self._show(trainer, task, data, split, title, folder)

    def _may_draw(self, trainer: Any, task: Any) -> bool:
        return (
            self.num_while_training > 0
            and self.num_moments < MAX_MOMENTS
            and trainer.current_epoch + 1 != trainer.max_epochs
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
        except Exception as error:  # a run is worth more than its plots
            log.warning("no plots by %s: %s: %s", type(self).__name__, type(error).__name__, error)
            self.num_while_training = 0
        seconds = perf_counter() - begun
        self.seconds += seconds
        self.last_seconds = seconds / 2 if self.num_moments == 0 else seconds  # fonts are read, memory is fetched

    def _seconds_left(self, trainer: Any) -> float:
        # Of the fraction of the time that training will take, if it goes on as it has.
        taken = sum(callback.seconds for callback in trainer.callbacks if isinstance(callback, Plotting))
        epochs = trainer.current_epoch + 1 - self.first_epoch
        in_all = max(epochs, (trainer.max_epochs or 0) - self.first_epoch)
        expected = (perf_counter() - self.started - taken) / epochs * in_all
        return max(self.least_seconds, self.share_of_time * expected) - taken

    def _epoch_after(self, epoch: int, trainer: Any) -> int:
        # For as many moments as there is time for, at equal steps of the square root of epochs: more in the beginning.
        if not trainer.max_epochs or trainer.max_epochs <= epoch:
            return 2 * epoch
        affordable = max(1, int(self._seconds_left(trainer) / self.last_seconds))
        num_left = max(1, min(MAX_MOMENTS - self.num_moments, affordable))
        root = epoch**0.5
        return max(epoch + 1, round((root + (trainer.max_epochs**0.5 - root) / (num_left + 1)) ** 2))


def _give(trainer: Any, tag: str, figure: "Figure", folder: Path | None) -> None:
    from litmlp.plots.style import to_image, write

    image = to_image(figure)
    loggers.show(trainer, tag, image)
    if folder is not None:
        path = folder / run.PLOTS / f"{tag.replace('/', '-')}.png"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            write(image, temporary)


def some_rows(data: Any, split: str, device: torch.device, most: int = ROWS) -> Batch:
    """Return up to `most` rows of a split, evenly spread over it."""
    table = data.tables[split]
    num_rows = len(table.numeric)
    index = torch.linspace(0, num_rows - 1, min(num_rows, most), dtype=torch.float64).round().long()
    return table.rows(index.to(table.numeric.device)).to(device)
