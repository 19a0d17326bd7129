"""The loss of single steps."""

from typing import Any

from litmlp.callbacks.base import Callback
from litmlp.loggers import log_values


class StepLoss(Callback):
    """Logs `train/step_loss`. Single steps are looked at, so they take as long as Lightning's usual ones.

    Args:
        every: steps from one value to the next.
        in_sweeps: log it for each job of a sweep, too.
    """

    def __init__(self, every: int = 1, in_sweeps: bool = False) -> None:
        self.in_sweeps = in_sweeps
        if every < 1:
            raise ValueError(f"every must be 1 step or more, not {every}")
        self.every = every

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *step: Any) -> None:
        """Log the loss of a step."""
        if trainer.global_step % self.every == 0:
            log_values(trainer, {"train/step_loss": outputs["loss"]})
