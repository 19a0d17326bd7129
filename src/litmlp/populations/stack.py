"""The parameters of several networks of the same structure, side by side in matrices."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

ALIGNED = 16  # numbers; a parameter begins at a multiple of them, as allocated tensors do


class Place(NamedTuple):
    """Where a parameter is.

    Attributes:
        name: of the parameter.
        shape: of the parameter.
        group: number of the matrix.
        start: its first column there.
        end: the column after its last one.
    """

    name: str
    shape: torch.Size
    group: int
    start: int
    end: int

    def of(self, matrix: Tensor) -> Tensor:
        """Return the columns of a matrix `[M, columns]` as `[M, *shape]`, which shares its memory."""
        return matrix[:, self.start : self.end].unflatten(1, self.shape)


class Stack:
    """The parameters of M networks as matrices, of whose rows the networks' own parameters become views.

    So a step changes all of the networks at once, and each of them can be used, saved and loaded as before.

    Args:
        modules: the networks.
        groups: the names of the parameters that an optimizer has in each of its groups.

    Attributes:
        matrices: `[M, columns]` of each group.
        places: of each parameter.
    """

    def __init__(self, modules: Sequence[nn.Module], groups: Sequence[Sequence[str]]) -> None:
        named = [dict(module.named_parameters()) for module in modules]
        self.places: list[Place] = []
        self.matrices: list[Tensor] = []
        for group, names in enumerate(groups):
            start = 0
            for name in names:
                parameter = named[0][name]
                self.places.append(Place(name, parameter.shape, group, start, start + parameter.numel()))
                start += -(-parameter.numel() // ALIGNED) * ALIGNED
            like = named[0][names[0]]
            self.matrices.append(torch.zeros(len(modules), start, dtype=like.dtype, device=like.device))
        for place in self.places:
            for own, row in zip(named, place.of(self.matrices[place.group]), strict=True):
                row.copy_(own[place.name].detach())
                own[place.name].data = row

    def places_of(self, group: int) -> list[Place]:
        """Return the places of a group's parameters."""
        return [place for place in self.places if place.group == group]

    def views(self) -> dict[str, Tensor]:
        """Return each parameter of all networks, `[M, ...]`, by name; they share the memory of the matrices."""
        return {place.name: place.of(self.matrices[place.group]) for place in self.places}
