"""Checks what the config or the command in a run's or a sweep's folder may do: a stranger may have made the folder.

The commands train (when it resumes) and ensemble use it.

A checkpoint may do less, see `checkpoint.py`. The commands evaluate, predict and report build nothing that a folder's
YAML names.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from litmlp import paths
from litmlp.errors import InputError
from litmlp.paths import display

OWN = __package__
# Classes of torch, and of those parts of this package whose classes a config may name.
CLASS = re.compile(
    r"(torch\.nn(\.modules\.\w+)?|torch\.optim(\.lr_scheduler)?"
    rf"|{OWN}\.(networks|tasks|data|callbacks|loggers|optimizers)(\.[a-z_0-9]+)*)\.[A-Z]\w*"
)
# A run that was stopped before its target had been read still has this in its config: see `auto_task.py`.
AUTO_TASK = ("task", None)
# Keys that have a meaning for Hydra: with them, an override could name a class to build.
MARK = re.compile("_(target|args|partial|recursive|convert)_")
# The options and the keys of Hydra that a sweep's command may set. Not cmaes, which unpickles values from the study.
GROUP = re.compile(r"hydra/(launcher|sweeper|sweeper/sampler|sweeper/pruner)=(?!cmaes)\w+")
SETTING = re.compile(
    r"hydra\.(sweeper\.(n_trials|n_jobs|timeout|on_failure|retry_failed|study_name|repeat|params\.[\w.]+"
    r"|sampler\.\w+|pruner\.\w+)"
    r"|launcher\.(n_jobs|processes|partition|qos|account|nodes|tasks_per_node|cpus_per_task|cpus_per_gpu|gpus_per_node"
    r"|gpus_per_task|mem_gb|mem_per_cpu|mem_per_gpu|timeout_min|max_num_timeout|array_parallelism|ray\.remote\.num_(cpus|gpus)))"
    r"=[^${}]*"
)


def check_config(config: dict[str, Any], file: Path, typed: Sequence[str] = ()) -> None:
    """Raise InputError if a run's config names a class that is not trusted, or a path outside the run's folder.

    A class is trusted if a file in `conf/` names it, or if it belongs to this package or to torch. Keys in `typed` are
    not checked.

    Args:
        config: the config.
        file: from which it was read.
        typed: keys that the user has given on the command line.
    """
    for key, target in _targets(config):
        if (key, target) == AUTO_TASK:
            continue
        if not _is_among(f"{key}._target_", typed) and not (
            isinstance(target, str) and (CLASS.fullmatch(target) or target in named_in_conf())
        ):
            raise InputError(
                f"'{display(file)}' asks for {target!r} as {key}, which is no class of this project or of torch: if "
                "you trust who made the folder, name the class in a file of conf/, and type the command again"
            )
    for key, value in _texts({name: config.get(name) for name in ("callbacks", "logger")}):
        leads_out = value.startswith(("/", "~")) or ".." in PurePath(value).parts
        if leads_out and not _is_among(key, typed):
            raise InputError(
                f"'{display(file)}' says {key}={value}, which leads out of the run's folder: if that is meant, add it "
                "to the command"
            )


def check_command(command: Any, file: Path) -> list[str]:
    """Return the command that made a sweep; raise InputError for an argument that could do more than choose values."""
    if not isinstance(command, list) or not all(isinstance(argument, str) for argument in command):
        raise InputError(f"'{display(file)}' holds no command: type the command that made the sweep")
    for argument in command:
        if not only_chooses(argument):
            typed = shlex.join(["litmlp-train", "-m", *command, f"hydra.sweep.dir={file.parent}"])
            raise InputError(
                f"the sweep's command holds {argument!r}, which could run code: if you trust who made the folder, type "
                f"the command yourself: {typed}"
            )
    return command


def _is_among(key: str, typed: Sequence[str]) -> bool:
    return any(key == other or key.startswith((f"{other}.", f"{other}[")) for other in typed)


def only_chooses(argument: str) -> bool:
    """Tell whether an override only chooses options and values, and no path outside the folder."""
    key, _, value = argument.lstrip("+~").partition("=")
    if argument.startswith("-") or "${" in argument or MARK.search(argument):
        return False
    if key.startswith("hydra"):
        return bool(GROUP.fullmatch(argument) or SETTING.fullmatch(argument.lstrip("+")))
    # A path could do harm in callbacks and loggers, which write files, and as a group's option, which Hydra reads.
    may_be_path = "." in key and key.partition(".")[0] not in ("callbacks", "logger")
    return may_be_path or not (".." in value or re.search(r"(^|['\"\[{:,])\s*[/~]", value))


@lru_cache(maxsize=1)
def named_in_conf() -> frozenset[str]:
    """Return all values of `_target_` in the files of `conf/`."""
    texts = (file.read_text(encoding="utf-8") for file in paths.CONF.rglob("*.yaml"))
    return frozenset(target for text in texts for target in re.findall(r"^\s*_target_:\s*(\S+)", text, flags=re.M))


def _targets(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(config, dict):
        if "_target_" in config:
            yield path, config["_target_"]
        for key, value in config.items():
            yield from _targets(value, f"{path}.{key}" if path else key)
    elif isinstance(config, list):
        for index, value in enumerate(config):
            yield from _targets(value, f"{path}[{index}]")


def _texts(config: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(config, dict):
        for key, value in config.items():
            yield from _texts(value, f"{path}.{key}" if path else key)
    elif isinstance(config, list):
        for index, value in enumerate(config):
            yield from _texts(value, f"{path}[{index}]")
    elif isinstance(config, str):
        yield path, config
