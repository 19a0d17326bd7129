"""The parameters of several networks of the same structure, side by side in matrices."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from litmlp.populations.padding import Padding

ALIGNED = 16  # numbers; a parameter begins at a multiple of them, as allocated tensors do


class Place(NamedTuple):
    """Where a parameter is.

    Attributes:
        name: of the parameter.
        shape: of the parameter, with its padding.
        group: number of the matrix.
        start: its first column there.
        end: the column after its last one.
        padding: None if it has the same shape in all networks.
    """

    name: str
    shape: torch.Size
    group: int
    start: int
    end: int
    padding: Padding | None = None

    def of(self, matrix: Tensor) -> Tensor:
        """Return the columns of a matrix `[M, columns]` as `[M, *shape]`, which shares its memory."""
        return matrix[:, self.start : self.end].unflatten(1, self.shape)

    def columns(self, row: int) -> slice | Tensor:
        """Return the columns of a network's own numbers."""
        return slice(self.start, self.end) if self.padding is None else self.start + self.padding.indices[row]

    def own(self, numbers: Tensor, row: int) -> Tensor:
        """Return a network's own numbers, in its own shape, of a row `[columns]`; a copy if they are padded."""
        whole = numbers[self.start : self.end].view(self.shape)
        return whole if self.padding is None else self.padding.own(row, whole)


class Stack:
    """The parameters of M networks as matrices, of whose rows the networks' own parameters become views.

    So a step changes all of the networks at once, and each of them can be used, saved and loaded as before. Parameters
    that are padded cannot be views: they are copied, by `take` and `give`.

    Args:
        modules: the networks.
        groups: the names of the parameters that an optimizer has in each of its groups.
        paddings: of parameters whose shapes differ, by name.

    Attributes:
        matrices: `[M, columns]` of each group.
        places: of each parameter.
        is_padding: for each group, which numbers of its matrix no network has; None if there are none.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        groups: Sequence[Sequence[str]],
        paddings: Mapping[str, Padding] | None = None,
    ) -> None:
        named = [dict(module.named_parameters()) for module in modules]
        self.places: list[Place] = []
        self.matrices: list[Tensor] = []
        for group, names in enumerate(groups):
            start = 0
            for name in names:
                padding = (paddings or {}).get(name)
                shape = named[0][name].shape if padding is None else padding.shape
                self.places.append(Place(name, shape, group, start, start + shape.numel(), padding))
                start += -(-shape.numel() // ALIGNED) * ALIGNED
            like = named[0][names[0]]
            self.matrices.append(torch.zeros(len(modules), start, dtype=like.dtype, device=like.device))
        self.padded = [(place, [own[place.name] for own in named]) for place in self.places if place.padding]
        self.is_padding = [self._is_padding(group) for group in range(len(groups))]
        for row in range(len(modules)):
            self.take(row)
        for place in self.places:
            if place.padding is None:
                for own, row_of_place in zip(named, place.of(self.matrices[place.group]), strict=True):
                    row_of_place.copy_(own[place.name].detach())
                    own[place.name].data = row_of_place

    def take(self, row: int) -> None:
        """Copy those parameters of a network that are padded into its row."""
        for place, parameters in self.padded:
            self.matrices[place.group][row, place.columns(row)] = parameters[row].detach().flatten()

    def give(self, row: int) -> None:
        """Copy the numbers of a row into those parameters of its network that are padded."""
        for place, parameters in self.padded:
            parameters[row].detach().copy_(place.own(self.matrices[place.group][row], row))

    def places_of(self, group: int) -> list[Place]:
        """Return the places of a group's parameters."""
        return [place for place in self.places if place.group == group]

    def views(self) -> dict[str, Tensor]:
        """Return each parameter of all networks, `[M, ...]`, by name; they share the memory of the matrices."""
        return {place.name: place.of(self.matrices[place.group]) for place in self.places}

    def _is_padding(self, group: int) -> Tensor | None:
        found = torch.zeros_like(self.matrices[group], dtype=torch.bool)
        for place in self.places_of(group):
            if place.padding is not None:
                place.of(found).fill_(True)
                for row in range(len(found)):
                    found[row, place.columns(row)] = False
        return found if found.any() else None
