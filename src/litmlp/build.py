"""Builds objects from the nodes of a config. The data's columns decide the shapes of the network and the task."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import ProgressBar, Timer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from litmlp.callbacks.base import Callback
from litmlp.data import Spec, TableData, TabularData, Target
from litmlp.data.frames import as_frame
from litmlp.errors import InputError, needed_extra, shown
from litmlp.machine import fitting_memory
from litmlp.names import named
from litmlp.tasks import Task
from litmlp.training.compat import untested_lightning

log = logging.getLogger(__name__)

Config = dict[str, Any]
MARKS = ("_target_", "_partial_")  # keys of a node that are not arguments
REFUSALS = (  # exceptions by which a constructor refuses its arguments
    *(ValueError, TypeError, AssertionError, MisconfigurationException, RuntimeError, ArithmeticError, LookupError),
    AttributeError,
)
MAX_ARGUMENTS = 4  # in a description of a node
MAX_REASON = 300  # characters of a library's message
COPIES = 5  # of a network's weights in memory: weights, gradients, two means of the optimizer, best weights


def make(config: Config, key: str, **arguments: Any) -> Any:
    """Build `config[key]`; raise InputError with a sentence that names the key if the constructor refuses it."""
    try:
        return built(config[key], **arguments)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        reason = (
            needed_extra(error, str(config[key].get("_target_")))
            or f"a package is not installed: {str(error).splitlines()[0]}"
        )
        raise InputError(f"{key} cannot be built, for {reason}") from error
    except REFUSALS as error:
        raise refused(key, config[key], error) from error


def built(node: Any, **arguments: Any) -> Any:
    """Return the object that a node of a config describes, with its arguments built first; plain values stay as is.

    This works like Hydra's `instantiate` for configs of plain values: `_target_` names a class or function, and
    `_partial_: true` returns a partial instead of calling it. No other special key has an effect and no interpolation
    is resolved, so that a config does nothing that one cannot see in it.

    Args:
        node: a node of a config.
        arguments: passed on unchanged; they replace the node's arguments of the same names.
    """
    if isinstance(node, list):
        return [built(value) for value in node]
    if not isinstance(node, dict):
        return node
    values = {name: built(value) for name, value in node.items() if name not in (*MARKS, *arguments)}
    if "_target_" not in node:
        return values
    target = named(node["_target_"])
    if node.get("_partial_"):
        return partial(target, **values, **arguments)
    return target(**values, **arguments)


def refused(key: str, node: Config, error: BaseException) -> InputError:
    """Return the InputError for a node whose values were refused: its target, the values concerned, and the reason."""
    if isinstance(error, InputError):
        return error
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{describe(key, node, reason)} is refused: {reason[:MAX_REASON]}")


def describe(key: str, node: Config, reason: str = "") -> str:
    """Return a node as a call in Python; of its arguments, only those that the reason names, if it names any.

    Example:
        >>> describe("optimizer", {"_target_": "torch.optim.Adam", "lr": -1, "fused": True}, "lr is below 0")
        'optimizer: torch.optim.Adam(lr=-1)'
    """
    given = {name: value for name, value in node.items() if not str(name).startswith("_")}
    named = {name: value for name, value in given.items() if str(name) in reason}
    named = named or {name: value for name, value in given.items() if isinstance(value, str) and value in reason}
    selected = named if reason else given
    arguments = [f"{name}={shown(value)}" for name, value in selected.items() if not isinstance(value, dict)]
    ellipsis = ["..."] if len(arguments) > MAX_ARGUMENTS or (given and not arguments) else []
    return f"{key}: {node.get('_target_', '')}({', '.join([*arguments[:MAX_ARGUMENTS], *ellipsis])})"


def task_class(config: Config) -> type[Task]:
    """Return the class that `config["task"]` names."""
    return named(config["task"]["_target_"])


def data(config: Config, frame: Any = None, target_type: type[Target] | None = None) -> TabularData:
    """Build the data; nothing is read yet.

    Args:
        config: the run's config.
        frame: a table to use instead of the file that the config names.
        target_type: class of the target; the task's if None.
    """
    data = make(config, "data", target_type=target_type or task_class(config).target_type)
    if frame is not None:
        if not isinstance(data, TableData):
            raise InputError("a frame is given, but data is no table: leave one of them out")
        data.frame = as_frame(frame)
    return data


def network(config: Config, spec: Spec, copies: int = COPIES) -> nn.Module:
    """Build the network; raise InputError if so many copies of its weights would not fit into memory."""
    with fitting_memory("network", copies):
        network = make(config, "network", spec=spec)
    if not isinstance(network, nn.Module):
        raise InputError("network._target_ makes no torch.nn.Module: choose another one")
    return network


def loss(config: Config) -> nn.Module:
    """Build the task's loss."""
    with fitting_memory("task.loss", copies=1):
        loss = make({"task.loss": config["task"]["loss"]}, "task.loss")
    if not isinstance(loss, nn.Module):
        raise InputError("task.loss._target_ makes no torch.nn.Module: choose one with task/loss=...")
    return loss


def task(config: Config, spec: Spec, trainable: bool = True) -> Task:
    """Build the network and the task for the columns of `spec`; with optimizer and schedule only if `trainable`."""
    parts = {key: make(config, key) for key in ("optimizer", "scheduler") if trainable and config[key]}
    return make(config, "task", network=network(config, spec, COPIES if trainable else 1), spec=spec, **parts)


def trainer(
    config: Config, folder: str, extra_callbacks: Sequence[L.Callback] = (), in_sweep: bool = False
) -> L.Trainer:
    """Build the trainer with its loggers and callbacks, `extra_callbacks` among them; all of them write to `folder`.

    In a sweep, progress bars and callbacks with `in_sweeps = False` are left out.
    """
    timer = time_limit(config)  # Lightning adds no Timer of its own if there is one
    callbacks = group(config, "callbacks")
    if in_sweep:
        callbacks = [callback for callback in callbacks if _is_in_sweeps(callback)]
    loggers = group(config, "logger", save_dir=folder)
    settings = {
        "callbacks": [timer, *callbacks, *extra_callbacks],
        "logger": loggers or False,
        "default_root_dir": folder,
    }
    if in_sweep:
        settings["enable_progress_bar"] = False  # or Lightning adds a progress bar of its own
    trainer = make(config, "trainer", **settings)
    if version := untested_lightning():  # its loop may differ, and so may the private names that RoundsOfSteps uses
        log.info("steps are taken one by one: rounds of steps were not tried with Lightning %s", version)
    else:
        from litmlp.populations.baton import own
        from litmlp.training.loop import RoundsOfSteps

        rounds = RoundsOfSteps(trainer, trainer.min_steps, trainer.max_steps)
        if own() is not None:  # other runs are trained together with this one
            from litmlp.populations.member import MemberLoop

            trainer.fit_loop = MemberLoop(trainer, config)
        trainer.fit_loop.epoch_loop = rounds
    return trainer


def _is_in_sweeps(callback: L.Callback) -> bool:
    return callback.in_sweeps if isinstance(callback, Callback) else not isinstance(callback, ProgressBar)


def group(config: Config, key: str, **arguments: Any) -> list[Any]:
    """Build each part of `config[key]`."""
    parts = {f"{key}.{name}": node for name, node in (config[key] or {}).items()}
    return [make(parts, path, **arguments) for path in parts]


def time_limit(config: Config) -> Timer:
    """Build the timer that ends a run after `trainer.max_time`."""
    try:
        return Timer(config["trainer"].get("max_time"))
    except REFUSALS as error:
        value = shown(config["trainer"]["max_time"])
        raise InputError(f"trainer.max_time is {value}: write days, hours, minutes, seconds, as 00:01:30:00") from error
