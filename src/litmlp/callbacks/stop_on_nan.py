"""The callback that stops a run whose loss is no longer a finite number."""

import math
from pathlib import Path

import lightning.pytorch as L

from litmlp import run_folder
from litmlp.callbacks.base import Callback
from litmlp.errors import TrainingDiverged


class StopOnNaN(Callback):
    """Stops the run after an epoch whose loss is not a finite number, before a checkpoint is replaced."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the validation loss: it is not finite if weights are not finite."""
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not math.isfinite(loss):
            folder = Path(trainer.default_root_dir)
            is_saved = run_folder.best_checkpoint(folder) or run_folder.last_checkpoint(folder)
            raise TrainingDiverged(
                f"the loss became {float(loss)} in epoch {trainer.current_epoch}: lower optimizer.lr, or set "
                f"trainer.gradient_clip_val=1{'; the last good checkpoints are kept' if is_saved else ''}"
            )
