"""The callback that writes a run's two checkpoints."""

import math
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning.pytorch as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.strategies import Strategy

from litmlp.callbacks.base import Callback, pause
from litmlp.files import replacing
from litmlp.training import compat

FRACTION_OF_TIME = 0.005  # of the training time, which writing may take
SECONDS_WITHIN_EPOCH = 60.0  # at least, between two writes within an epoch


class BestAndLast(Callback, Checkpoint):
    """Writes `checkpoints/best.ckpt`, the weights with the best score, and `last.ckpt`, from which a run resumes.

    Both are written after an epoch, and once a minute within a long epoch. After each write, the callback waits until
    writing takes at most 0.5 % of the time. Until the next write, the best weights stay in memory. A resumed run ends
    with the same weights as a run that was never interrupted. The state holds no path, so a run's folder can be moved.

    Args:
        monitor: the metric by which weights are compared.
        mode: `min` if a lower score is better, `max` if a higher one is.
    """

    once_a_round = True

    def __init__(self, monitor: str, mode: str) -> None:
        self.monitor = monitor
        self.mode = mode
        self.best_score = math.inf if mode == "min" else -math.inf
        self.best_epoch = -1
        self.was_stopped = False  # a callback, such as early stopping, ended training; only the test was left
        self.unwritten_best: dict[str, Any] | None = None  # the part of best.ckpt that was not written yet
        self.written_best: dict[str, Any] | None = None  # the same of the file, if this process has written it
        self.written_last: dict[str, Any] | None = None  # what last.ckpt says of the effort, likewise
        self.next_write = 0.0  # nothing is written before this time, except when training ends
        self.last_write = perf_counter()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End a resumed run at once if a callback had already stopped it."""
        if self.was_stopped:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep a copy of the weights in memory if their score is the best so far, as the first score always is."""
        score = trainer.callback_metrics.get(self.monitor)
        if score is None or not self._is_best(float(score)):  # NaN is never the best
            return
        self.best_score, self.best_epoch = float(score), trainer.current_epoch
        self.written_best = None  # its memory is free for the copy
        weights = {name: tensor.clone() for name, tensor in trainer.strategy.lightning_module_state_dict().items()}
        self.unwritten_best = {
            "state_dict": weights,
            "epoch": trainer.current_epoch,
            "global_step": trainer.global_step,
        }

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write both checkpoints after the previous epoch, unless it is too early.

        Not in `on_train_epoch_end`: there, Lightning has neither counted the epoch as completed nor given its score to
        `ReduceLROnPlateau`.
        """
        if trainer.current_epoch > 0 and perf_counter() >= self.next_write:
            self._write(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Write both checkpoints within a long epoch, unless a validation comes next.

        Not with several processes: only the first one writes, and it does not know the generators' states and the
        collected outputs of the others.
        """
        now = perf_counter()
        if now < self.next_write or now < self.last_write + SECONDS_WITHIN_EPOCH or trainer.world_size > 1:
            return
        if compat.can_go_on_within_epoch(trainer):
            self._write(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write both checkpoints, whatever time it takes."""
        self.was_stopped = trainer.should_stop
        self._write(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Write the best weights only: the epoch is incomplete, so a run resumes from the `last.ckpt` on disk."""
        self._write_best(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Set Lightning's count of epochs that are ready to the count of those that have started.

        In `on_train_epoch_start`, the new epoch is ready, but not started. Lightning would take it for an interrupted
        one. The counters of steps are still those of the previous epoch, so it would resume at the new epoch's end.
        """
        for counter in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
            counter["ready"] = counter["started"]

    def state_dict(self) -> dict[str, Any]:
        """Return the best score and its epoch, and whether a callback stopped the run, as plain values."""
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
        # First: last.ckpt holds the best score. After a crash between the two, a resumed run repeats some epochs and
        # finds the best weights again. In the other order, best.ckpt would lack the weights of that score for good.
        self._write_best(trainer)
        if trainer.is_global_zero:
            checkpoint = compat.checkpoint_of(trainer, weights_only=False)
            _save(trainer, checkpoint, "last.ckpt")
            self.written_last = {key: checkpoint[key] for key in ("epoch", "global_step", "callbacks")}
        self.last_write = perf_counter()
        self.next_write = self.last_write + pause(trainer, self.last_write - started, FRACTION_OF_TIME)

    def _write_best(self, trainer: L.Trainer) -> None:
        if self.unwritten_best is not None and trainer.is_global_zero:
            checkpoint = compat.checkpoint_of(trainer, weights_only=True)
            del checkpoint["loops"]  # Lightning's counters are of now, but the weights may be of an earlier epoch
            _save(trainer, checkpoint | self.unwritten_best, "best.ckpt")
            self.written_best = self.unwritten_best
        self.unwritten_best = None


def _save(trainer: L.Trainer, checkpoint: dict[str, Any], name: str) -> None:
    path = Path(trainer.default_root_dir) / "checkpoints" / name
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        if _is_saved_by_torch(trainer.strategy):
            torch.save(checkpoint, buffer := BytesIO())
            temporary.write_bytes(buffer.getbuffer())
        else:
            trainer.strategy.save_checkpoint(checkpoint, temporary)


def _is_saved_by_torch(strategy: Strategy) -> bool:
    # Then the strategy does nothing else, but by way of fsspec, which takes as long as `torch.save` of a small network.
    io = strategy.checkpoint_io
    return (
        type(strategy).save_checkpoint is Strategy.save_checkpoint
        and isinstance(io, TorchCheckpointIO)
        and type(io).save_checkpoint is TorchCheckpointIO.save_checkpoint
    )
