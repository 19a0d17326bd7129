"""What a sweep knows about populations before any run begins. This module imports nothing that takes seconds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST = 64  # members of a population; with more, their weights and gradients no longer stay in a core's caches
# Keys of a config in which runs that are trained together may differ; one that ends with a dot stands for all below it.
FREE = (
    *("seed", "monitor", "mode", "init_from", "resume", "threads"),
    *("scheduler", "scheduler.", "callbacks", "callbacks.", "logger", "logger."),
    *("optimizer.lr", "optimizer.weight_decay", "optimizer.betas", "optimizer.momentum", "optimizer.dampening"),
    *("optimizer.eps", "optimizer.alpha", "optimizer.rho", "optimizer.lr_decay", "optimizer.momentum_decay"),
    *("network.dropout", "task.l1", "task.class_weights", "task.calibration", "task.loss.label_smoothing"),
    *("data.seed", "data.fold", "data.val_fold", "trainer.max_epochs", "trainer.min_epochs", "trainer.max_time"),
)


def is_free(key: str) -> bool:
    """Tell whether runs that are trained together may differ in a key, such as `optimizer.lr`."""
    key = key.lstrip("+~")
    return key in FREE or any(key.startswith(start) for start in FREE if start.endswith("."))


def shaping(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return those overrides that runs must share to be trained together."""
    return tuple(override for override in overrides if not is_free(override.partition("=")[0]))


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the first key in which two configs differ though runs must share it; empty if there is none."""
    ones, others = dict(_flat(one)), dict(_flat(other))
    absent = object()
    keys = (key for key in {**ones, **others} if ones.get(key, absent) != others.get(key, absent))
    return next((key for key in keys if not is_free(key)), "")


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(node, Mapping):
        yield path, node
        return
    for key, value in node.items():
        yield from _flat(value, f"{path}.{key}" if path else str(key))
