"""Hopeless runs of a search end early."""

from typing import TYPE_CHECKING

import lightning.pytorch as pl

if TYPE_CHECKING:
    from optuna.trial import Trial


class Pruning(pl.Callback):
    """Tells the study the monitored metric of each epoch, and ends the run where the study's pruner says so.

    The run then ends as one that was stopped early: its best weights are tested, and its folder is complete.

    Args:
        trial: the study's side of the run.
        monitor: the metric.
        first_epoch: added to the number of each epoch; a trial of several runs counts them on.

    Attributes:
        is_pruned: whether the run was ended.
    """

    def __init__(self, trial: "Trial", monitor: str, first_epoch: int = 0) -> None:
        self.trial = trial
        self.monitor = monitor
        self.first_epoch = first_epoch
        self.is_pruned = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and ask; an epoch that is repeated after a stop was reported before."""
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            return
        epoch = self.first_epoch + trainer.current_epoch
        if epoch not in self.trial.storage.get_trial(self.trial._trial_id).intermediate_values:
            self.trial.report(float(score), epoch)
        if self.trial.should_prune():
            self.is_pruned = True
            trainer.should_stop = True
