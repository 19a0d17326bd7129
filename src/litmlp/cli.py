"""What the commands share: they call a function through Hydra, and they report mistakes in one sentence.

This module imports nothing that takes seconds.
"""

import os
import re
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from yaml import YAMLError

from litmlp import paths, process
from litmlp.errors import InputError, TrainingDiverged, did_you_mean, install, needed_extra, no_room, shown
from litmlp.errors import chain as _chain
from litmlp.errors import interruption as interruption
from litmlp.files import read_yaml
from litmlp.top_level_keys import KEYS
from litmlp.training import compat
from litmlp.trust import check_command, check_config

KNOWN_ERRORS = (InputError, HydraException, OmegaConfBaseException, TrainingDiverged, YAMLError, MemoryError)
FOLDERS = ("resume", "init_from", "hydra.run.dir", "hydra.sweep.dir")
LISTS = ("callbacks", "logger", "experiment")  # groups that accept several options at once
TEXTS = {  # keys of `data` that take text: a column may be named 2, and 007 must not become 7
    *("path", "val_path", "test_path", "target", "numeric", "categorical", "date", "ignore", "missing_values"),
    *("decimal", "thousands", "date_format", "delimiter", "quote", "header", "comment", "encoding"),
    *("split_column", "group_column", "time_column", "weight_column"),
}
OPTIONS_OF_EXTRAS = {  # options that exist only if an extra is installed, and the name of the extra
    "hydra/launcher/joblib": "sweep",
    **dict.fromkeys(("hydra/launcher/submitit_slurm", "hydra/launcher/submitit_local"), "slurm"),
}
NOTHING = ("null", "[]", "{}", "")  # values that choose no option of a group
MAX_MESSAGE = 400  # characters of a library's message


def command(name: str, job: Callable[[DictConfig], Any], open_keys: bool = False) -> None:
    """Let Hydra compose a config from `conf/<name>.yaml` and the command line, and run `job` with it.

    An error ends the process.

    Args:
        name: of the command and of its config.
        job: a function that takes the config.
        open_keys: accept any `group.key=value`, because `job` checks keys itself.
    """
    with process.guarded(f"litmlp-{name}"), in_sentences():
        _compose_and_run(name, job, open_keys)


def run(name: str, arguments: list[str], job: Callable[[DictConfig], Any]) -> None:
    """Do what `command` does with open keys and these arguments, but raise errors."""
    before = sys.argv[1:]
    sys.argv[1:] = arguments
    try:
        with in_sentences():
            _compose_and_run(name, job, open_keys=True)
    finally:
        sys.argv[1:] = before


@contextmanager
def in_sentences() -> Iterator[None]:
    """Turn an error that the user or the system caused into an InputError with one sentence.

    TrainingDiverged and faults of this project pass unchanged.
    """
    try:
        yield
    except TrainingDiverged:
        raise
    except Exception as error:
        is_known = isinstance(error, KNOWN_ERRORS) or _names_file(error) or no_room(error) is not None
        if is_known or _is_of_hydra(error):
            raise InputError(sentence(error)) from error
        raise


def _compose_and_run(name: str, job: Callable[[DictConfig], Any], open_keys: bool) -> None:
    sys.argv[1:] = sweep_resumed(typed(sys.argv[1:], open_keys))
    errors: list[Exception] = []
    with _leaving_errors_to_us():
        hydra.main(version_base="1.3", config_path=str(paths.CONF), config_name=name)(_keeping(errors, job))()
    if errors:
        raise errors[0]


@contextmanager
def _leaving_errors_to_us() -> Iterator[None]:
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises its errors instead of printing them
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def typed(arguments: list[str], open_keys: bool = False) -> list[str]:
    """Return the arguments in the form that Hydra expects: flags first, then overrides as `normalized` returns them.

    Raises:
        InputError: for a flag that Hydra does not have, several options of a group that takes one, or two folders for
            one run.
    """
    flags = [argument for argument in arguments if not _is_override(argument)]
    overrides = [normalized(argument, open_keys) for argument in arguments if _is_override(argument)]
    for override in overrides:
        key, _, value = override.partition("=")
        if value.startswith("[") and _is_group(key) and key not in LISTS:
            raise InputError(f"{key} takes one option, not {shown(value)}: give one, or several as {key}=a,b with -m")
    given = dict(override.split("=", 1) for override in overrides if "=" in override)
    if given.get("resume") not in (None, *NOTHING) and "hydra.run.dir" in given:
        raise InputError("resume names a run's folder, so hydra.run.dir cannot name another: leave one of them out")
    _check_flags([*flags, *overrides])
    return [*flags, *overrides]


def normalized(argument: str, open_keys: bool) -> str:
    """Return an override in the form that Hydra expects.

    Text that Hydra's grammar does not allow, such as `sin(x)` or `x1^2`, is quoted; so is text that begins or ends with
    blanks. With `open_keys`, `group.key=value` becomes `++group.key=value`: so any argument of a constructor can be
    given, even if no config file lists it. `null` or `[]` for a group becomes the group's option `none`.
    """
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not equals:
        return argument
    value = value.strip() if _is_group(key) else value
    if _is_group(key) and (value in NOTHING or _is_plain_value(argument)):
        return f"{key}={'none' if value in NOTHING and _has_none(key) else _quoted(value)}"
    if open_keys and re.fullmatch(r"\w+(\.\w+)+", key) and not key.startswith("hydra."):
        key = f"++{key}"
    if key in FOLDERS and value.startswith("~"):
        value = str(paths.expanded(value))  # the shell expands ~ only at the beginning of a word
    if key in FOLDERS and re.fullmatch(r"[-+.]?\d[\w.+-]*|true|false", value):
        value = f"'{value}'"  # a folder may be named 0, as those of a sweep's jobs are
    group, _, name = key.lstrip("+").partition(".")
    if group == "data" and name in TEXTS:
        value = _as_text(key, value, lists_only=name == "header")
    if value.startswith("choice(") and value.endswith(")") and not _parses(f"{key}={value}"):
        # Hydra's grammar allows null in a plain list with commas, but not in choice(...).
        value = value.removeprefix("choice(").removesuffix(")")
    if not _parses(f"{key}={value}"):
        elements = value[1:-1].split(",") if value.startswith("[") and value.endswith("]") else None
        quoted = _quoted(value) if elements is None else f"[{','.join(map(_quoted, elements))}]"
        if _parses(f"{key}={quoted}"):
            value = quoted
    elif value.strip() != value and value.strip()[:1] not in "'\"[{" and _is_text(f"{key}={value}"):
        value = _quoted(value, keeps_blanks=True)
    return f"{key}={value}"


def sweep_resumed(arguments: list[str]) -> list[str]:
    """Return the arguments with `resume=<a sweep's folder>` replaced by the command that made the sweep."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        path = paths.expanded(value.strip("'"))
        candidates = (path, paths.ROOT / path) if key == "resume" and value else ()
        for folder in candidates:
            if (folder / "sweep.yaml").is_file():
                command = check_command(read_yaml(folder / "sweep.yaml").get("command"), folder / "sweep.yaml")
                further = [other for other in arguments if other not in (argument, "-m", "--multirun")]
                return ["-m", *command, *further, f"hydra.sweep.dir={_quoted(str(folder.absolute()))}"]
    return arguments


def sentence(error: BaseException) -> str:
    """Return one sentence that explains an error to the user."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, InputError | TrainingDiverged):
            return str(link)
    for link in chain:
        if message := _hydra_message(link):
            return message
    if any(isinstance(link, MemoryError) for link in chain):
        return f"there is not enough memory ({_one_line(error)}): use fewer rows, or a smaller network"
    if (what_to_do := no_room(error)) is not None:
        return f"{what_to_do}, and continue with resume=<the run's folder>"
    if _names_file(error):
        return f"cannot read or write {shown(error.filename2 or error.filename, MAX_MESSAGE)}: {error.strerror}"
    if _is_of_hydra(error):
        return f"Hydra refuses the command: {_one_line(error)}"
    return _one_line(error)


def _hydra_message(error: BaseException) -> str | None:
    """Return a sentence for an error of Hydra, OmegaConf or PyYAML or for a missing extra; None for other errors."""
    if isinstance(error, ImportError):
        return needed_extra(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        if (extra := OPTIONS_OF_EXTRAS.get(error.missing_cfg_file)) is not None:
            chosen = "=".join(error.missing_cfg_file.rsplit("/", 1))
            return f"{chosen} needs an extra that is not installed: {install(extra)}"
        group, _, option = error.missing_cfg_file.rpartition("/")
        options = error.options or [file.stem for file in (paths.CONF / group).glob("*.yaml")]
        return f"{group or 'the folder of configs'} has no option {shown(option)}: {did_you_mean(option, options)}"
    if isinstance(error, OverrideParseException):
        return f"cannot read {shown(error.override)}: write key=value, and quote values with special characters"
    if isinstance(error, ConfigCompositionException) and str(error).startswith("Ambiguous value"):
        return _several_values(str(error))
    if isinstance(error, YAMLError):
        return f"a config file is not YAML: {_one_line(error)}"
    if isinstance(error, InterpolationKeyError):
        return f"{error.full_key} refers to another key: {str(error.msg or error).splitlines()[0]}"
    if _names_unknown_key(error):
        return f"there is no config key {shown(error.full_key)}: {did_you_mean(error.key, error.parent_node)}"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        reason = str(error.msg or error).partition("\n")[0]
        return f"{error.full_key} cannot be used: {reason[:MAX_MESSAGE]}"
    return None


def _several_values(message: str) -> str:
    override = message.partition("'")[2].partition("'\n")[0].lstrip("+")
    key, _, value = override.partition("=")
    list_advice = (
        "" if _is_group(key) and key not in LISTS else f", or write {key}=[{shown(value)[1:-1]}] where it takes a list"
    )
    return f"{key} is given several values, {shown(value)[1:-1]}: add -m to run each{list_advice}"


def _one_line(error: BaseException) -> str:
    """Return an error's message in one line, without the lines in which OmegaConf repeats the fields of its error."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key:", "object_type=", "reference_type="))]
    return " ".join(kept)[:MAX_MESSAGE] or type(error).__name__


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return a config as plain values. A random seed replaces a seed of null, so that the config records it."""
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise InputError(f"no {' and no '.join(missing)} is given: add {' '.join(f'{key}=...' for key in missing)}")
    if "seed" in config and config.seed is None:
        config.seed = uuid.uuid4().int % 2**32
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return plain | {key: None for key, rule in KEYS.items() if rule.may_be_absent and key not in plain}


def resumed(config: DictConfig, folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the stored config of the run in `folder`, with the values that the overrides change."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"'{config.resume}' is no run's folder, for it holds no config.yaml: give one that does")
    stored, typed_keys = read_yaml(path), []
    if "ensemble" in stored:
        raise InputError(
            f"'{config.resume}' averages other runs and is not trained itself: resume one of those, then make the "
            "ensemble again"
        )
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if key == "resume":
            continue
        if not (rule := KEYS.get(key.partition(".")[0])) or not rule.may_change:
            changeable = ", ".join(name for name, key_rule in KEYS.items() if key_rule.may_change)
            raise InputError(
                f"'{key}' cannot change when a run is resumed, only values of {changeable} can: start a new run, with "
                "init_from="
            )
        _apply(override, stored, key.split("."))
        typed_keys.append(key)
    check_config(stored, path, typed_keys)
    return stored


def _apply(override: Override, config: dict[str, Any], keys: list[str]) -> None:
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
    if compat.is_empty(error.parent_node):
        return False
    return error.key is not None and error.key not in error.parent_node


def _names_file(error: BaseException) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.filename is not None


def _is_of_hydra(error: BaseException) -> bool:
    """Tell whether Hydra's code or a library that it calls raised an error: then the command line caused it.

    The innermost frame that belongs to Hydra or to this project decides.
    """
    trace, packages = error.__traceback__, []
    while trace is not None:
        packages.append(str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0])
        trace = trace.tb_next
    of_hydra, ours = ("hydra", "omegaconf", "antlr4"), (__name__.partition(".")[0], "hydra_plugins")
    return next((name in of_hydra for name in reversed(packages) if name in (*of_hydra, *ours)), False)


def _keeping(errors: list[Exception], job: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    # Hydra prints lines of its own for an error of a single run. So the error is kept and raised after Hydra has ended.
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
    return str(paths.runs() / name / unique())


def unique() -> str:
    """Return a new name for a run's folder: the time and some random letters."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{uuid.uuid4().hex[:6]}"


def _parses(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except (HydraException, ValueError):  # Python raises ValueError for a number with thousands of digits
        return False
    return True


def _is_text(override: str) -> bool:
    parsed = OverridesParser.create().parse_override(override)
    return not parsed.is_sweep_override() and isinstance(parsed.value(), str)


def _as_text(key: str, value: str, lists_only: bool) -> str:
    """Return a value with quotes around each element that Hydra would read as a number or as true or false."""
    if not _parses(f"{key}={value}") or any(quote in value for quote in "'\""):
        return value
    parsed = OverridesParser.create().parse_override(f"{key}={value}")
    read = None if parsed.is_sweep_override() else parsed.value()
    if isinstance(read, list) and not all(isinstance(element, str) for element in read):
        return f"[{','.join(_quoted(element) for element in value[1:-1].split(','))}]"
    return value if lists_only or not isinstance(read, bool | int | float) else _quoted(value)


def _is_plain_value(override: str) -> bool:
    # A number, true, or {...} where the name of an option is expected: Hydra would raise an error of its own for it.
    if not _parses(override):
        return False
    parsed = OverridesParser.create().parse_override(override)
    return not parsed.is_sweep_override() and not isinstance(parsed.value(), str | list)


def _is_override(argument: str) -> bool:
    return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))


def _is_group(key: str) -> bool:
    return bool(re.fullmatch(r"\w+(/\w+)*", key)) and (paths.CONF / key).is_dir()


def _has_none(key: str) -> bool:
    return (paths.CONF / key / "none.yaml").is_file()


def _check_flags(arguments: list[str]) -> None:
    """Raise InputError for flags that Hydra does not have, before Hydra prints a message of its own."""
    parser = compat.arguments_parser()

    def refuse(message: str) -> NoReturn:
        raise InputError(f"{message}: see --help for what there is")

    parser.error = refuse  # type: ignore[method-assign]
    parser.parse_args(arguments)


def _quoted(text: str, keeps_blanks: bool = False) -> str:
    escaped = (text if keeps_blanks else text.strip()).replace("'", "\\'")
    return f"'{escaped}'"


# Hydra copies the whole store for each group that --help lists, which took two thirds of the command's time. No copy is
# needed: there is only one store, and what it returns are copies.
ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
OmegaConf.register_new_resolver("litmlp.run_folder", _run_folder, use_cache=True, replace=True)
