"""Checks a config before any data is read: each mistake raises an InputError, one sentence that names the key."""

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

import lightning.pytorch as L
import torch
from lightning.pytorch.loggers import Logger
from typeguard import TypeCheckError, check_type

from litmlp import build
from litmlp.build import MARKS, MAX_REASON, REFUSALS, Config
from litmlp.data import Spec, TabularData
from litmlp.errors import InputError, did_you_mean, shown
from litmlp.machine import TooLarge
from litmlp.memo import Memo
from litmlp.names import named
from litmlp.tasks import Task
from litmlp.top_level_keys import KEYS, SEED, is_seed
from litmlp.trainer_check import check_trainer, has_no_end

PARTS: dict[str, type] = {
    "data": TabularData,
    "network": torch.nn.Module,
    "task": Task,
    "optimizer": torch.optim.Optimizer,
    "scheduler": torch.optim.lr_scheduler.LRScheduler,
    "trainer": L.Trainer,
}
GROUPS: dict[str, type] = {"callbacks": L.Callback, "logger": Logger}  # each has any number of parts
EXPECTED: dict[type, str] = {  # what a message says that _target_ must be
    TabularData: "a subclass of litmlp.data.TabularData",
    torch.nn.Module: "a torch.nn.Module",
    Task: "a subclass of litmlp.tasks.Task",
    torch.optim.Optimizer: "an optimizer, as torch.optim has them",
    torch.optim.lr_scheduler.LRScheduler: "a schedule, as litmlp.training.schedulers has them",
    L.Trainer: "lightning.pytorch.Trainer or a subclass of it",
    L.Callback: "a callback, a subclass of lightning.pytorch.Callback",
    Logger: "a logger, as lightning.pytorch.loggers has them",
}
COLUMNS_TRIED = ((2, 1), (1, 0), (0, 2), (30, 5))  # numbers of numeric and categorical columns to try a network with
ROWS_TRIED = 3
MADE_BY_FUNCTIONS = ("network", "optimizer", "scheduler")  # here, _target_ may also be a function

_passed = Memo(2**12)  # parts of configs that were found to be right
_signatures = Memo(2**10)


def check(config: Config, names_checked: bool = False) -> None:
    """Raise InputError for the first mistake in a resolved config.

    A part that was found to be right is not checked again in this process. What a check finds may thus depend only on
    the part of the config and on the classes that it names.

    Args:
        config: the config.
        names_checked: whether `check_names` has passed it already.
    """
    if not names_checked:
        check_names(config)
    check_trainer(config)
    build.time_limit(config)
    spec = Spec.example(build.task_class(config).target_type)
    check_monitor(config, spec)
    check_loss(config)
    steps = {key: config[key] for key in ("optimizer", "scheduler")}
    _once("optimizer", partial(check_optimizer, config), steps, has_no_end(config["trainer"]))
    _once("network", partial(check_network, config), {key: config[key] for key in ("network", "task")})
    build.data(config)


def _once(name: str, check: Callable[[], None], part: Config, *others: Any) -> None:
    # The classes are in the key as well, with their constructors, since a name can get another class.
    targets = [named(node["_target_"]) for _, node in nodes(part)]
    _passed.of((name, repr(part), *others, *targets, *map(_constructors, targets)), check)


def check_names(config: Config) -> None:
    """Raise InputError for an unknown key or a value of a wrong type, in a config in which `task` may still be auto."""
    check_parts(config)
    check_values(config)
    check_kinds(config)
    for path, node in nodes(numbers_as_text(config)):
        if node["_target_"] is not None:
            constructors = _constructors(imported(path, node["_target_"]))
            _passed.of((path, repr(node), *constructors), partial(check_arguments, path, node))


def numbers_as_text(config: Config) -> Config:
    """Return a config in which arguments of `data` that take only text, such as names of columns, hold no numbers.

    YAML reads a column's name `2` as a number, for example.
    """
    node = config.get("data")
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        return config
    hints, _ = arguments_of(imported("data", node["_target_"]))
    return config | {"data": {name: _number_as_text(value, hints.get(name)) for name, value in node.items()}}


def _number_as_text(value: Any, hint: Any) -> Any:
    types = {*get_args(hint)} or {hint}
    takes_list_of_text = any(get_origin(member) is list and get_args(member) == (str,) for member in types)
    if isinstance(value, list) and takes_list_of_text:
        return [str(item) if _is_number(item) else item for item in value]
    return str(value) if str in types and not types & {int, float} and _is_number(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_parts(config: Config) -> None:
    """Raise InputError for an unknown or a missing key, or for a part of the run without a `_target_` to build."""
    for key in config:
        if key not in KEYS:
            raise InputError(f"there is no config key '{key}': {did_you_mean(key, KEYS)}")
    for key in sorted(KEYS.keys() - config.keys()):
        raise InputError(f"the config has no {key}, but a run needs it: leave ~{key} out")
    for path, value in leaves(config):
        check_leaf(path, value)
    for key in PARTS:
        node = config[key]
        if key == "scheduler" and not node:
            continue
        if key == "task" and isinstance(node, dict) and node.get("_target_", "") is None:
            continue  # task=auto: the target column decides, and it has not been read yet
        if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
            raise InputError(f"{key} names no _target_ to build: choose an option that does, with {key}=...")
        if key in ("optimizer", "scheduler") and node.get("_partial_") is not True:
            raise InputError(f"{key} lacks _partial_: add {key}._partial_=true, for a run adds arguments later")
    for group in GROUPS:
        if config[group] is not None and not isinstance(config[group], dict):
            raise InputError(f"{group} is {config[group]!r}: choose options of the group with {group}=[...]")
        for name, node in (config[group] or {}).items():
            if name == "_target_":
                raise InputError(f"{group} has a _target_ of its own: put it below a name, as other options do")
            if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
                known = [other for other in config[group] if other != name]
                raise InputError(f"{group}.{name} names no _target_ to build: {did_you_mean(name, known)}")


def leaves(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each entry that is neither a dict nor a list."""
    if isinstance(config, dict | list):
        pairs = config.items() if isinstance(config, dict) else ((f"[{i}]", value) for i, value in enumerate(config))
        for key, value in pairs:
            yield from leaves(value, f"{path}.{key}".replace(".[", "[") if path else str(key))
    else:
        yield path, config


def check_leaf(path: str, value: Any) -> None:
    """Raise InputError for a number that is not finite or does not fit into 64 bits, and for text that is not UTF-8."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{path} is {value}: give a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InputError(f"{path} is {shown(value)}: give a number below 2**63")
    if isinstance(value, str) and not value.isascii() and value.encode(errors="ignore").decode() != value:
        raise InputError(f"{path} is {value!a}, which is not UTF-8: rename what it names")


def check_kinds(config: Config) -> None:
    """Raise InputError for a part whose `_target_` is not a class of the required type."""
    parts = [(key, config[key].get("_target_"), base) for key, base in PARTS.items() if config[key]]
    parts = [part for part in parts if part[1] is not None]  # a task to be chosen by the data has no class yet
    for group in GROUPS:
        parts += [(f"{group}.{name}", node["_target_"], GROUPS[group]) for name, node in (config[group] or {}).items()]
    for path, name, base in parts:
        target = imported(path, name)
        if not isinstance(target, type) and path in MADE_BY_FUNCTIONS:
            continue
        if not (isinstance(target, type) and issubclass(target, base)):
            raise InputError(f"{path}._target_ is '{name}', but must be {EXPECTED[base]}: choose another one")


def nodes(config: Any, path: str = "") -> Iterator[tuple[str, Config]]:
    """Yield the path and the node of each dict that has a `_target_`."""
    if isinstance(config, dict):
        if "_target_" in config:
            yield path, config
        for key, value in config.items():
            yield from nodes(value, f"{path}.{key}" if path else str(key))
    if isinstance(config, list):
        for index, value in enumerate(config):
            yield from nodes(value, f"{path}[{index}]")


def check_arguments(path: str, node: Config) -> None:
    """Raise InputError if a node's target does not exist, lacks one of the arguments, or takes another type for it."""
    hints, takes_any = arguments_of(imported(path, node["_target_"]))
    for name, value in node.items():
        if name in MARKS:
            continue
        if name not in hints and not takes_any:
            raise InputError(f"there is no config key '{path}.{name}': {did_you_mean(name, hints)}")
        if name in hints and not (isinstance(value, dict) and "_target_" in value):
            check_value(f"{path}.{name}", value, hints[name])


def imported(path: str, name: Any) -> Callable:
    """Return the class or function of that name; raise InputError if it cannot be imported or called."""
    try:
        target = named(name)
    except Exception as error:  # importing runs the module's code, which can raise any exception
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:MAX_REASON]
        raise InputError(f"{path}._target_ is {shown(name)}, which cannot be imported ({reason}): check it") from error
    if not callable(target):
        raise InputError(f"{path}._target_ is {shown(name)}, which cannot be called: name a class or a function")
    return target


def arguments_of(target: Callable) -> tuple[dict[str, Any], bool]:
    """Return the annotation of each argument of `target`, and whether `target` accepts arguments of any name.

    A constructor with `**arguments` is taken to pass them to the constructor of the next class in the resolution order.
    """
    constructors = _constructors(target)
    return _signatures.of(constructors, lambda: _arguments_of(constructors))


def _constructors(target: Callable) -> tuple[Callable, ...]:
    if isinstance(target, type):
        return tuple(vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls))
    return (target,)


def _arguments_of(constructors: Sequence[Callable]) -> tuple[dict[str, Any], bool]:
    collected: dict[str, Any] = {}
    for constructor in constructors:
        parameters = inspect.signature(constructor).parameters.values()
        hints = _hints(constructor)
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                collected.setdefault(parameter.name, hints.get(parameter.name, Any))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return {name: hint for name, hint in collected.items() if name != "self"}, False
    return {name: hint for name, hint in collected.items() if name != "self"}, True


def check_value(path: str, value: Any, hint: Any) -> None:
    """Raise InputError unless `value` has the annotated type. A list fits a tuple, since YAML has no tuples."""
    converted = tuple(value) if isinstance(value, list) and get_origin(hint) is tuple else value
    expected = inspect.formatannotation(hint).replace("typing.", "")
    try:
        check_type(converted if "bool" in expected else _without_bools(converted), hint)
    except TypeCheckError:
        raise InputError(f"{path} is {shown(value)}, but should be of type {expected}: correct the value") from None


def check_values(config: Config) -> None:
    """Raise InputError for an invalid value of a top-level key, a seed or the learning rate."""
    for key, rule in KEYS.items():
        if not rule.fits(config[key]):
            raise InputError(f"{key} is {shown(config[key])}: {rule.advice}")
    for path, node in nodes(config):
        if "seed" in node and not is_seed(node["seed"]):
            raise InputError(f"{path}.seed is {shown(node['seed'])}: {SEED}")
    rate = (config["optimizer"] or {}).get("lr")
    if isinstance(rate, int | float) and rate <= 0:
        raise InputError(f"optimizer.lr is {rate}: a learning rate is above 0, for example 0.001")


def check_monitor(config: Config, spec: Spec) -> None:
    """Raise InputError unless the task logs each monitored metric and each `mode` is the metric's better direction."""
    metrics = build.task_class(config).build_metrics(spec.target)
    better = {"loss": "min"} | {name: metric.mode for name, metric in metrics.items()}
    in_val, in_train = ({f"{stage}/{name}": mode for name, mode in better.items()} for stage in ("val", "train"))
    check_monitored("", config, in_val)
    for path, node in nodes(config):
        if "monitor" in node:
            check_monitored(f"{path}.", node, in_val | in_train)


def check_monitored(prefix: str, node: Config, better: dict[str, str]) -> None:
    """Raise InputError unless a node's `monitor` is a metric that is logged and its `mode` fits that metric.

    Args:
        prefix: the node's path with a dot at the end; empty for the top of the config.
        node: has `monitor`, and perhaps `mode` and `patience`.
        better: the better direction, `min` or `max`, of each metric that is logged.
    """
    monitor, mode = node["monitor"], node.get("mode", "min")
    if not isinstance(monitor, str) or monitor not in better:
        advice = did_you_mean(monitor, better)
        raise InputError(f"{prefix}monitor is {shown(monitor)}, which is no metric of this task: {advice}")
    if mode not in ("min", "max"):
        raise InputError(f"{prefix}mode is {shown(mode)}: use min or max")
    if better[monitor] != mode:
        correct = f"{prefix}mode={better[monitor]}"
        raise InputError(f"{prefix}mode is {mode}, but {monitor} is better the other way: add {correct}")
    if isinstance(patience := node.get("patience"), int) and patience < 0:
        raise InputError(f"{prefix}patience is {patience}: use a whole number from 0 up")


def check_loss(config: Config) -> None:
    """Raise InputError for a loss that cannot learn this task's targets.

    The number of classes may not be known yet. So several numbers are tried, and the loss must fit one of them. A list
    among the loss's arguments, such as one weight for each class, may fix the number.
    """
    if not config["task"].get("loss"):
        return
    lengths = {len(value) for value in config["task"]["loss"].values() if isinstance(value, list)}
    target_type, targets = build.task_class(config).target_type, config["data"].get("target")
    sizes = target_type.sizes(len(targets) if isinstance(targets, list) else 1)
    first_error: InputError | None = None
    for size in (*sizes, *(lengths if len(sizes) > 1 else ())):
        target = target_type.example(size)
        try:
            try_loss(config, target.example_encoded(), target.num_outputs)
            return
        except InputError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error


def try_loss(config: Config, target: torch.Tensor, num_outputs: int) -> None:
    """Raise InputError for a loss that cannot learn these targets, or that cannot be weighted but should be.

    Args:
        config: the run's config.
        target: a few encoded targets, `[N, O] float32` or `[N] int64`.
        num_outputs: number of outputs of the network.
    """
    weight_keys = [key for key in ("data.weight_column", "task.class_weights") if _value(config, key) is not None]
    tried = (repr(target.tolist()), target.dtype, num_outputs, *weight_keys)
    _once("loss", partial(_try_loss, config, target, num_outputs, weight_keys), {"task": config["task"]}, *tried)


def _try_loss(config: Config, target: torch.Tensor, num_outputs: int, weight_keys: list[str]) -> None:
    output = torch.linspace(-1, 1, len(target) * num_outputs).reshape(len(target), -1).requires_grad_()
    loss: Any = build.loss(config)
    description = build.describe("task.loss", config["task"]["loss"])
    try:
        with warnings.catch_warnings(action="error"):
            loss(output, target).backward()
        learns = output.grad is not None and bool(output.grad.any())
    except (*REFUSALS, UserWarning):
        learns = False
    if not learns:
        raise InputError(f"{description} does not fit {config['task']['_target_']}: choose another task/loss")
    loss.reduction = "none"
    if weight_keys and loss(output, target).shape[:1] != (len(target),):
        raise InputError(
            f"{description} has no reduction='none', so rows cannot be weighted: leave out {weight_keys[0]}"
        )


def check_network(config: Config) -> None:
    """Raise InputError for a network that cannot be built for any of several sets of columns, always for one reason.

    The data's columns are not known yet. A network that fails for only some sets, for example because it takes no
    categorical columns, may still fit the data.
    """
    errors: list[InputError] = []
    for num_numeric, num_categorical in COLUMNS_TRIED:
        spec = Spec.example(build.task_class(config).target_type, num_numeric, num_categorical)
        try:
            build.network(config, spec)
            return
        except TooLarge:
            raise
        except InputError as error:
            errors.append(error)
    if len({str(error) for error in errors}) == 1:
        raise errors[0]


def try_out(config: Config, task: Task, data: TabularData) -> None:
    """Raise InputError unless the network and the loss work with the first rows of the data, which is set up."""
    rows = data.tables["train"].rows(slice(ROWS_TRIED))
    expected = (len(rows.numeric), data.target.num_outputs)
    description = build.describe("network", config["network"])
    was_training = task.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
            output = task.eval().forward(rows)
    except REFUSALS as error:
        reason = " ".join(str(error).split())[:MAX_REASON] or type(error).__name__
        raise InputError(
            f"{description} cannot take the columns of this data ({reason}): choose another one"
        ) from error
    finally:
        task.train(was_training)
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != expected:
        actual = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(f"{description} gives {actual} for {expected[0]} rows, not {expected}: choose another one")
    if config["task"].get("loss"):
        assert rows.target is not None
        try_loss(config, rows.target, data.target.num_outputs)


def check_optimizer(config: Config) -> None:
    """Raise InputError for values that the optimizer or the schedule refuses: each takes a step for a tiny layer."""
    layer = torch.nn.Linear(1, 1)
    layer(torch.zeros(1, 1)).sum().backward()
    groups = [{"params": [layer.weight]}, {"params": [layer.bias], "weight_decay": 0.0}]  # as a task makes them
    optimizer = _tried(config, "optimizer", lambda make: make(groups))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError("optimizer._target_ makes no optimizer: choose one of torch.optim")
    _tried(config, "optimizer", lambda _: optimizer.step(lambda: 0.0))
    if not config["scheduler"]:
        return
    takes_total = "total_steps" in arguments_of(named(config["scheduler"]["_target_"]))[0]
    if takes_total and has_no_end(config["trainer"]):
        raise InputError(
            "the scheduler needs to know how many steps there will be, but training has no end: give "
            "trainer.max_epochs=60, or add scheduler=none"
        )
    arguments = {"total_steps": 100} if takes_total else {}
    _tried(config, "scheduler", lambda make: _step(make(optimizer, **arguments)))


def _tried(config: Config, key: str, use: Callable[[Any], Any]) -> Any:
    part = build.make(config, key)
    try:
        with warnings.catch_warnings(action="ignore"):
            return use(part)
    except REFUSALS as error:
        raise build.refused(key, config[key], error) from error


def _step(scheduler: Any) -> None:
    schedule = scheduler["scheduler"] if isinstance(scheduler, dict) else scheduler  # a dict, as Lightning takes it
    metrics = {"metrics": 0.0} if "metrics" in inspect.signature(schedule.step).parameters else {}
    schedule.step(**metrics)


def _without_bools(value: Any) -> Any:
    """Return `value` with a plain object for each bool, which would pass as a number: bool is a subclass of int."""
    if isinstance(value, list | tuple):
        return type(value)(map(_without_bools, value))
    if isinstance(value, dict):
        return {key: _without_bools(item) for key, item in value.items()}
    return object() if isinstance(value, bool) else value


def _value(config: Config, key: str) -> Any:
    group, _, name = key.partition(".")
    return config[group].get(name)


def _hints(constructor: Callable) -> dict[str, Any]:
    try:
        return get_type_hints(constructor)
    except Exception:  # some annotations in libraries exist for type checkers only
        return {}
