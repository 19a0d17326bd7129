"""Looking into a network while it works."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

ACTIVATIONS = tuple(getattr(nn, name) for name in nn.modules.activation.__all__)


def hidden_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers whose outputs are hidden units, by their names: activations, or without any, linear layers."""
    modules = dict(network.named_modules())
    activations = {name: module for name, module in modules.items() if isinstance(module, ACTIVATIONS)}
    return activations or dict(list(linear_layers(network).items())[:-1])


def linear_layers(network: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers by their names, in order; the last one gives the network's output."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}


@contextmanager
def outputs_of(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keep what the layers return while the context is open, by their names; a compiled network is not, meanwhile."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: nn.Module, arguments: Any, output: Tensor) -> None:
            outputs[name] = output.detach()

        return hook

    with hooked([layer.register_forward_hook(keep(name)) for name, layer in layers.items()]):
        yield outputs


@contextmanager
def input_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Keep what comes into a layer while the context is open."""
    inputs: list[Tensor] = []
    with hooked([layer.register_forward_pre_hook(lambda layer, arguments: inputs.append(arguments[0].detach()))]):
        yield inputs


@contextmanager
def hooked(handles: list[Any]) -> Iterator[None]:
    """Run a network as it is written while the context is open, then remove the hooks."""
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(task: nn.Module) -> Iterator[None]:
    """Let a task neither drop units nor keep gradients while the context is open."""
    was_training = task.training
    task.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        task.train(was_training)
