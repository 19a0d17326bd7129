"""The base class of this project's callbacks, which adds to Lightning's hooks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import lightning.pytorch as L

if TYPE_CHECKING:
    from litmlp.data import TabularData
    from litmlp.tasks import Task


def pause(trainer: Any, seconds: float, fraction: float) -> float:
    """Return after how many seconds something that took `seconds` may be done again, to take a fraction of the time.

    Runs that one process trains side by side share its time.
    """
    return seconds / fraction * getattr(trainer.fit_loop, "side_by_side", 1)


class Callback(L.Callback):
    """A Lightning callback with two more attributes and one more hook. Plain Lightning callbacks work as well.

    Attributes:
        in_sweeps: whether the jobs of a sweep have this callback, too.
        once_a_round: whether `on_train_batch_end` may be called once for many steps, with the arguments of the last
            one. If False, a callback that has a hook for each step makes the trainer take steps one by one, which takes
            longer.
    """

    in_sweeps: bool = True
    once_a_round: bool = False

    def finish(self, trainer: L.Trainer, task: "Task", data: "TabularData") -> None:
        """Do work with the best weights. Called once, after training and before the loggers are closed.

        Args:
            trainer: the run's trainer; its `default_root_dir` is the run's folder.
            task: the task with the best weights, on the trainer's device.
            data: the data with the rows of all splits.
        """


class AtFitStart(Callback):
    """Calls a function when training begins, once the table is in memory.

    Args:
        function: is called with the trainer.
    """

    def __init__(self, function: Callable[[L.Trainer], None]) -> None:
        self.function = function

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Call the function."""
        self.function(trainer)
