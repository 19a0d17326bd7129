"""The learning rate, beside the metrics."""

import lightning.pytorch as L

from litmlp.callbacks.base import Callback
from litmlp.loggers import log_metrics


class LearningRate(Callback):
    """Logs the rate that each epoch ends with, as `train/learning_rate`, to whatever loggers there are."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the first parameter group's rate; all groups have the same."""
        log_metrics(trainer, {"train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"]})
