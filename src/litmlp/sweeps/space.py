"""Reads what a sweep varies, in Hydra's grammar: `a,b`, `choice(...)`, `range(...)`, `interval(...)`, `tag(log, ...)`.

A key that varies is called an axis.
"""

import inspect
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pkgutil import resolve_name
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Transformer

from litmlp import cli
from litmlp.errors import InputError

Distribution = dict[str, Any]  # with `choices`, or with `low`, `high` and either `step` or `log`


def parse(params: Mapping[str, Any] | None, arguments: Iterable[str], loader: Any) -> dict[str, Override]:
    """Return the override of each key that varies, in the order given.

    Args:
        params: key to text, as under `hydra.sweeper.params`.
        arguments: the overrides of the command line. They win over `params`; an override with a single value then
            keeps its key from varying.
        loader: Hydra's config loader, which finds the options that match `glob(*)`.
    """
    configured = [cli.normalized(f"{key}={value}", open_keys=True) for key, value in (params or {}).items()]
    parser = OverridesParser.create(config_loader=loader)
    latest = {override.get_key_element(): override for override in parser.parse_overrides([*configured, *arguments])}
    return {key: override for key, override in latest.items() if override.is_sweep_override()}


def fixed(params: Mapping[str, Any] | None) -> list[str]:
    """Return the overrides among `params` that have a single value."""
    configured = [cli.normalized(f"{key}={value}", open_keys=True) for key, value in (params or {}).items()]
    parsed = OverridesParser.create().parse_overrides(configured)
    return [str(override.input_line) for override in parsed if not override.is_sweep_override()]


def values(override: Override) -> list[str]:
    """Return all values of an axis as texts of overrides; raise InputError if it is an interval or has no value."""
    name = shown(override.get_key_element())
    if not override.is_discrete_sweep():
        raise InputError(f"{name} is an interval, which a grid cannot enumerate: list values, or search with sweep=mlp")
    return [text for _, text in _elements(override)]


def distribution(override: Override) -> Distribution:
    """Return the distribution that a search draws the values of an axis from.

    Raises InputError if the axis is empty, or if it is logarithmic and not above 0.
    A range does not include its stop, as everywhere in Hydra. An interval of whole numbers includes both ends.
    """
    name = shown(override.get_key_element())
    if override.is_interval_sweep():
        interval = override.value()
        assert isinstance(interval, IntervalSweep)
        low, high = interval.start, interval.end
        if low is None or high is None or low >= high:
            raise InputError(f"{name} is an empty interval from {low} to {high}: give a lower and a higher end")
        if "log" in interval.tags and low <= 0:
            raise InputError(f"{name} is a logarithmic interval from {low}: start above 0, or leave tag(log, ...) out")
        return {"low": low, "high": high, "log": "log" in interval.tags}
    elements = _elements(override)
    if override.is_range_sweep() and len(elements) > 1:
        sweep: Any = override.value()
        low, high = elements[0][0], elements[-1][0]
        if "log" in sweep.tags:
            if sweep.step != 1 or low <= 0:
                raise InputError(f"{name} is a logarithmic range: start at 1 or more, with a step of 1")
            return {"low": low, "high": high, "log": True}
        if sweep.step > 0 and not sweep.shuffle:
            return {"low": low, "high": high, "step": sweep.step}
        return {"choices": [number for number, _ in elements]}
    return {"choices": [value if isinstance(value, bool | int | float) else text for value, text in elements]}


def fitting(plain: Distribution, value: Any) -> Any:
    """Return a value of a config as a distribution holds it; None if it does not hold the value."""
    if "choices" in plain:
        text = "null" if value is None else str(value).replace(" ", "")
        return next((one for one in plain["choices"] if one in (value, text)), None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not plain["low"] <= value <= plain["high"]:
        return None
    return value if (value - plain["low"]) % plain.get("step", 1) == 0 or "step" not in plain else None


def default(config: Mapping[str, Any], key: str) -> Any:
    """Return the value that a config has for a key: its own, or else that of the constructor it names; None without."""
    *groups, name = shown(key).split(".")
    node: Any = config
    for group in groups:
        node = node.get(group) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or name in node or "_target_" not in node:
        return node.get(name) if isinstance(node, Mapping) else None
    parameter = inspect.signature(resolve_name(node["_target_"])).parameters.get(name)
    return None if parameter is None or parameter.default is inspect.Parameter.empty else parameter.default


def shown(key: str) -> str:
    """Return a key without the `+` or `++` that Hydra's grammar allows before it."""
    return key.lstrip("+")


def _elements(override: Override) -> list[tuple[Any, str]]:
    """Return each value of an axis and its text.

    Hydra shuffles in a different order each time. Here the order follows from the key: jobs are told by their numbers,
    so a sweep could not be continued otherwise.
    """
    sweep: Any = override.value()
    is_shuffled = getattr(sweep, "shuffle", False)
    if is_shuffled:
        override = replace(override, _value=replace(sweep, shuffle=False))
    plain, texts = override.sweep_iterator(), override.sweep_iterator(transformer=Transformer.encode)
    elements = [(value, str(text)) for value, text in zip(plain, texts, strict=True)]
    if not elements:
        raise InputError(f"{shown(override.get_key_element())} is an empty range: give one that holds a value")
    if is_shuffled:
        random.Random(override.get_key_element()).shuffle(elements)
    return elements
