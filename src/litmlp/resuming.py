"""Going on from a run's `last.ckpt`, which must hold what this run would have written."""

from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from litmlp import checkpoint, run
from litmlp.errors import InputError, TrainingDiverged
from litmlp.paths import display

NEEDED = {"epoch": int, "global_step": int, "state_dict": dict, "loops": dict, "callbacks": dict}
NEEDED |= {"optimizer_states": list, "lr_schedulers": list}
NOT_FITTING = (KeyError, IndexError, AttributeError, TypeError, ValueError, AssertionError, RuntimeError)


class NotAlike(ValueError):
    """A stored value is of another structure than one that this run has; the message is its place."""


class Given(TorchCheckpointIO):
    """Gives Lightning a state that was read and checked before.

    Args:
        state: the content of a checkpoint.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def load_checkpoint(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the state."""
        return self.state


class State(L.Callback):
    """The state that a run goes on from, which must be alike what this run would write.

    Args:
        file: the run's `last.ckpt`.
        state: its content.
    """

    def __init__(self, file: Path, state: dict[str, Any]) -> None:
        self.file = file
        self.state = state

    @classmethod
    def of(cls, folder: Path) -> "State | None":
        """Return what a stopped run goes on from; None if it got to the end of no epoch.

        Raises:
            InputError: it is damaged, or the best weights that it knows of are.
        """
        last, best = run.last_checkpoint(folder), run.best_checkpoint(folder)
        if last is None:
            return None
        try:
            state = checkpoint.read(last)
            if best is not None:
                checkpoint.read(best)
        except InputError as error:
            raise _unusable(last, str(error)) from error
        if absent := [name for name, kind in NEEDED.items() if type(state.get(name)) is not kind]:
            raise _unusable(last, f"'{display(last)}' holds no {absent[0]}")
        kept = state["callbacks"].get("BestAndLast")
        if best is None and isinstance(kept, dict) and kept.get("best_epoch") != -1:
            raise _unusable(last, f"'{display(last.with_name('best.ckpt'))}' is lost")
        return cls(last, state)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Compare callbacks and loops, before they get their state."""
        for callback in trainer.callbacks:
            if (key := callback.state_key) in self.state["callbacks"]:
                check_alike(self.state["callbacks"][key], callback.state_dict(), key)
        check_alike(self.state["loops"].get("fit_loop"), trainer.fit_loop.state_dict(), "fit_loop")

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Compare optimizers and schedules; what an optimizer keeps of its parameters shows in the first step."""
        optimizers = [optimizer.state_dict()["param_groups"] for optimizer in trainer.optimizers]
        given = [one.get("param_groups") if isinstance(one, dict) else None for one in self.state["optimizer_states"]]
        check_alike(given, optimizers, "optimizer_states")
        schedules = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
        check_alike(self.state["lr_schedulers"], schedules, "lr_schedulers")

    def refusal(self, error: Exception, trainer: Any) -> InputError | None:
        """Return a sentence for a state that does not fit, which shows before the first step is done; else None."""
        if isinstance(error, NotAlike):
            return _unusable(self.file, f"'{display(self.file)}' does not fit this run (its {error})")
        is_of_state = isinstance(error, NOT_FITTING) and not isinstance(error, InputError | TrainingDiverged)
        if not is_of_state or trainer.global_step > self.state["global_step"]:
            return None
        return _unusable(self.file, f"'{display(self.file)}' does not fit this run ({type(error).__name__})")


def check_alike(given: Any, fresh: Any, place: str) -> None:
    """Raise NotAlike unless a stored value is of the same structure as one that this run has.

    Dicts must have the same keys, lists as many items, tensors the same shape and type; where this run has nothing yet,
    None or an empty dict, anything plain may be stored.
    """
    if isinstance(fresh, dict) and fresh:
        is_alike = isinstance(given, dict) and fresh.keys() <= given.keys()
        inner = [(given[key], value, key) for key, value in fresh.items()] if is_alike else []
    elif isinstance(fresh, list | tuple):
        is_alike = isinstance(given, list | tuple) and len(given) == len(fresh)
        inner = [(given[index], value, index) for index, value in enumerate(fresh)] if is_alike else []
    else:
        is_alike, inner = _is_alike(given, fresh), []
    if not is_alike:
        raise NotAlike(place)
    for one, other, key in inner:
        check_alike(one, other, f"{place}.{key}")


def _is_alike(given: Any, fresh: Any) -> bool:
    if isinstance(fresh, Tensor):
        return isinstance(given, Tensor) and given.shape == fresh.shape and given.dtype == fresh.dtype
    if isinstance(fresh, bool):
        return isinstance(given, bool)
    if isinstance(fresh, int | float):
        return isinstance(given, int | float) and not isinstance(given, bool)
    if isinstance(fresh, str):
        return isinstance(given, str)
    return fresh != {} or isinstance(given, dict)


def _unusable(last: Path, reason: str) -> InputError:
    reason = reason.partition(": ")[0]
    return InputError(
        f"{reason}, so the run cannot go on from there: remove '{display(last.parent)}', and it starts again"
    )
