"""A config is checked before any data is read: every mistake is one sentence that names the key."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from pkgutil import resolve_name
from typing import Any, get_origin, get_type_hints

import torch
from typeguard import TypeCheckError, check_type

from litmlp import build
from litmlp.build import Config
from litmlp.data import Spec
from litmlp.errors import InputError, did_you_mean

KEYS = {
    *("data", "network", "task", "optimizer", "scheduler", "trainer", "callbacks", "logger"),
    *("seed", "monitor", "mode", "threads", "compile", "matmul_precision", "data_on_device", "resume", "init_from"),
}
MATMUL_PRECISIONS = ("highest", "high", "medium")


def check(config: Config) -> None:
    """Raise InputError for the first mistake in a resolved config."""
    for key in config:
        if key not in KEYS:
            raise InputError(f"there is no config key '{key}': {did_you_mean(key, KEYS)}")
    check_targets(config)
    check_values(config)
    for path, node in nodes(config):
        check_arguments(path, node)
    check_processes(config["trainer"])
    check_precision(config)
    spec = Spec.example(build.task_class(config).target_type)
    check_monitor(config, spec)
    check_loss(config, spec)
    check_optimizer(config)
    build.make(config, "network", spec=spec)
    build.data(config)


def check_targets(config: Config) -> None:
    """Raise InputError for a part of the run that does not say what to build."""
    for key in ("data", "network", "task", "optimizer", "trainer"):
        if "_target_" not in (config[key] or {}):
            raise InputError(f"{key} names no _target_: choose an option of the group with {key}=...")
    for group in ("callbacks", "logger"):
        for name, node in (config[group] or {}).items():
            if not isinstance(node, dict) or "_target_" not in node:
                others = [other for other in config[group] if other != name]
                raise InputError(f"{group}.{name} names no _target_ to build: {did_you_mean(name, others)}")


def nodes(config: Any, path: str = "") -> Iterator[tuple[str, Config]]:
    """Yield each node that names a `_target_`, with its path."""
    if isinstance(config, dict):
        if "_target_" in config:
            yield path, config
        for key, value in config.items():
            yield from nodes(value, f"{path}.{key}" if path else str(key))
    if isinstance(config, list):
        for index, value in enumerate(config):
            yield from nodes(value, f"{path}[{index}]")


def check_arguments(path: str, node: Config) -> None:
    """Raise InputError if the node's target does not exist or has no such argument, or takes another type."""
    try:
        target = resolve_name(node["_target_"])
    except Exception as error:
        raise InputError(f"{path}._target_ is '{node['_target_']}', which cannot be imported: check it") from error
    known, takes_any = arguments_of(target)
    for name, value in node.items():
        if name.startswith("_") and name.endswith("_"):
            continue
        if name not in known and not takes_any:
            raise InputError(f"there is no config key '{path}.{name}': {did_you_mean(name, known)}")
        if not isinstance(value, dict) and name in known:
            check_value(f"{path}.{name}", value, known[name])


def arguments_of(target: Callable) -> tuple[dict[str, Any], bool]:
    """Return the annotation of each argument of `target`, and whether it takes any other name as well.

    A class that takes `**arguments` passes them on to the next class in line.
    """
    constructors: list[Callable] = [target]
    if isinstance(target, type):
        constructors = [vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls)]
    known: dict[str, Any] = {}
    for constructor in constructors:
        parameters = inspect.signature(constructor).parameters.values()
        hints = _hints(constructor)
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                known.setdefault(parameter.name, hints.get(parameter.name, Any))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return {name: hint for name, hint in known.items() if name != "self"}, False
    return {name: hint for name, hint in known.items() if name != "self"}, True


def check_value(path: str, value: Any, hint: Any) -> None:
    """Raise InputError unless `value` is of the annotated type; YAML writes a tuple as a list."""
    try:
        check_type(tuple(value) if isinstance(value, list) and get_origin(hint) is tuple else value, hint)
    except TypeCheckError:
        expected = inspect.formatannotation(hint).replace("typing.", "")
        raise InputError(f"{path} is {value!r}, but should be of type {expected}: correct the value") from None


def check_values(config: Config) -> None:
    """Raise InputError for a top-level value, or a rate, that cannot be."""
    if config["mode"] not in ("min", "max"):
        raise InputError(f"mode is {config['mode']!r}: use min or max")
    seed = config["seed"]
    if seed is not None and (not isinstance(seed, int) or seed < 0):
        raise InputError(f"seed is {seed!r}: use a whole number from 0 up, or null for a random one")
    threads = config["threads"]
    if threads != "auto" and not (isinstance(threads, int) and threads is not True and threads > 0):
        raise InputError(f"threads is {threads!r}: use auto, or a whole number from 1 up")
    if not isinstance(config["compile"], bool):
        raise InputError(f"compile is {config['compile']!r}: use true or false")
    if config["matmul_precision"] not in MATMUL_PRECISIONS:
        raise InputError(f"matmul_precision is {config['matmul_precision']!r}: use {', '.join(MATMUL_PRECISIONS)}")
    if config["data_on_device"] != "auto" and not isinstance(config["data_on_device"], bool):
        raise InputError(f"data_on_device is {config['data_on_device']!r}: use auto, true or false")
    rate = (config["optimizer"] or {}).get("lr")
    if isinstance(rate, int | float) and rate <= 0:
        raise InputError(f"optimizer.lr is {rate}: a learning rate is above 0, for example 0.001")


def check_monitor(config: Config, spec: Spec) -> None:
    """Raise InputError unless the task logs the monitored metric and `mode` is its better direction."""
    metrics = build.task_class(config).build_metrics(spec.target)
    better = {"val/loss": "min"} | {f"val/{name}": metric.mode for name, metric in metrics.items()}
    monitor, mode = config["monitor"], config["mode"]
    if monitor not in better:
        raise InputError(f"monitor is '{monitor}', which this task does not log: {did_you_mean(monitor, better)}")
    if better[monitor] != mode:
        raise InputError(f"mode is {mode}, but {monitor} is better the other way: add mode={better[monitor]}")


def check_loss(config: Config, spec: Spec) -> None:
    """Raise InputError for a loss that cannot learn this task's targets, by trying it on three rows."""
    if not config["task"].get("loss"):
        return
    target = spec.target.example_encoded()
    output = torch.linspace(-1, 1, 3 * spec.target.num_outputs).reshape(3, -1).requires_grad_()
    loss = build.make(config["task"], "loss")
    described = build.describe("task.loss", config["task"]["loss"])
    try:
        with warnings.catch_warnings(action="error"):
            loss(output, target).backward()
        learns = output.grad is not None and bool(output.grad.any())
    except (RuntimeError, ValueError, UserWarning):
        learns = False
    if not learns:
        raise InputError(f"{described} does not fit {config['task']['_target_']}: choose another task/loss")
    weighted = [key for key in ("data.weight_column", "task.class_weights") if _value(config, key) is not None]
    loss.reduction = "none"
    if weighted and loss(output, target).shape[:1] != (3,):
        raise InputError(f"{described} has no reduction='none', so rows cannot be weighted: leave out {weighted[0]}")


def check_processes(trainer: Config) -> None:
    """Raise InputError for several processes that would each start the whole command again."""
    devices, strategy = trainer.get("devices", 1), trainer.get("strategy", "auto")
    starts_inside = any(word in str(strategy) for word in ("spawn", "fork", "notebook"))
    if (str(devices) not in ("1", "[0]") or "ddp" in str(strategy)) and not starts_inside:
        raise InputError(
            f"trainer.devices={devices} with strategy {strategy} would start the run anew for each process"
            ": add trainer=ddp"
        )


def check_precision(config: Config) -> None:
    """Raise InputError for weights of half precision, and for a fused optimizer that could not clip in mixed."""
    precision, clips = config["trainer"].get("precision"), config["trainer"].get("gradient_clip_val") is not None
    if precision in ("bf16-true", "16-true"):
        mixed = precision.replace("true", "mixed")
        raise InputError(
            f"trainer.precision={precision} would keep the weights themselves in half precision, too coarse for small "
            f"steps: use {mixed}, which computes in it"
        )
    if clips and "mixed" in str(precision) and config["optimizer"].get("fused"):
        raise InputError(
            f"trainer.gradient_clip_val with trainer.precision={precision} needs a loop over parameters"
            ": add optimizer.fused=false"
        )


def check_optimizer(config: Config) -> None:
    """Raise InputError for values that optimizer or schedule refuse, by trying them on one parameter."""
    parameter = torch.nn.Parameter(torch.zeros(1, 1))
    make_optimizer = build.make(config, "optimizer")
    try:
        optimizer = make_optimizer([parameter])
    except (ValueError, TypeError) as error:
        raise InputError(f"{build.describe('optimizer', config['optimizer'])} is refused: {error}") from error
    if config["scheduler"]:
        make_scheduler = build.make(config, "scheduler")
        takes_total = "total_steps" in inspect.signature(make_scheduler).parameters
        try:
            make_scheduler(optimizer, **({"total_steps": 100} if takes_total else {}))
        except (ValueError, TypeError) as error:
            raise InputError(f"{build.describe('scheduler', config['scheduler'])} is refused: {error}") from error


def _value(config: Config, key: str) -> Any:
    group, _, name = key.partition(".")
    return config[group].get(name)


def _hints(constructor: Callable) -> dict[str, Any]:
    try:
        return get_type_hints(constructor)
    except Exception:  # some annotations in libraries exist for type checkers only
        return {}
