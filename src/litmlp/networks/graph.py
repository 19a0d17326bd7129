"""Records the layers and operations that a network applies to its inputs."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from litmlp.networks.hidden import hooked


class Node(NamedTuple):
    """A layer that contains no other layers, or an operation between layers.

    Attributes:
        name: differs from the names of all other nodes.
        kind: the class of the layer, or the name of the operation.
        inputs: names of the nodes whose results are the inputs.
        shape: of the result; of the first result if there are several.
        detail: the layer's own description (`extra_repr`).
    """

    name: str
    kind: str
    inputs: list[str]
    shape: list[int]
    detail: str = ""


def nodes_of(network: nn.Module, **inputs: Tensor) -> list[Node]:
    """Return the nodes of a network's forward pass in order; the inputs come first, `output` last."""
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
    """Keeps a node for each layer, and for each operation outside of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.source: dict[int, str] = {}  # maps the id of a tensor to the name of the node that returned it
        self.kept: list[Any] = []  # keeps tensors alive, so that no other tensor gets the same id
        self.layers: dict[str, nn.Module] = {}
        self.is_inside = False  # whether a layer is being called, whose operations are not recorded

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        arguments = [tensor for tensor in _tensors([args, kwargs]) if id(tensor) in self.source]
        if arguments and not self.is_inside and any(True for _ in _tensors(result)):
            kind = getattr(func, "__name__", "operation").strip("_")
            self.add(f"{kind}_{len(self.nodes)}", kind, arguments, result)
        return result

    def enter(self, layer: nn.Module, arguments: Any) -> None:
        self.is_inside = True

    def leave(self, name: str) -> Any:
        def hook(layer: nn.Module, arguments: Any, output: Any) -> None:
            self.is_inside = False
            kind = type(layer).__name__
            label = f"{kind}.{name.rpartition('.')[2]}"  # short, because TensorBoard truncates it
            if label in self.layers and self.layers[label] is not layer:
                label = f"{kind}.{name}"
            self.layers[label] = layer
            self.add(label, kind, _tensors(arguments), output, layer.extra_repr())

        return hook

    def add(self, name: str, kind: str, arguments: Any, result: Any, detail: str = "") -> None:
        results = list(_tensors(result))
        if not results:
            return
        used = {node.name for node in self.nodes}
        while name in used:  # a layer that is used twice
            name += "_again"
        inputs = list(dict.fromkeys(self.source[id(tensor)] for tensor in arguments if id(tensor) in self.source))
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
