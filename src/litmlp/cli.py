"""What the commands share: Hydra around a function, and mistakes as one sentence. Imports nothing heavy."""

import os
import re
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeGuard

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from litmlp import paths, process
from litmlp.errors import InputError, TrainingDiverged, did_you_mean, no_room
from litmlp.errors import chain as _chain
from litmlp.errors import interruption as interruption
from litmlp.files import read_yaml
from litmlp.trust import check_command, check_config

FOLDERS = ("resume", "init_from", "hydra.run.dir", "hydra.sweep.dir")
SAID_IN_A_SENTENCE = (InputError, HydraException, OmegaConfBaseException, TrainingDiverged, YAMLError)


def command(name: str, job: Callable[[DictConfig], Any], open_keys: bool = False) -> None:
    """Run `job` on what Hydra composes from `conf/<name>.yaml` and the command line, and end the process.

    Args:
        name: the command, and the name of its config.
        job: a function of the config.
        open_keys: accept any `group.key=value`, because `job` checks keys itself.
    """
    with process.guarded(f"litmlp-{name}"):
        try:
            _compose_and_run(name, job, open_keys)
        except TrainingDiverged:
            raise
        except Exception as error:
            if isinstance(error, SAID_IN_A_SENTENCE) or _names_file(error) or no_room(error) is not None:
                raise InputError(sentence(error)) from error
            raise


def _compose_and_run(name: str, job: Callable[[DictConfig], Any], open_keys: bool) -> None:
    sys.argv[1:] = [normalized(argument, open_keys) for argument in sys.argv[1:]]
    sys.argv[1:] = sweep_resumed(sys.argv[1:])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves errors to us
    errors: list[Exception] = []
    hydra.main(version_base="1.3", config_path=str(paths.CONF), config_name=name)(_keeping(errors, job))()
    if errors:
        raise errors[0]


def normalized(argument: str, open_keys: bool) -> str:
    """Return a command-line argument as Hydra wants it.

    Text that Hydra's grammar has no place for, such as `sin(x)` or `x1^2`, is quoted. With `open_keys`,
    `group.key=value` becomes `++group.key=value`, so that any argument of a constructor can be given, listed in a
    config file or not.
    """
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not equals:
        return argument
    if open_keys and re.fullmatch(r"\w+(\.\w+)+", key) and not key.startswith("hydra."):
        key = f"++{key}"
    if key in FOLDERS and re.fullmatch(r"[-+.]?\d[\w.+-]*|true|false", value):
        value = f"'{value}'"  # a folder called 0, as a sweep's are
    if value.startswith("choice(") and value.endswith(")") and not _parses(f"{key}={value}"):
        value = value.removeprefix("choice(").removesuffix(")")  # which may then hold null
    if not _parses(f"{key}={value}"):
        elements = value[1:-1].split(",") if value.startswith("[") and value.endswith("]") else None
        quoted = _quoted(value) if elements is None else f"[{','.join(map(_quoted, elements))}]"
        if _parses(f"{key}={quoted}"):
            value = quoted
    return f"{key}={value}"


def sweep_resumed(arguments: list[str]) -> list[str]:
    """Return the arguments with `resume=<a sweep's folder>` replaced by the command that made the sweep."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        path = Path(value.strip("'")).expanduser()
        candidates = (path, paths.ROOT / path) if key == "resume" and value else ()
        for folder in candidates:
            if (folder / "sweep.yaml").is_file():
                command = check_command(read_yaml(folder / "sweep.yaml").get("command"), folder / "sweep.yaml")
                others = [other for other in arguments if other not in (argument, "-m", "--multirun")]
                return ["-m", *command, *others, f"hydra.sweep.dir={_quoted(str(folder.absolute()))}"]
    return arguments


def sentence(error: BaseException) -> str:
    """Return one sentence for what the user gave that Hydra or a check refused."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, InputError | TrainingDiverged):
            return str(link)
    for link in chain:
        if isinstance(link, MissingConfigException) and link.missing_cfg_file and link.options is not None:
            group, _, option = link.missing_cfg_file.rpartition("/")
            return f"{group} has no option '{option}': {did_you_mean(option, link.options)}"
        if isinstance(link, OverrideParseException):
            return f"cannot read '{link.override}': write key=value, and quote values with special characters"
        if isinstance(link, ConfigCompositionException) and str(link).startswith("Ambiguous value"):
            return "a key is given several values: add -m to run each of them, or write a list as [a,b]"
        if isinstance(link, YAMLError):
            return f"a config file is not YAML: {' '.join(str(link).split())}"
        if _names_unknown_key(link):
            return f"there is no config key '{link.full_key}': {did_you_mean(str(link.key), link.parent_node)}"
    if (what_to_do := no_room(error)) is not None:
        return f"{what_to_do}, and go on with resume=<the run's folder>"
    if _names_file(error):
        return f"cannot read or write '{error.filename2 or error.filename}': {error.strerror}"
    return str(error).splitlines()[0]


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return a config as plain values; a seed of null becomes a random one, so that it is recorded."""
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise InputError(f"no {' and no '.join(missing)} is given: add {' '.join(f'{key}=...' for key in missing)}")
    if config.seed is None:
        config.seed = uuid.uuid4().int % 2**32
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def resumed(config: DictConfig, folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the config of the run in `folder`, with the values that are given anew."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"'{config.resume}' is no run's folder, for it holds no config.yaml: give one that does")
    before = read_yaml(path)
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if key == "resume":
            continue
        if not key.startswith(("trainer.", "callbacks.", "logger.", "threads")):
            raise InputError(
                f"'{key}' cannot change when a run is resumed, only values of trainer, callbacks and logger can: "
                "start a new run, with init_from="
            )
        _change(before, key.split("."), override)
    check_config(before, path)
    return before


def _change(config: dict[str, Any], keys: list[str], override: Override) -> None:
    *groups, last = keys
    for group in groups:
        if not isinstance(config.get(group), dict):
            config[group] = {}
        config = config[group]
    if override.is_delete():
        config.pop(last, None)
    else:
        config[last] = override.value()


def _names_unknown_key(error: BaseException) -> TypeGuard[OmegaConfBaseException]:
    if not (isinstance(error, OmegaConfBaseException) and isinstance(error.parent_node, DictConfig)):
        return False
    if error.parent_node._is_none() or error.parent_node._is_missing():
        return False
    return error.key is not None and error.key not in error.parent_node


def _names_file(error: BaseException) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.filename is not None


def _keeping(errors: list[Exception], job: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    # Around what a single run raises, Hydra would print lines of its own.
    def keeping(config: DictConfig) -> Any:
        try:
            return job(config)
        except Exception as error:
            if HydraConfig.get().mode is RunMode.MULTIRUN:
                raise
            errors.append(error)

    return keeping


def _run_folder(resume: str | None, name: str) -> str:
    if resume:
        return str(paths.find(resume).absolute())
    return str(paths.runs() / name / _unique())


def _unique() -> str:
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{uuid.uuid4().hex[:6]}"


def _parses(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True


def _quoted(text: str) -> str:
    escaped = text.strip().replace("'", "\\'")
    return f"'{escaped}'"


# There is one store, and what it gives out are copies; yet Hydra copies it whole for each group that --help lists,
# which took two thirds of the time.
ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
OmegaConf.register_new_resolver("litmlp.run_folder", _run_folder, use_cache=True, replace=True)
