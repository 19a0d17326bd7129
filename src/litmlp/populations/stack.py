"""The parameters of several networks of the same structure, side by side in one matrix."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

ALIGNED = 16  # numbers; a parameter begins at a multiple of them, as allocated tensors do


class Place(NamedTuple):
    """Where a parameter is in a row of the matrix."""

    name: str
    shape: torch.Size
    start: int
    end: int


class Stack:
    """The parameters of M networks as an `[M, P]` matrix, of whose rows the networks' own parameters become views.

    So a step changes all of the networks at once, and each of them can be used, saved and loaded as before.

    Args:
        modules: the networks.
        groups: the names of the parameters that an optimizer has in each of its groups. A group's parameters are side
            by side.

    Attributes:
        matrix: `[M, P]`.
        places: of each parameter.
        columns: the slice of columns of each group.
    """

    def __init__(self, modules: Sequence[nn.Module], groups: Sequence[Sequence[str]]) -> None:
        named = [dict(module.named_parameters()) for module in modules]
        self.places: list[Place] = []
        self.columns: list[slice] = []
        start = 0
        for names in groups:
            first = start
            for name in names:
                parameter = named[0][name]
                self.places.append(Place(name, parameter.shape, start, start + parameter.numel()))
                start += -(-parameter.numel() // ALIGNED) * ALIGNED
            self.columns.append(slice(first, start))
        like = next(iter(named[0].values()))
        self.matrix = torch.zeros(len(modules), start, dtype=like.dtype, device=like.device)
        for row, parameters in enumerate(named):
            for place in self.places:
                self.matrix[row, place.start : place.end] = parameters[place.name].detach().flatten()
        self.attach(modules)

    def attach(self, modules: Sequence[nn.Module]) -> None:
        """Make the networks' parameters views of the rows."""
        for row, module in zip(self.matrix, modules, strict=True):
            parameters = dict(module.named_parameters())
            for place in self.places:
                parameters[place.name].data = row[place.start : place.end].view(place.shape)

    def places_of(self, group: int) -> list[Place]:
        """Return the places of a group's parameters."""
        columns = self.columns[group]
        return [place for place in self.places if columns.start <= place.start < columns.stop]

    def views(self) -> dict[str, Tensor]:
        """Return each parameter of all networks, `[M, ...]`, by name; they share the matrix's memory."""
        return {name: self.matrix[:, a:b].view(len(self.matrix), *shape) for name, shape, a, b in self.places}

    def put(self, gradients: Sequence[Tensor], out: Tensor) -> None:
        """Copy the parameters' gradients, `[M, ...]` in the order of `places`, into the columns of `out`, `[M, P]`."""
        for (_, _, start, end), gradient in zip(self.places, gradients, strict=True):
            out[:, start:end] = gradient.flatten(1)
