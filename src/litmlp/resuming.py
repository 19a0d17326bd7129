"""Resumes a run from its `last.ckpt`, after checking that it has the same structure as this run's own state."""

from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from litmlp import checkpoint, run_folder
from litmlp.errors import InputError, TrainingDiverged
from litmlp.paths import display

REQUIRED = {"epoch": int, "global_step": int, "state_dict": dict, "loops": dict, "callbacks": dict}
REQUIRED |= {"optimizer_states": list, "lr_schedulers": list}
# Errors that libraries raise for a state that does not fit.
MISFIT_ERRORS = (KeyError, IndexError, AttributeError, TypeError, ValueError, AssertionError, RuntimeError)


class StructureMismatch(ValueError):
    """A stored value has another structure than this run's own one; the message is the path of its keys."""


class InMemoryCheckpointIO(TorchCheckpointIO):
    """Gives Lightning a checkpoint that has already been read and checked, instead of reading the file again.

    Args:
        state: the content of a checkpoint.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def load_checkpoint(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the state."""
        return self.state


class State(L.Callback):
    """The state from which a run resumes. As a callback, it compares the state's structure with the run's own.

    Args:
        file: the run's `last.ckpt`.
        state: the content of `file`.
    """

    def __init__(self, file: Path, state: dict[str, Any]) -> None:
        self.file = file
        self.state = state

    @classmethod
    def of(cls, folder: Path) -> "State | None":
        """Read the state of the interrupted run in `folder`; return None if it has not written one yet.

        Raises:
            InputError: `last.ckpt` is damaged, or `best.ckpt` is damaged or lost.
        """
        last, best = run_folder.last_checkpoint(folder), run_folder.best_checkpoint(folder)
        if last is None:
            return None
        try:
            state = checkpoint.read(last)
            if best is not None:
                checkpoint.read(best)
        except InputError as error:
            raise _unusable(last, str(error)) from error
        if absent := [name for name, kind in REQUIRED.items() if type(state.get(name)) is not kind]:
            raise _unusable(last, f"'{display(last)}' holds no {absent[0]}")
        stored = state["callbacks"].get("BestAndLast")
        if best is None and isinstance(stored, dict) and stored.get("best_epoch") != -1:  # -1: no epoch had a score
            raise _unusable(last, f"'{display(last.with_name('best.ckpt'))}' is lost")
        return cls(last, state)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Compare the states of callbacks and loops, before Lightning loads them."""
        for callback in trainer.callbacks:
            if (key := callback.state_key) in self.state["callbacks"]:
                check_structure(self.state["callbacks"][key], callback.state_dict(), key)
        check_structure(self.state["loops"].get("fit_loop"), trainer.fit_loop.state_dict(), "fit_loop")

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Compare the states of optimizers and schedules, before Lightning loads them.

        An optimizer has no state of its parameters before its first step, so only its groups are compared. If the
        stored state of a parameter does not fit, the first step raises an error, see `refusal`.
        """
        expected = [optimizer.state_dict()["param_groups"] for optimizer in trainer.optimizers]
        states = self.state["optimizer_states"]
        stored = [state.get("param_groups") if isinstance(state, dict) else None for state in states]
        check_structure(stored, expected, "optimizer_states")
        schedules = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
        check_structure(self.state["lr_schedulers"], schedules, "lr_schedulers")

    def refusal(self, error: Exception, trainer: Any) -> InputError | None:
        """Return an InputError if `error` shows that the state does not fit the run; else None.

        An error that is raised before the first step is complete is attributed to the state, a later one is not.
        """
        if isinstance(error, StructureMismatch):
            return _unusable(self.file, f"'{display(self.file)}' does not fit this run (its {error})")
        is_misfit = isinstance(error, MISFIT_ERRORS) and not isinstance(error, InputError | TrainingDiverged)
        if not is_misfit or trainer.global_step > self.state["global_step"]:
            return None
        return _unusable(self.file, f"'{display(self.file)}' does not fit this run ({type(error).__name__})")


def check_structure(stored: Any, expected: Any, path: str) -> None:
    """Raise StructureMismatch unless a stored value has the same structure as this run's own value, `expected`.

    A stored dict must have all keys of this run's, a list the same number of items, a tensor the same shape and type.
    For an empty dict, any dict may be stored; for None, any value.
    """
    if isinstance(expected, dict) and expected:
        matches = isinstance(stored, dict) and expected.keys() <= stored.keys()
        items = [(stored[key], value, key) for key, value in expected.items()] if matches else []
    elif isinstance(expected, list | tuple):
        matches = isinstance(stored, list | tuple) and len(stored) == len(expected)
        items = [(stored[index], value, index) for index, value in enumerate(expected)] if matches else []
    else:
        matches, items = _leaf_matches(stored, expected), []
    if not matches:
        raise StructureMismatch(path)
    for stored_item, expected_item, key in items:
        check_structure(stored_item, expected_item, f"{path}.{key}")


def _leaf_matches(stored: Any, expected: Any) -> bool:
    if isinstance(expected, Tensor):
        if not isinstance(stored, Tensor) or stored.shape != expected.shape:
            return False
        # A score that a callback keeps has the type of the task, but that of a new callback is float32.
        return stored.dtype == expected.dtype or (stored.ndim == 0 and stored.dtype.is_floating_point)
    if isinstance(expected, bool):
        return isinstance(stored, bool)
    if isinstance(expected, int | float):
        return isinstance(stored, int | float) and not isinstance(stored, bool)
    if isinstance(expected, str):
        return isinstance(stored, str)
    return expected != {} or isinstance(stored, dict)


def _unusable(last: Path, reason: str) -> InputError:
    reason = reason.partition(": ")[0]  # without the advice of the first error: the advice below replaces it
    return InputError(
        f"{reason}, so the run cannot go on from there: remove '{display(last.parent)}', and it starts again"
    )
