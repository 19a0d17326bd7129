"""A progress bar for networks whose epochs are short."""

import logging
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from litmlp import run
from litmlp.callbacks.base import Callback

log = logging.getLogger(__name__)


class EpochProgress(Callback, ProgressBar):
    """One bar for the whole run, counting epochs, and a line an epoch in its log.

    The bar is drawn on standard error where that is a terminal; elsewhere, the lines are printed as well.

    Args:
        monitor: the metric whose best value is shown.
        mode: `min` or `max`.
    """

    in_sweeps = False  # which say a line a run
    once_a_round = True

    def __init__(self, monitor: str, mode: str) -> None:
        super().__init__()
        self.monitor = monitor
        self.best = min if mode == "min" else max
        self.best_score: float | None = None
        self.is_enabled = True
        self.bar: tqdm | None = None
        self.unsaid: int | None = None  # the epoch that is over, and not yet told of

    def disable(self) -> None:
        """Lightning calls this in all processes but the first."""
        self.is_enabled = False

    def enable(self) -> None:
        """Undo `disable`."""
        self.is_enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the bar, from the epoch that a resumed run goes on with."""
        total = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        hidden = not (self.is_enabled and sys.stderr.isatty() and trainer.is_global_zero)
        self.bar = tqdm(total=total, initial=trainer.current_epoch, unit="epoch", disable=hidden, dynamic_ncols=True)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *step: Any) -> None:
        """Advance within an epoch, which tells where epochs are long."""
        *_, batch_idx = step
        self._advance(round(trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches, 2))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that the epoch is over: its training metrics are known only after this hook, when the task reports."""
        self.unsaid = trainer.current_epoch + 1

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell of the epoch before."""
        self._say(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell of the last epoch, and leave the bar as it stands."""
        self._say(trainer)
        self._close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leave the bar as it stands."""
        self._close()

    def _say(self, trainer: L.Trainer) -> None:
        assert self.bar is not None
        if self.unsaid is None:
            return
        self._remember(trainer.callback_metrics)
        losses = self._losses(trainer.callback_metrics)
        line = f"epoch {self.unsaid}: {losses}"
        if self.bar.disable:
            log.info("%s", line)
        else:
            run.write_to_log(Path(trainer.default_root_dir), log, line)
            self.bar.set_postfix_str(losses, refresh=False)
            self._advance(self.unsaid)
        self.unsaid = None

    def _advance(self, to: float) -> None:
        assert self.bar is not None
        if not self.bar.disable:
            self.bar.n = to
            self.bar.update(0)  # draws it, several times a second at most

    def _remember(self, metrics: dict[str, Any]) -> None:
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
