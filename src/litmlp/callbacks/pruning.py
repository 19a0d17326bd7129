"""Hopeless runs of a search end early."""

from typing import TYPE_CHECKING

import lightning.pytorch as L

from litmlp.callbacks.base import Callback

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

PRUNED_AT = "pruned at epoch"


class Pruning(Callback):
    """Tells the study the monitored metric of each epoch, and ends the run where the study's pruner says so.

    The run then ends as one that was stopped early: its best weights are tested, and its folder is complete. The study
    keeps at which epoch that was, so that a run that is killed later and gone on with ends there as well.

    Args:
        trial: the study's side of the run.
        monitor: the metric.
        first_epoch: added to the number of each epoch; a trial of several runs counts them on.
    """

    def __init__(self, trial: "Trial", monitor: str, first_epoch: int = 0) -> None:
        self.trial = trial
        self.monitor = monitor
        self.first_epoch = first_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report, and ask; an epoch that is repeated after a stop was reported before."""
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            return
        epoch = self.first_epoch + trainer.current_epoch
        known = self._known()
        pruned_at = _pruned_at(known)
        if not known.state.is_finished():
            if epoch not in known.intermediate_values:
                self.trial.report(float(score), epoch)
            is_last = epoch >= max(known.intermediate_values, default=epoch)  # the pruner judges the last that it knows
            if pruned_at is None and is_last and self.trial.should_prune():
                pruned_at = epoch
                self.trial.set_user_attr(PRUNED_AT, epoch)
        if pruned_at is not None and epoch >= pruned_at:
            trainer.should_stop = True

    def has_ended(self, num_epochs: int) -> bool:
        """Tell whether the pruner ended the run, which took so many epochs."""
        pruned_at = _pruned_at(self._known())
        return pruned_at is not None and pruned_at < self.first_epoch + num_epochs

    def _known(self) -> "FrozenTrial":
        return self.trial.storage.get_trial(self.trial._trial_id)


def _pruned_at(known: "FrozenTrial") -> int | None:
    epoch = known.user_attrs.get(PRUNED_AT)
    return epoch if isinstance(epoch, int) else None
