"""The callback that lets an Optuna study end a hopeless run early."""

from typing import TYPE_CHECKING

import lightning.pytorch as L

from litmlp.callbacks.base import Callback

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

PRUNED_AT = "pruned at epoch"


class Pruning(Callback):
    """Gives the study the monitored metric of each epoch, and stops the run when the study's pruner decides so.

    The run then ends like one that was stopped early: its best weights are tested, and its folder is complete. The
    study stores the epoch of the decision. So a run that is killed later, and resumed, ends at the same epoch.

    Args:
        trial: the study's trial, to which the run belongs.
        monitor: name of the metric.
        first_epoch: number of epochs in earlier runs of the same trial, which is added to the number of each epoch.
    """

    def __init__(self, trial: "Trial", monitor: str, first_epoch: int = 0) -> None:
        self.trial = trial
        self.monitor = monitor
        self.first_epoch = first_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Give the study the epoch's score, and ask its pruner.

        A resumed run repeats epochs after its last checkpoint. The study may know their scores already, and it may
        already have decided to prune.
        """
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            return
        epoch = self.first_epoch + trainer.current_epoch
        stored = self._stored_trial()
        pruned_at = _pruned_at(stored)
        if not stored.state.is_finished():
            if epoch not in stored.intermediate_values:
                self.trial.report(float(score), epoch)
            is_last = epoch >= max(stored.intermediate_values, default=epoch)  # the pruner judges the last stored epoch
            if pruned_at is None and is_last and self.trial.should_prune():
                pruned_at = epoch
                self.trial.set_user_attr(PRUNED_AT, epoch)
        if pruned_at is not None and epoch >= pruned_at:
            trainer.should_stop = True

    def has_ended(self, num_epochs: int) -> bool:
        """Tell whether the pruner ended the run, which took `num_epochs`."""
        pruned_at = _pruned_at(self._stored_trial())
        return pruned_at is not None and pruned_at < self.first_epoch + num_epochs

    def _stored_trial(self) -> "FrozenTrial":
        return self.trial.storage.get_trial(self.trial._trial_id)


def _pruned_at(stored: "FrozenTrial") -> int | None:
    epoch = stored.user_attrs.get(PRUNED_AT)
    return epoch if isinstance(epoch, int) else None
