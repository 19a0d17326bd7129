"""Pads embeddings with zeros, so that networks of columns with different numbers of levels have the same shapes.

Runs of several folds of a table differ in this if a rare level has no training row in some of them. The width of an
embedding follows from its number of codes, and the width of the first layer from those of all embeddings. A padded
input is 0, and so are its weights: their gradients are 0, so that both stay 0 and the other numbers are not affected.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from litmlp.networks.members import MemberLinear
from litmlp.networks.mlp import MLP, Embedding

Blocks = tuple[tuple[int, ...], ...]
SIZES = ("num_embeddings", "embedding_dim", "in_features")  # attributes that say the shape of a layer's weight
MOST_GROWTH = 2  # of a network: with more padding, a step may take longer than those of two populations


class Padding(NamedTuple):
    """Where the numbers of M networks are in a parameter that has the same shape for all.

    Attributes:
        shape: of the padded parameter.
        shapes: of each network's own parameter.
        indices: where the numbers of each network are in the flattened padded parameter; the others are 0.
    """

    shape: torch.Size
    shapes: list[torch.Size]
    indices: list[Tensor]

    def padded(self, row: int, own: Tensor) -> Tensor:
        """Return a network's own tensor in the common shape."""
        whole = own.new_zeros(self.shape.numel())
        whole[self.indices[row]] = own.flatten()
        return whole.view(self.shape)

    def own(self, row: int, padded: Tensor) -> Tensor:
        """Return a network's own part of a tensor in the common shape, as a copy."""
        return padded.flatten()[self.indices[row]].view(self.shapes[row])


def paddings(tasks: Sequence[nn.Module]) -> dict[str, Padding]:
    """Return the padding of each parameter, by name, whose shape is not the same in all tasks."""
    found = [_blocks(task) for task in tasks]
    by_name = {name: [blocks[name] for blocks in found] for name in found[0]}
    return {name: _padding(blocks) for name, blocks in by_name.items() if len(set(blocks)) > 1}


def resizable(one: nn.Module, other: nn.Module) -> set[str]:
    """Return the names of the parameters whose shapes may differ in two tasks; none if padding is no remedy or large.

    Only the project's own `MLP` is known well enough: another network may compute something else from padded inputs.
    """
    ones, others = _blocks(one), _blocks(other)
    if ones.keys() != others.keys() or any(_fixed(name, ones[name]) != _fixed(name, others[name]) for name in ones):
        return set()
    sizes = [sum(parameter.numel() for parameter in task.parameters()) for task in (one, other)]
    added = sum(_shape(_longest([ones[name], others[name]])).numel() - _shape(ones[name]).numel() for name in ones)
    return set(ones) if sizes[0] + added <= MOST_GROWTH * min(sizes) else set()


def _blocks(task: nn.Module) -> dict[str, Blocks]:
    """Return the lengths of the blocks of which each dim of a parameter consists, if its shape follows from levels.

    The inputs of the first layer consist of the numeric ones and those of each embedding.
    """
    network = getattr(task, "network", None)
    if type(network) is not MLP or {type(one) for one in network.embeddings} != {Embedding}:
        return {}
    first = network.layers[0]
    if type(first) not in (nn.Linear, MemberLinear):
        return {}
    tables, weight = [one.get_parameter("weight") for one in network.embeddings], first.get_parameter("weight")
    found: dict[str, Blocks] = {f"embeddings.{i}.weight": _whole(table) for i, table in enumerate(tables)}
    widths = [table.shape[1] for table in tables]
    inputs = (weight.shape[1] - sum(widths), *widths)
    before, _, *after = _whole(weight)  # [out, in], or [M, in, out]
    found["layers.0.weight"] = (before, inputs, *after)
    if network.scales is not None:
        found["scales.changes"] = (inputs,)
    if network.members is not None:
        found["members.factors"] = ((network.num_members,), inputs)
    return {f"network.{name}": blocks for name, blocks in found.items()}


def _whole(tensor: Tensor) -> Blocks:
    return tuple((size,) for size in tensor.shape)


def _fixed(name: str, blocks: Blocks) -> Blocks:
    """Return the part of the blocks that no number of levels can change: the numeric inputs, the outputs, members."""
    return () if name.startswith("network.embeddings.") else tuple(lengths[:1] for lengths in blocks)


def _longest(blocks: Sequence[Blocks]) -> Blocks:
    return tuple(tuple(map(max, zip(*of_dim, strict=True))) for of_dim in zip(*blocks, strict=True))


def _shape(blocks: Blocks) -> torch.Size:
    return torch.Size(map(sum, blocks))


def _padding(blocks: Sequence[Blocks]) -> Padding:
    longest = _longest(blocks)
    index = {own: _index(own, longest) for own in set(blocks)}  # equal networks share it
    return Padding(_shape(longest), [_shape(own) for own in blocks], [index[own] for own in blocks])


def _index(blocks: Blocks, longest: Blocks) -> Tensor:
    """Return where the numbers of a parameter are in the flattened padded one: each block begins where it begins."""
    places = torch.arange(prod(_shape(longest))).view(_shape(longest))
    for dim, (lengths, most) in enumerate(zip(blocks, longest, strict=True)):
        starts = accumulate(most[:-1], initial=0)
        own = [torch.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        places = places.index_select(dim, torch.cat(own))
    return places.flatten()
