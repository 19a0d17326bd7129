"""Hopeless runs of a search end early."""

from typing import TYPE_CHECKING

import lightning.pytorch as pl

if TYPE_CHECKING:
    from optuna.trial import Trial

PRUNED_AT = "pruned at epoch"


class Pruning(pl.Callback):
    """Tells the study the monitored metric of each epoch, and ends the run where the study's pruner says so.

    The run then ends as one that was stopped early: its best weights are tested, and its folder is complete.

    Args:
        trial: the study's side of the run.
        monitor: the metric.
        first_epoch: added to the number of each epoch; a trial of several runs counts them on.

    """

    def __init__(self, trial: "Trial", monitor: str, first_epoch: int = 0) -> None:
        self.trial = trial
        self.monitor = monitor
        self.first_epoch = first_epoch

    @property
    def pruned_at(self) -> int | None:
        """The epoch at whose end the pruner ended the run; kept by the study, so that a resumed run ends there too."""
        epoch = self.trial.user_attrs.get(PRUNED_AT)
        return epoch if isinstance(epoch, int) else None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and ask; an epoch that is repeated after a stop was reported before."""
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            return
        epoch = self.first_epoch + trainer.current_epoch
        reported = self.trial.storage.get_trial(self.trial._trial_id).intermediate_values
        if epoch not in reported:
            self.trial.report(float(score), epoch)
        is_last = epoch >= max(reported, default=epoch)  # of which the study is asked
        if self.pruned_at is None and is_last and self.trial.should_prune():
            self.trial.set_user_attr(PRUNED_AT, epoch)
        if self.pruned_at is not None and epoch >= self.pruned_at:
            trainer.should_stop = True
