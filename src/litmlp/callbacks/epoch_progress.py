"""A progress bar for networks whose epochs are short."""

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from litmlp import run_folder
from litmlp.callbacks.base import Callback
from litmlp.process import stderr_is_terminal

log = logging.getLogger(__name__)


class EpochProgress(Callback, ProgressBar):
    """Draws one bar for the whole run, which counts epochs, and writes one line for each epoch to the run's log.

    The bar is drawn if standard error is a terminal. Otherwise the lines are printed as well.

    Args:
        monitor: the metric whose best value is shown.
        mode: `min` or `max`.
    """

    in_sweeps = False  # a sweep prints one line for each run
    once_a_round = True

    def __init__(self, monitor: str, mode: str) -> None:
        super().__init__()
        self.monitor = monitor
        self.best = min if mode == "min" else max
        self.best_score: float | None = None
        self.is_enabled = True
        self.bar: tqdm | None = None
        self.pending_epoch: int | None = None  # the number of an epoch that has ended, but has no line in the log yet

    def disable(self) -> None:
        """Draw no bar; Lightning calls this in all processes but the first."""
        self.is_enabled = False

    def enable(self) -> None:
        """Undo `disable`."""
        self.is_enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the bar; that of a resumed run starts at its current epoch."""
        total = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        hidden = not (self.is_enabled and stderr_is_terminal() and trainer.is_global_zero)
        self.bar = tqdm(total=total, initial=trainer.current_epoch, unit="epoch", disable=hidden, dynamic_ncols=True)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *step: Any) -> None:
        """Advance the bar within an epoch, which matters if epochs are long."""
        *_, batch_idx = step
        self._advance(round(trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches, 2))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that the epoch has ended.

        Its line is written later: callbacks have this hook before the task, which then logs its training metrics.
        """
        self.pending_epoch = trainer.current_epoch + 1

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the previous epoch."""
        self._log_epoch(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the last epoch and close the bar, which stays on the screen."""
        self._log_epoch(trainer)
        self._close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the bar, which stays on the screen."""
        self._close()

    def _log_epoch(self, trainer: L.Trainer) -> None:
        assert self.bar is not None
        if self.pending_epoch is None:
            return
        self._update_best(trainer.callback_metrics)
        losses = self._losses(trainer.callback_metrics)
        line = f"epoch {self.pending_epoch}: {losses}"
        if self.bar.disable:
            log.info("%s", line)
        else:  # only to the file: a line on the terminal would tear the bar
            run_folder.write_to_log(Path(trainer.default_root_dir), log, line)
            self.bar.set_postfix_str(losses, refresh=False)
            self._advance(self.pending_epoch)
        self.pending_epoch = None

    def _advance(self, position: float) -> None:
        assert self.bar is not None
        if not self.bar.disable:
            self.bar.n = position
            self.bar.update(0)  # draws the bar, but at most several times a second

    def _update_best(self, metrics: dict[str, Any]) -> None:
        if self.monitor in metrics:
            score = float(metrics[self.monitor])
            self.best_score = score if self.best_score is None else self.best(self.best_score, score)

    def _losses(self, metrics: dict[str, Any]) -> str:
        shown: dict[str, float] = {name: float(metrics[name]) for name in ("train/loss", "val/loss") if name in metrics}
        if self.best_score is not None:
            shown[f"best {self.monitor}"] = self.best_score
        return ", ".join(f"{name} {value:.4g}" for name, value in shown.items())

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
