"""The callback that logs the learning rate."""

import lightning.pytorch as L

from litmlp.callbacks.base import Callback
from litmlp.loggers import log_metrics


class LearningRate(Callback):
    """Logs the learning rate at the end of each epoch, as `train/learning_rate`, to all loggers."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the first parameter group's rate; all groups have the same."""
        log_metrics(trainer, {"train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"]})
