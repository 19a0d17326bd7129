"""From a config's nodes to objects. Shapes flow from the data to the network and the task."""

import logging
from collections.abc import Sequence
from functools import partial
from pkgutil import resolve_name
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
from litmlp.tasks import Task
from litmlp.training.compat import untested_lightning

log = logging.getLogger(__name__)

Config = dict[str, Any]
MARKS = ("_target_", "_partial_")  # keys of a node that are no arguments
REFUSALS = (  # of a constructor's arguments
    *(ValueError, TypeError, AssertionError, MisconfigurationException, RuntimeError, ArithmeticError, LookupError),
    AttributeError,
)
MAX_ARGUMENTS = 4  # of those in a description
MAX_REASON = 300  # characters of what a library says
COPIES = 5  # of a network's weights: themselves, gradients, two means of the optimizer's, the best


def make(config: Config, key: str, **arguments: Any) -> Any:
    """Build `config[key]`; what its constructor refuses becomes one sentence that names the key."""
    try:
        return built(config[key], **arguments)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        what = (
            needed_extra(error, str(config[key].get("_target_")))
            or f"a package is not installed: {str(error).splitlines()[0]}"
        )
        raise InputError(f"{key} cannot be built, for {what}") from error
    except REFUSALS as error:
        raise refused(key, config[key], error) from error


def built(node: Any, **arguments: Any) -> Any:
    """Return what a node of a config names, with its arguments built first; a plain value stays as it is.

    As Hydra's `instantiate`, for configs of plain values: `_target_` names a class or function, and with
    `_partial_: true` it is called later. Nothing else is looked at, and no interpolation is resolved, so that a config
    does no more than it shows.

    Args:
        node: of a config.
        arguments: passed on as they are, instead of the node's.
    """
    if isinstance(node, list):
        return [built(value) for value in node]
    if not isinstance(node, dict):
        return node
    values = {name: built(value) for name, value in node.items() if name not in (*MARKS, *arguments)}
    if "_target_" not in node:
        return values
    target = resolve_name(node["_target_"])
    if node.get("_partial_"):
        return partial(target, **values, **arguments)
    return target(**values, **arguments)


def refused(key: str, node: Config, error: BaseException) -> InputError:
    """Return what to raise where the values of a node are refused: its target, the values in question, the reason."""
    if isinstance(error, InputError):
        return error
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{describe(key, node, reason)} is refused: {reason[:MAX_REASON]}")


def describe(key: str, node: Config, reason: str = "") -> str:
    """Return the node as it would be called, with those arguments that a reason names, if it names some.

    Example:
        >>> describe("optimizer", {"_target_": "torch.optim.Adam", "lr": -1, "fused": True}, "lr is below 0")
        'optimizer: torch.optim.Adam(lr=-1)'
    """
    given = {name: value for name, value in node.items() if not str(name).startswith("_")}
    named = {name: value for name, value in given.items() if str(name) in reason}
    named = named or {name: value for name, value in given.items() if isinstance(value, str) and value in reason}
    shown_ones = named if reason else given
    arguments = [f"{name}={shown(value)}" for name, value in shown_ones.items() if not isinstance(value, dict)]
    more = ["..."] if len(arguments) > MAX_ARGUMENTS or (given and not arguments) else []
    return f"{key}: {node.get('_target_', '')}({', '.join([*arguments[:MAX_ARGUMENTS], *more])})"


def task_class(config: Config) -> type[Task]:
    """Return the class that `config["task"]` names."""
    return resolve_name(config["task"]["_target_"])


def data(config: Config, frame: Any = None, target_type: type[Target] | None = None) -> TabularData:
    """Build the data; nothing is read yet.

    Args:
        config: of the run.
        frame: rows of a table, instead of those of a file.
        target_type: the kind of target; that of the task if None.
    """
    data = make(config, "data", target_type=target_type or task_class(config).target_type)
    if frame is not None:
        if not isinstance(data, TableData):
            raise InputError("a frame is given, but data is no table: leave one of them out")
        data.frame = as_frame(frame)
    return data


def network(config: Config, spec: Spec, copies: int = COPIES) -> nn.Module:
    """Build the network, unless so many copies of its weights would not fit into memory."""
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
    """Build network and task for columns as in `spec`; without optimizer and schedule unless `trainable`."""
    parts = {key: make(config, key) for key in ("optimizer", "scheduler") if trainable and config[key]}
    return make(config, "task", network=network(config, spec, COPIES if trainable else 1), spec=spec, **parts)


def trainer(config: Config, folder: str, more: Sequence[L.Callback] = (), in_sweep: bool = False) -> L.Trainer:
    """Build the trainer with callbacks, `more` among them, and loggers, all of which write to `folder`.

    In a sweep, progress bars and callbacks that say `in_sweeps = False` are left out.
    """
    timer = time_limit(config)  # Lightning adds no other
    callbacks = group(config, "callbacks")
    if in_sweep:
        callbacks = [callback for callback in callbacks if _is_in_sweeps(callback)]
    loggers = group(config, "logger", save_dir=folder)
    settings = {"callbacks": [timer, *callbacks, *more], "logger": loggers or False, "default_root_dir": folder}
    if in_sweep:
        settings["enable_progress_bar"] = False  # Lightning would draw its own
    trainer = make(config, "trainer", **settings)
    if version := untested_lightning():  # whose loop may be another one, and may have other private names
        log.info("steps are taken one by one: rounds of steps were not tried with Lightning %s", version)
    else:
        from litmlp.training.loop import RoundsOfSteps

        trainer.fit_loop.epoch_loop = RoundsOfSteps(trainer, trainer.min_steps, trainer.max_steps)
    return trainer


def _is_in_sweeps(callback: L.Callback) -> bool:
    return callback.in_sweeps if isinstance(callback, Callback) else not isinstance(callback, ProgressBar)


def group(config: Config, key: str, **arguments: Any) -> list[Any]:
    """Build each part of `config[key]`."""
    parts = {f"{key}.{name}": node for name, node in (config[key] or {}).items()}
    return [make(parts, path, **arguments) for path in parts]


def time_limit(config: Config) -> Timer:
    """Build what ends a run after `trainer.max_time`."""
    try:
        return Timer(config["trainer"].get("max_time"))
    except REFUSALS as error:
        given = shown(config["trainer"]["max_time"])
        raise InputError(f"trainer.max_time is {given}: write days, hours, minutes, seconds, as 00:01:30:00") from error
