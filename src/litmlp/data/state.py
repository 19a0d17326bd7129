"""Checks of stored states: a checkpoint may come from anybody, so nothing in it is trusted."""

from typing import Any

import torch
from torch import Tensor
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type


def checked_values(state: Any, hints: dict[str, Any]) -> list[Any]:
    """Return the values of a stored state in the order of `hints`, which maps each value's name to its type.

    Raises:
        ValueError: the state does not have exactly these names, or a value has another type.
    """
    if not isinstance(state, dict) or state.keys() != hints.keys():
        raise ValueError(f"a state must hold {', '.join(hints)} and nothing else")
    for name, hint in hints.items():
        try:
            check_type(state[name], hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
        except TypeCheckError as error:
            raise ValueError(f"the state's {name} {error}") from error
    return [state[name] for name in hints]


def check_finite(*values: float | Tensor) -> None:
    """Raise ValueError unless all numbers are finite."""
    if not all(bool(torch.as_tensor(value, dtype=torch.float64).isfinite().all()) for value in values):
        raise ValueError("a state holds a number that is not finite")


def check_positive(*values: float | Tensor) -> None:
    """Raise ValueError unless all numbers are above 0, so that it is safe to divide by them."""
    if not all(bool((torch.as_tensor(value, dtype=torch.float64) > 0).all()) for value in values):
        raise ValueError("a state holds a standard deviation that is not above 0")


def distinct(texts: list[str]) -> list[str]:
    """Return a copy of the texts; raise ValueError if one of them occurs twice."""
    if len(set(texts)) < len(texts):
        raise ValueError("a state names a level or a class twice")
    return list(texts)
