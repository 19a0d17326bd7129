"""Stored states, taken back: a checkpoint may be anybody's."""

from typing import Any

import torch
from torch import Tensor
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type


def taken(state: Any, hints: dict[str, Any]) -> list[Any]:
    """Return the values of a stored state in the order of `hints`, which has the type of each by its name.

    Raises:
        ValueError: the state has other names than these, or a value is of another type.
    """
    if not isinstance(state, dict) or state.keys() != hints.keys():
        raise ValueError(f"a state should hold {', '.join(hints)}")
    for name, hint in hints.items():
        try:
            check_type(state[name], hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
        except TypeCheckError as error:
            raise ValueError(f"the state's {name} {error}") from error
    return [state[name] for name in hints]


def finite(*values: float | Tensor) -> None:
    """Raise ValueError unless all numbers are finite."""
    if not all(bool(torch.as_tensor(value, dtype=torch.float64).isfinite().all()) for value in values):
        raise ValueError("a state holds a number that is not finite")


def positive(*values: float | Tensor) -> None:
    """Raise ValueError unless all numbers are above 0, so that others can be divided by them."""
    if not all(bool((torch.as_tensor(value, dtype=torch.float64) > 0).all()) for value in values):
        raise ValueError("a state holds a deviation that is not above 0")


def different(texts: list[str]) -> list[str]:
    """Return different texts; raise ValueError for one that occurs twice."""
    if len(set(texts)) < len(texts):
        raise ValueError("a state names a level or a class twice")
    return list(texts)
