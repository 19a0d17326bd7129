"""Checkpoints that need nothing else: how they are described, and rebuilt without trusting them.

A checkpoint outlives the name of the package that wrote it: it names classes of the package as `.networks.MLP`, as
relative imports do. Older ones hold the whole name, `package.networks.MLP`. Which package that was, the data says,
whose class is never another's; so no former name is written down anywhere.
"""

import pickle
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple
from zipfile import is_zipfile

import torch
from lightning.pytorch import LightningDataModule

from litmlp import build
from litmlp.build import Config
from litmlp.config import nodes
from litmlp.data import TabularData
from litmlp.errors import InputError
from litmlp.paths import find, portable
from litmlp.tasks import Task

REBUILT = ("data", "network", "task")  # what is needed to predict
OWN = __package__.partition(".")[0]


class Loaded(NamedTuple):
    """A checkpoint, rebuilt."""

    task: Task
    data: TabularData
    config: Config


def description(config: Config) -> Config:
    """Return what a checkpoint says of its run: plain values, no path of this machine, no name of this package."""
    kept = {key: config[key] for key in (*REBUILT, "optimizer", "scheduler", "seed", "monitor", "mode")}
    if "path" in kept["data"]:
        kept["data"] = kept["data"] | {"path": portable(kept["data"]["path"])}
    return _moved(kept, OWN, "")


def resolve(checkpoint: str) -> Path:
    """Return the file that `checkpoint` means: itself, or the best of a run's folder."""
    path = find(checkpoint)
    if path.is_file():
        return path
    best = path / "checkpoints" / "best.ckpt"
    if not best.is_file():
        raise InputError(f"'{checkpoint}' holds no checkpoints/best.ckpt: give a run's folder or a .ckpt file")
    return best


def read(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content: tensors and plain values; nothing else is unpickled."""
    if not is_zipfile(path):  # as torch writes them
        raise InputError(f"'{path}' is not a checkpoint, or a damaged one: give a run's folder or a .ckpt file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"'{path}' holds more than tensors and plain values, which could run code: it was not loaded"
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise InputError(f"'{path}' is not a checkpoint, or a damaged one: {_first_line(error)}") from error
    if not isinstance(content, dict) or not {"hyper_parameters", "state_dict"} <= content.keys():
        raise InputError(f"'{path}' is not a checkpoint of this project: train one with litmlp-train")
    return content


def load(path: Path) -> Loaded:
    """Rebuild task and data from a checkpoint alone.

    Raises:
        InputError: the file is damaged, or asks for anything but this package's and torch's own modules.
    """
    content = read(path)
    config = harmless(content["hyper_parameters"], path)
    try:
        data = build.data(config)
        data.load_state_dict(content[type(data).__qualname__])
        task = build.task(config, data.spec, trainable=False)
        task.load_state_dict(content["state_dict"])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"'{path}' does not fit this version of the project: {_first_line(error)}") from error
    return Loaded(task.eval(), data, config)


def load_weights(task: Task, path: Path) -> None:
    """Start `task` from a checkpoint's weights; its columns and layers must be the same."""
    try:
        task.load_state_dict(read(path)["state_dict"])
    except RuntimeError as error:
        raise InputError(
            f"the weights in '{path}' do not fit this network, so it cannot start from them: {_first_line(error)}"
        ) from error


def harmless(config: Config, path: Path) -> Config:
    """Return a checkpoint's config with this package's classes by the name that the package has now.

    Raises:
        InputError: a `_target_` that would be built is no module or dataset of ours or torch's.
    """
    if "${" in repr(config):
        raise InputError(f"'{path}' holds an interpolation, which could read this machine's secrets: not loaded")
    given = {name: config.get(name) for name in REBUILT}
    former = next((str(node["_target_"]).partition(".")[0] for key, node in nodes(given) if key == "data"), "")
    renamed = _moved(_moved(given, former, OWN), "", OWN)
    for (key, node), (_, built) in zip(nodes(given), nodes(renamed), strict=True):
        if not _is_harmless(str(built["_target_"])):
            raise InputError(f"'{path}' wants to build {node['_target_']} as {key}: not loaded")
    return config | renamed


def _moved(config: Any, package: str, to: str) -> Any:
    """Return `config` with `to.x` for each `_target_: package.x`."""
    if isinstance(config, list):
        return [_moved(value, package, to) for value in config]
    if not isinstance(config, dict):
        return config
    moved = {key: _moved(value, package, to) for key, value in config.items()}
    first, dot, rest = str(moved.get("_target_")).partition(".")
    return moved | {"_target_": to + dot + rest} if dot and first == package else moved


def _is_harmless(target: str) -> bool:
    if target.partition(".")[0] not in (OWN, "torch"):  # importing alone can run code
        return False
    try:
        cls = resolve_name(target)
    except Exception:
        return False
    if not isinstance(cls, type):
        return False
    is_known = cls.__module__.startswith((f"{OWN}.", "torch.nn.modules."))
    return is_known and issubclass(cls, (torch.nn.Module, LightningDataModule))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
