"""Tells whether two runs can be members of one population: whether their steps differ in nothing but numbers."""

from collections.abc import Iterator
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn

from litmlp.networks.mlp import Dropout
from litmlp.populations.padding import SIZES, resizable
from litmlp.populations.watch import KINDS, PLAIN
from litmlp.tasks import Task

OF_TORCH = vars(nn.Module()).keys()  # what every module has, such as hooks
OF_TASK = ("optimizer", "scheduler", "metrics", "seen", "seen_before", "known", "target")  # each member has its own
OF_LIGHTNING = {*vars(L.LightningModule()), "_hparams", "_hparams_initial", "_hparams_name", "_log_hyperparams"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_free(module: nn.Module, key: str) -> bool:
    """Tell whether members may differ in an attribute of a module, which is then given to the step as a tensor.

    The code that reads it must be known: code of the user's own might not take a tensor.
    """
    if key == "p":
        return type(module) is Dropout
    if key == "l1":
        return isinstance(module, Task) and type(module).training_step is Task.training_step
    return (
        key == "label_smoothing"
        and type(module) is nn.CrossEntropyLoss
        and module.weight is None
        and module.ignore_index == nn.CrossEntropyLoss().ignore_index
    )


def difference(one: nn.Module, other: nn.Module) -> str:
    """Return in what two tasks differ that the members of a population must share; empty if in nothing."""
    return next(_differences(one, other), "")


def _differences(one: nn.Module, other: nn.Module) -> Iterator[str]:
    ones, others = dict(one.named_modules()), dict(other.named_modules())
    if [(name, type(module)) for name, module in ones.items()] != [(n, type(m)) for n, m in others.items()]:
        yield "the layers"
        return
    free = resizable(one, other)
    for kind, tensors, others_tensors in (
        ("parameter", dict(one.named_parameters()), dict(other.named_parameters())),
        ("buffer", dict(one.named_buffers()), dict(other.named_buffers())),
    ):
        for name in tensors.keys() | others_tensors.keys():
            layouts = [_layout(given.get(name), name in free) for given in (tensors, others_tensors)]
            if layouts[0] != layouts[1]:
                yield f"the shape of the {kind} {name}"
    for name, module in ones.items():
        if any(vars(one)[key] for one in (module, others[name]) for key in HOOKS):
            yield f"the hooks of {name or type(module).__name__}"
        for key in vars(module).keys() | vars(others[name]).keys():
            if (
                key in OF_TORCH
                or (isinstance(module, Task) and _is_of_task(key))
                or (is_free(module, key) and is_free(others[name], key))
                or (key in SIZES and f"{name}.weight" in free)
            ):
                continue
            if not _equal(vars(module).get(key), vars(others[name]).get(key)):
                yield f"{key} of {name or type(module).__name__}"


def is_fixed(module: nn.Module, key: str) -> bool:
    """Tell whether an attribute of a module must stay the same while its steps are repeated."""
    if key in OF_TORCH:
        return key in KINDS or key in HOOKS
    return not (isinstance(module, Task) and _is_of_task(key))


def _is_of_task(key: str) -> bool:
    return key in OF_TASK or key in OF_LIGHTNING or key == "_ddp_params_and_buffers_to_ignore"


def _layout(tensor: Tensor | None, any_shape: bool) -> Any:
    if tensor is None:
        return None
    return None if any_shape else tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad


def _equal(one: Any, other: Any) -> bool:
    """Tell whether two attributes are certain to be equal."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, PLAIN):
        return one == other
    if isinstance(one, Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    return False
