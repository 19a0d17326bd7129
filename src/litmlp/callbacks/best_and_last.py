"""The two checkpoints of a run."""

import math
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Checkpoint

from litmlp.callbacks.base import Callback
from litmlp.files import replacing
from litmlp.training import compat

FRACTION_OF_TIME = 0.005  # for writing
SECONDS_WITHIN_EPOCH = 60.0


class BestAndLast(Callback, Checkpoint):
    """Keeps `checkpoints/best.ckpt`, the weights that scored best, and `last.ckpt`, from which to go on.

    Both are written after an epoch, and once a minute within a long epoch. Where writing would take more than 0.5 % of
    the time, it waits, and the best weights stay in memory until then. A resumed run gives the same weights as a run
    that was never stopped. The state holds no path, so that a run's folder can be moved.

    Args:
        monitor: the metric that scores.
        mode: `min` or `max`.
    """

    once_a_round = True

    def __init__(self, monitor: str, mode: str) -> None:
        self.monitor = monitor
        self.mode = mode
        self.best_score = math.inf if mode == "min" else -math.inf
        self.best_epoch = -1
        self.was_stopped = False  # by a callback, after which nothing but the test was left to do
        self.unwritten_best: dict[str, Any] | None = None
        self.next_write = 0.0
        self.last_write = perf_counter()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Do not go on with what was stopped."""
        if self.was_stopped:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the weights if they are the best so far; the first ones are."""
        score = trainer.callback_metrics.get(self.monitor)
        if score is None or not self._is_best(float(score)):
            return
        self.best_score, self.best_epoch = float(score), trainer.current_epoch
        weights = {name: tensor.clone() for name, tensor in trainer.strategy.lightning_module_state_dict().items()}
        self.unwritten_best = {
            "state_dict": weights,
            "epoch": trainer.current_epoch,
            "global_step": trainer.global_step,
        }

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the state in which the epoch begins, unless that was done just now."""
        if trainer.current_epoch > 0 and perf_counter() >= self.next_write:
            self._write(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Write the state within a long epoch, but for the moment before a validation."""
        now = perf_counter()
        if now < self.next_write or now < self.last_write + SECONDS_WITHIN_EPOCH or trainer.world_size > 1:
            return
        if compat.can_go_on_within_epoch(trainer):
            self._write(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the final state."""
        self.was_stopped = trainer.should_stop
        self._write(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Write the best weights; where training broke off, the epoch is not whole."""
        self._write_best(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Undo that Lightning has already counted the coming epoch as ready: it would resume at its end."""
        for counter in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
            counter["ready"] = counter["started"]

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        state = {"best_score": self.best_score, "best_epoch": self.best_epoch}
        return state | {"was_stopped": True} if self.was_stopped else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best_score, self.best_epoch = state_dict["best_score"], state_dict["best_epoch"]
        self.was_stopped = state_dict.get("was_stopped") is True

    def _is_best(self, score: float) -> bool:
        return score < self.best_score if self.mode == "min" else score > self.best_score

    def _write(self, trainer: L.Trainer) -> None:
        started = perf_counter()
        self._write_best(trainer)  # first: the state that goes on knows of it
        if trainer.is_global_zero:
            _save(trainer, compat.checkpoint_of(trainer, weights_only=False), "last.ckpt")
        self.last_write = perf_counter()
        self.next_write = self.last_write + (self.last_write - started) / FRACTION_OF_TIME

    def _write_best(self, trainer: L.Trainer) -> None:
        if self.unwritten_best is not None and trainer.is_global_zero:
            now = compat.checkpoint_of(trainer, weights_only=True)
            del now["loops"]  # the weights are of an earlier moment
            _save(trainer, now | self.unwritten_best, "best.ckpt")
        self.unwritten_best = None


def _save(trainer: L.Trainer, checkpoint: dict[str, Any], name: str) -> None:
    path = Path(trainer.default_root_dir) / "checkpoints" / name
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        trainer.strategy.save_checkpoint(checkpoint, temporary)
