"""Access to the inputs and outputs of a network's layers during its forward pass."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from litmlp.networks.members import MemberLinear

ACTIVATIONS = tuple(getattr(nn, name) for name in nn.modules.activation.__all__)


def hidden_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers whose outputs are hidden units, by name.

    These are the activations; in a network without activations, they are all linear layers except the last one.
    """
    modules = dict(network.named_modules())
    activations = {name: module for name, module in modules.items() if isinstance(module, ACTIVATIONS)}
    return activations or dict(list(linear_layers(network).items())[:-1])


def linear_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the linear layers by name, in order; the last one returns the network's output."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear | MemberLinear)}


@contextmanager
def outputs_of(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of the layers while the context is open, by name. A compiled network runs uncompiled in it."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: nn.Module, arguments: Any, output: Tensor) -> None:
            outputs[name] = output.detach()

        return hook

    with hooked([layer.register_forward_hook(keep(name)) for name, layer in layers.items()]):
        yield outputs


@contextmanager
def input_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Keep the inputs of a layer while the context is open."""
    inputs: list[Tensor] = []
    with hooked([layer.register_forward_pre_hook(lambda layer, arguments: inputs.append(arguments[0].detach()))]):
        yield inputs


@contextmanager
def hooked(handles: list[Any]) -> Iterator[None]:
    """Run networks uncompiled while the context is open, then remove the hooks."""
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(task: nn.Module) -> Iterator[None]:
    """Switch a task to evaluation while the context is open: without dropout and without gradients."""
    modules = list(task.modules())
    training = [module for module in modules if module.training]
    if all(type(module).train is nn.Module.train and type(module).eval is nn.Module.eval for module in modules):
        _switch(training, False)
    else:
        task.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        _switch(training, True)  # some may have been in evaluation before, too


def _switch(modules: Iterable[nn.Module], training: bool) -> None:
    # A module's own way of setting an attribute takes several times as long, which matters in short epochs.
    for module in modules:
        object.__setattr__(module, "training", training)
