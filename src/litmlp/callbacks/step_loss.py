"""The callback that logs the loss of single steps."""

from typing import Any

from litmlp.callbacks.base import Callback
from litmlp.loggers import log_values


class StepLoss(Callback):
    """Logs `train/step_loss`. It needs single steps, so training takes as long as with Lightning's own loop.

    Args:
        every: number of steps from one value to the next.
        in_sweeps: whether each job of a sweep logs it, too.
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
