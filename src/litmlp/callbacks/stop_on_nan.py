"""No run goes on with numbers that mean nothing."""

from pathlib import Path

import lightning.pytorch as L
from torch import isfinite

from litmlp import run
from litmlp.callbacks.base import Callback
from litmlp.errors import TrainingDiverged


class StopOnNaN(Callback):
    """Ends the run, before a checkpoint is replaced, once the loss of an epoch is not a finite number."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the validation loss; weights that are not finite make it so."""
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not isfinite(loss):
            folder = Path(trainer.default_root_dir)
            is_saved = run.best_checkpoint(folder) or run.last_checkpoint(folder)
            raise TrainingDiverged(
                f"the loss became {float(loss)} in epoch {trainer.current_epoch}: lower optimizer.lr, or set "
                f"trainer.gradient_clip_val=1{'; the last good checkpoints are kept' if is_saved else ''}"
            )
