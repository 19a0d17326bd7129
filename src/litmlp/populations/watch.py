"""Notices what has been replaced or changed in a task, an optimizer or other objects since a moment."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from litmlp.training.compat import changes_of

PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)
KINDS = {"_buffers": "the buffer ", "_parameters": "the parameter ", "_modules": "the layer "}
ABSENT = object()


def is_any(key: str) -> bool:
    """Accept every key."""
    del key
    return True


class Watch:
    """Remembers the items of dicts and lists, and of all containers in them, to tell later which one is another.

    A population looks at all that its members have after each epoch, so a look makes no new objects. An item is the
    same if it is the same object, or an equal number or text.

    Args:
        numbers: whether other numbers in a parameter or a buffer count as a change, as they do in other tensors.
    """

    def __init__(self, numbers: bool = True) -> None:
        self.numbers = numbers
        self.keys: list[tuple[str, Any, Callable[[Any], bool], int, list[Any]]] = []
        self.items: list[tuple[str, Any, Any, Any]] = []
        self.sets: list[tuple[str, set[Any], frozenset[Any]]] = []
        self.changes: list[tuple[str, Tensor, int]] = []
        self.places: list[tuple[str, Tensor, int, bool]] = []

    def modules(self, task: nn.Module, is_watched: Callable[[nn.Module, str], bool]) -> None:
        """Watch attributes of a task's modules; of its parameters also where they are in memory.

        Args:
            task: whose modules these are.
            is_watched: tells it for a module and the name of an attribute.
        """
        for name, module in task.named_modules():
            self.container(name, vars(module), partial(is_watched, module))

    def container(self, name: str, container: Any, is_watched: Callable[[Any], bool] = is_any) -> None:
        """Watch the items of a dict, list or tuple.

        Args:
            name: before the names of the items, in what `changed` returns.
            container: with the items.
            is_watched: tells it for a key.
        """
        watched = [key for key in _keys(container) if is_watched(key)]
        self.keys.append((name, container, is_watched, len(container), watched))
        for key in watched:
            value, path = container[key], f"{name}.{key}" if name else str(key)
            self.items.append((path, container, key, value))
            if isinstance(value, nn.Parameter):
                self.places.append((path, value, value.data_ptr(), value.requires_grad))
            if isinstance(value, Tensor) and (self.numbers or not _is_variable(name, value)):
                self.changes.append((path, value, changes_of(value)))
            elif isinstance(value, set):
                self.sets.append((path, value, frozenset(value)))
            elif isinstance(value, dict | list | tuple):
                self.container(KINDS[key] + name if key in KINDS else path, value)

    def changed(self) -> str:
        """Return the name of something that has changed; empty if nothing has."""
        for name, container, is_watched, number, keys in self.keys:
            if len(container) != number:
                now = [key for key in _keys(container) if is_watched(key)]
                if other := [key for key in (*now, *keys) if (key in now) != (key in keys)]:
                    return f"{name}.{other[0]}" if name else str(other[0])
        for name, container, key, value in self.items:
            now = container.get(key, ABSENT) if isinstance(container, dict) else container[key]
            if now is not value and not _is_equal(now, value):
                return name
        for name, one, items in self.sets:
            if one != items:
                return name
        for name, tensor, number in self.changes:
            if changes_of(tensor) != number:
                return name
        for name, tensor, place, is_trained in self.places:
            if tensor.data_ptr() != place or tensor.requires_grad != is_trained:
                return name
        return ""


def _keys(container: Any) -> Collection[Any]:
    return list(container) if isinstance(container, dict) else range(len(container))


def _is_variable(name: str, value: Tensor) -> bool:
    """Tell whether a tensor, in a container of this name, is given to each step."""
    return isinstance(value, nn.Parameter) or name.startswith(KINDS["_buffers"])


def _is_equal(one: Any, other: Any) -> bool:
    """Tell whether two objects are equal numbers or texts, or tuples of them; such objects cannot change."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return isinstance(one, PLAIN) and one == other
