"""The two checkpoints of a run."""

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from litmlp.files import replacing


class BestAndLast(Checkpoint):
    """Keeps `checkpoints/best.ckpt`, the weights that scored best, and `last.ckpt`, from which to go on.

    `last.ckpt` is written between epochs, where no epoch is half counted, so that a resumed run repeats an
    uninterrupted one exactly. Its state holds no path, so that a run's folder can be moved.

    Args:
        monitor: the metric that scores.
        mode: `min` or `max`.
    """

    def __init__(self, monitor: str, mode: str) -> None:
        self.monitor = monitor
        self.mode = mode
        self.best_score = math.inf if mode == "min" else -math.inf
        self.best_epoch = -1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights if they are the best so far; the first ones are."""
        score = trainer.callback_metrics.get(self.monitor)
        if score is None or not self._is_best(float(score)):
            return
        self.best_score, self.best_epoch = float(score), trainer.current_epoch
        self._save(trainer, "best.ckpt", weights_only=True)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the state in which the epoch begins."""
        if trainer.current_epoch > 0:
            self._save(trainer, "last.ckpt")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the final state."""
        self._save(trainer, "last.ckpt")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Undo that Lightning has already counted the coming epoch as ready: it would resume at its end."""
        for counter in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
            counter["ready"] = counter["started"]

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"best_score": self.best_score, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best_score, self.best_epoch = state_dict["best_score"], state_dict["best_epoch"]

    def _is_best(self, score: float) -> bool:
        return score < self.best_score if self.mode == "min" else score > self.best_score

    def _save(self, trainer: pl.Trainer, name: str, weights_only: bool = False) -> None:
        path = Path(trainer.default_root_dir) / "checkpoints" / name
        path.parent.mkdir(exist_ok=True)
        if trainer.is_global_zero:
            with replacing(path) as temporary:
                trainer.save_checkpoint(temporary, weights_only)
        else:
            trainer.save_checkpoint(path, weights_only)  # takes part, writes nothing
