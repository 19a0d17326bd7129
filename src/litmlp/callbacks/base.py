"""What a callback of this project can say and do beside Lightning's hooks."""

from typing import TYPE_CHECKING

import lightning.pytorch as L

if TYPE_CHECKING:
    from litmlp.data import TabularData
    from litmlp.tasks import Task


class Callback(L.Callback):
    """A callback of Lightning, with three things more. A plain one of Lightning works as well.

    Attributes:
        in_sweeps: whether the jobs of a sweep have it, too.
        once_a_round: whether `on_train_batch_end` may be called once for many steps, with the last of them. Without it,
            a callback with a hook for single steps makes the trainer take them one by one, which takes longer.
    """

    in_sweeps: bool = True
    once_a_round: bool = False

    def finish(self, trainer: L.Trainer, task: "Task", data: "TabularData") -> None:
        """Do what is to be done once, after training, with the best weights, before the loggers are closed.

        Args:
            trainer: of the run, whose `default_root_dir` is the run's folder.
            task: with the best weights, on the trainer's device.
            data: with the rows of all splits.
        """
