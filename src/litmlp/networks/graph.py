"""What a network does with its inputs, layer by layer."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from litmlp.networks.hidden import hooked


class Node(NamedTuple):
    """A layer without layers of its own, or an operation between layers.

    Attributes:
        name: unlike any other node's.
        kind: of layer or operation.
        inputs: names of the nodes whose results come in.
        shape: of the result, the first one if there are several.
        detail: what the layer says of itself.
    """

    name: str
    kind: str
    inputs: list[str]
    shape: list[int]
    detail: str = ""


def nodes_of(network: nn.Module, **inputs: Tensor) -> list[Node]:
    """Return the nodes that a network's forward pass goes through, inputs first and `output` last."""
    record = _Record()
    for name, tensor in inputs.items():
        if tensor.numel():
            record.add(name, "input", [], tensor)
    leaves = {name: module for name, module in network.named_modules() if not list(module.children())}
    handles: list[Any] = []
    for name, module in leaves.items():
        handles.append(module.register_forward_pre_hook(record.enter))
        handles.append(module.register_forward_hook(record.leave(name)))
    with torch.no_grad(), hooked(handles), record:
        output = network(*inputs.values())
    record.add("output", "output", [output], output)
    return record.nodes


class _Record(TorchFunctionMode):
    """Keeps a node for each operation that takes place outside of layers, and for each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.source: dict[int, str] = {}  # of a tensor, by its identity
        self.kept: list[Any] = []  # alive, so that no identity comes twice
        self.layers: dict[str, nn.Module] = {}
        self.is_inside = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        taken = [tensor for tensor in _tensors([args, kwargs]) if id(tensor) in self.source]
        if taken and not self.is_inside and any(True for _ in _tensors(result)):
            kind = getattr(func, "__name__", "operation").strip("_")
            self.add(f"{kind}_{len(self.nodes)}", kind, taken, result)
        return result

    def enter(self, layer: nn.Module, arguments: Any) -> None:
        self.is_inside = True

    def leave(self, name: str) -> Any:
        def hook(layer: nn.Module, arguments: Any, output: Any) -> None:
            self.is_inside = False
            kind = type(layer).__name__
            label = f"{kind}.{name.rpartition('.')[2]}"  # short, for TensorBoard cuts it
            if label in self.layers and self.layers[label] is not layer:
                label = f"{kind}.{name}"
            self.layers[label] = layer
            self.add(label, kind, _tensors(arguments), output, layer.extra_repr())

        return hook

    def add(self, name: str, kind: str, taken: Any, result: Any, detail: str = "") -> None:
        results = list(_tensors(result))
        if not results:
            return
        used = {node.name for node in self.nodes}
        while name in used:  # a layer that is used twice
            name += "_again"
        inputs = list(dict.fromkeys(self.source[id(tensor)] for tensor in taken if id(tensor) in self.source))
        self.nodes.append(Node(name, kind, inputs, list(results[0].shape), detail))
        self.source |= {id(tensor): name for tensor in results}
        self.kept.append(result)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
