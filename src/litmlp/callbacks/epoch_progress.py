"""A progress bar for networks whose epochs are short."""

import sys
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm


class EpochProgress(ProgressBar):
    """One bar for the whole run, counting epochs, with the latest training and validation losses.

    It is drawn on standard error where that is a terminal, and not at all elsewhere.

    Args:
        monitor: the metric whose best value is shown.
        mode: `min` or `max`.
    """

    in_sweeps = False  # which say a line a run

    def __init__(self, monitor: str, mode: str) -> None:
        super().__init__()
        self.monitor = monitor
        self.best = min if mode == "min" else max
        self.best_score: float | None = None
        self.is_enabled = True
        self.bar: tqdm | None = None

    def disable(self) -> None:
        """Lightning calls this in all processes but the first."""
        self.is_enabled = False

    def enable(self) -> None:
        """Undo `disable`."""
        self.is_enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the bar, from the epoch that a resumed run goes on with."""
        total = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        hidden = not (self.is_enabled and sys.stderr.isatty() and trainer.is_global_zero)
        self.bar = tqdm(total=total, initial=trainer.current_epoch, unit="epoch", disable=hidden, dynamic_ncols=True)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        """Advance within an epoch, which tells where epochs are long."""
        *_, batch_idx = step
        self._advance(round(trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches, 2))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Advance to the next epoch."""
        assert self.bar is not None
        self._remember(trainer.callback_metrics)
        if not self.bar.disable:
            self.bar.set_postfix_str(self._losses(trainer.callback_metrics), refresh=False)
            self._advance(trainer.current_epoch + 1)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the bar as it stands."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the bar as it stands."""
        self._close()

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
