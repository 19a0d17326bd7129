"""Records the operations of a function of tensors once, to repeat them without the function."""

from collections.abc import Callable
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx

WITHOUT_EFFECT = ("aten.view.default", "aten.expand.default", "aten._unsafe_view.default")  # if the shape stays


def recorded(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """Return a function that repeats what `function` does with tensors of these shapes.

    Much of the time of a small step goes into Python and into the transformations of `torch.func`. Repeated, a step is
    as fast as one that is written by hand with batched matrix products.

    Args:
        function: takes and returns nested tuples, lists and dicts of tensors. What it does must not depend on values.
        arguments: with which it is called now.
    """
    module = make_fx(function)(*arguments)
    if any(node.kwargs.get("generator") is not None for node in module.graph.nodes):
        raise ValueError("it draws from a generator of its own")  # which a repetition would not make anew
    _simplify(module.graph)
    module.recompile()
    return module


def _simplify(graph: torch.fx.Graph) -> None:
    """Remove operations that change nothing: views of the same shape, and products with 1."""
    for node in graph.nodes:
        if node.op != "call_function" or not node.args or not isinstance(node.args[0], torch.fx.Node):
            continue
        given, result = _shape(node.args[0]), _shape(node)
        is_view = str(node.target) in WITHOUT_EFFECT and given is not None and given == result
        is_product = str(node.target) == "aten.mul.Scalar" and node.args[1] == 1
        if is_view or is_product:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _shape(node: torch.fx.Node) -> Any:
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    return getattr(value, "shape", None)
