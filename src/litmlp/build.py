"""From a config's nodes to objects. Shapes flow from the data to the network and the task."""

from collections.abc import Sequence
from functools import partial
from pkgutil import resolve_name
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar, Timer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from litmlp.data import Spec, TabularData
from litmlp.errors import InputError
from litmlp.loop import RoundsOfSteps
from litmlp.tasks import Task

Config = dict[str, Any]
MARKS = ("_target_", "_partial_")  # keys of a node that are no arguments
REFUSALS = (ValueError, TypeError, AssertionError, MisconfigurationException)  # of a constructor's arguments


def make(config: Config, key: str, **arguments: Any) -> Any:
    """Build `config[key]`; what its constructor refuses becomes one sentence that names the key."""
    try:
        return built(config[key], **arguments)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(f"{key} needs a package that is not installed: {str(error).splitlines()[0]}") from error
    except REFUSALS as error:
        raise InputError(f"{describe(key, config[key])} is refused: {error}") from error


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


def describe(key: str, node: Config) -> str:
    """Return the node as it would be called: `optimizer: torch.optim.Adam(lr=-1)`."""
    given = {name: value for name, value in node.items() if not name.startswith("_")}
    arguments = ", ".join(f"{name}={value!r}" for name, value in given.items() if not isinstance(value, dict))
    return f"{key}: {node.get('_target_', '')}({arguments})"


def task_class(config: Config) -> type[Task]:
    """Return the class that `config["task"]` names."""
    return resolve_name(config["task"]["_target_"])


def data(config: Config) -> TabularData:
    """Build the data; nothing is read yet."""
    return make(config, "data", target_type=task_class(config).target_type)


def task(config: Config, spec: Spec, trainable: bool = True) -> Task:
    """Build network and task for columns as in `spec`; without optimizer and schedule unless `trainable`."""
    network = make(config, "network", spec=spec)
    parts = {key: make(config, key) for key in ("optimizer", "scheduler") if trainable and config[key]}
    return make(config, "task", network=network, spec=spec, **parts)


def trainer(config: Config, folder: str, more: Sequence[pl.Callback] = (), in_sweep: bool = False) -> pl.Trainer:
    """Build the trainer with callbacks, `more` among them, and loggers, all of which write to `folder`.

    In a sweep, progress bars and callbacks that say `in_sweeps = False` are left out.
    """
    timer = Timer(config["trainer"].get("max_time"))  # Lightning adds no other
    callbacks = [make(config["callbacks"], name) for name in config["callbacks"] or {}]
    if in_sweep:
        callbacks = [c for c in callbacks if getattr(c, "in_sweeps", not isinstance(c, ProgressBar))]
    loggers = [make(config["logger"], name, save_dir=folder) for name in config["logger"] or {}]
    settings = {"callbacks": [timer, *callbacks, *more], "logger": loggers or False, "default_root_dir": folder}
    if in_sweep:
        settings["enable_progress_bar"] = False  # Lightning would draw its own
    trainer = make(config, "trainer", **settings)
    trainer.fit_loop.epoch_loop = RoundsOfSteps(trainer, trainer.min_steps, trainer.max_steps)
    return trainer
