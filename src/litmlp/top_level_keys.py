"""The top-level keys of a config. To add a key, add a line here and in conf/train.yaml.

Runs from before have no such key. Set `may_be_absent` if they should still be resumed.

This module imports nothing that takes seconds, because reports and resuming use it, too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

MAX_SEED, MAX_THREADS = 2**32 - 1, 1024
MATMUL_PRECISIONS = ("highest", "high", "medium")


class Key(NamedTuple):
    """The rules for a key.

    Attributes:
        fits: tells whether a value is valid. Groups of options are checked against the constructors that they name, in
            `config_check.py`.
        advice: what a message says to do if the value is not valid.
        tells_apart: whether a report shows two runs as different if they differ only in this key. False for keys that
            do not change the result.
        may_change: whether the key can be given a new value when a run is resumed.
        may_be_absent: whether the key may be removed from the config, as `~scheduler` does.
    """

    fits: Callable[[Any], bool] = lambda value: True
    advice: str = ""
    tells_apart: bool = True
    may_change: bool = False
    may_be_absent: bool = False


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_seed(value: Any) -> bool:
    """Tell whether a value can be a seed."""
    return _is_whole(value, 0, MAX_SEED)


def _is_threads(value: Any) -> bool:
    return value == "auto" or _is_whole(value, 1, MAX_THREADS)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


SEED = f"use a whole number from 0 to {MAX_SEED}"
KEYS: dict[str, Key] = {
    **dict.fromkeys(("data", "network", "task", "optimizer"), Key()),
    "scheduler": Key(may_be_absent=True),
    "trainer": Key(may_change=True),
    **dict.fromkeys(("callbacks", "logger"), Key(tells_apart=False, may_change=True, may_be_absent=True)),
    "seed": Key(is_seed, SEED),
    "monitor": Key(lambda value: isinstance(value, str), "give a text"),
    "mode": Key(),  # config_check.check_monitor checks it together with the monitor
    "threads": Key(_is_threads, f"use auto, or a whole number from 1 to {MAX_THREADS}", False, may_change=True),
    "compile": Key(lambda value: isinstance(value, bool), "use true or false", tells_apart=False),
    "matmul_precision": Key(MATMUL_PRECISIONS.__contains__, f"use {', '.join(MATMUL_PRECISIONS)}", tells_apart=False),
    "data_on_device": Key(
        lambda value: value == "auto" or isinstance(value, bool), "use auto, true or false", tells_apart=False
    ),
    "resume": Key(_is_text_or_none, "give a text", tells_apart=False, may_be_absent=True),
    "init_from": Key(_is_text_or_none, "give a text", may_be_absent=True),
}
