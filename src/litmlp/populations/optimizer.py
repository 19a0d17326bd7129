"""One optimizer for all members, whose learning rates, weight decays and other settings may differ."""

from collections.abc import Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from litmlp.populations.stack import Stack

LINEAR = (
    *(torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop),
    *(torch.optim.Adagrad, torch.optim.Adamax, torch.optim.Adadelta),
)
OF_MEMBERS = ("params", "lr", "initial_lr", "weight_decay", "maximize")  # settings that no unit has


def is_linear(optimizer: Optimizer) -> bool:
    """Tell whether an optimizer's step is its learning rate times a vector that does not depend on the rate."""
    return isinstance(optimizer, LINEAR)


class Unit(NamedTuple):
    """An optimizer with the rate 1, for members whose other settings and numbers of steps are equal.

    Attributes:
        rows: of these members.
        group: of parameters.
        update: `[rows, columns]`; zeros before a step, and minus what a step with the rate 1 subtracts after it.
        optimizer: takes the steps.
        padding: where padding is in the flattened update; None if there is none.
    """

    rows: slice
    group: int
    update: Tensor
    optimizer: Optimizer
    padding: Tensor | None


class StackedOptimizer:
    """Takes the steps of M optimizers of the same class for the rows of a stack.

    A step from zero with the rate 1 and without weight decay is what all of these optimizers multiply by their rate.

    Args:
        stack: of the parameters.
        optimizers: of each row, each with a group for each group of columns. Their states go on.
    """

    def __init__(
        self,
        stack: Stack,
        optimizers: Sequence[Optimizer],
        clip: float | None = None,
        clip_by_value: bool = False,
    ) -> None:
        self.clip, self.clip_by_value = clip, clip_by_value
        self.stack, self.optimizers = stack, optimizers
        self.gradients = [torch.zeros_like(matrix) for matrix in stack.matrices]
        self.gradient_of = [place.of(self.gradients[place.group]) for place in stack.places]
        self.decay = self._of_groups("weight_decay", 0.0)
        self.sign = 1 - 2 * self._of_groups("maximize", False)
        self.is_decoupled = _is_decoupled(optimizers[0])
        self.has_decay = self.decay.any(dim=0).tolist()
        self.maximizes = bool((self.sign < 0).any())
        self.units = [unit for group in range(len(stack.matrices)) for unit in self._units(group)]

    def _of_groups(self, key: str, default: Any) -> Tensor:
        values = [[float(group.get(key, default)) for group in o.param_groups] for o in self.optimizers]
        like = self.stack.matrices[0]
        return torch.tensor(values, dtype=like.dtype, device=like.device)

    def _units(self, group: int) -> list[Unit]:
        kinds = [self._kind(optimizer, group) for optimizer in self.optimizers]
        starts = [row for row in range(len(kinds)) if row == 0 or kinds[row] != kinds[row - 1]]
        units = []
        for start, end in zip(starts, [*starts[1:], len(kinds)], strict=True):
            update = torch.zeros_like(self.stack.matrices[group][start:end])
            update.grad = self.gradients[group][start:end]
            kind: Any = type(self.optimizers[0])
            is_padding = self.stack.is_padding[group]
            padding = None if is_padding is None else is_padding[start:end].flatten().nonzero()[:, 0]
            optimizer = kind([update], lr=1.0, weight_decay=0.0, **kinds[start][0])
            unit = Unit(slice(start, end), group, update, optimizer, padding)
            self._load(unit)
            units.append(unit)
        return units

    def _kind(self, optimizer: Optimizer, group: int) -> tuple[dict[str, Any], dict[str, float]]:
        known = signature(type(optimizer).__init__).parameters
        given = optimizer.param_groups[group]
        settings = {name: value for name, value in given.items() if name in known and name not in OF_MEMBERS}
        state = optimizer.state.get(given["params"][0], {})
        return settings, {name: float(value) for name, value in state.items() if _is_shared(value)}

    def _load(self, unit: Unit) -> None:
        """Join the states of the members' optimizers, if they have taken steps."""
        places = self.stack.places_of(unit.group)
        states = [o.state for o in self.optimizers[unit.rows]]
        parameters = [o.param_groups[unit.group]["params"] for o in self.optimizers[unit.rows]]
        if not states[0].get(parameters[0][0]):
            return
        first = states[0][parameters[0][0]]
        joined: dict[str, Any] = {}
        for name, value in first.items():
            if _is_shared(value):
                joined[name] = value.clone() if isinstance(value, Tensor) else value
                continue
            joined[name] = torch.zeros_like(unit.update)
            for row, (state, own) in enumerate(zip(states, parameters, strict=True)):
                for place, parameter in zip(places, own, strict=True):
                    joined[name][row, place.columns(unit.rows.start + row)] = state[parameter][name].flatten()
        unit.optimizer.state[unit.update] = joined

    def has_state(self, row: int) -> bool:
        """Tell whether the optimizer of a row keeps more than its settings, as SGD without momentum does not."""
        return any(u.rows.start <= row < u.rows.stop and u.update in u.optimizer.state for u in self.units)

    def give(self, row: int) -> None:
        """Put the state of a row into the member's own optimizer."""
        for unit in self.units:
            if not unit.rows.start <= row < unit.rows.stop or unit.update not in unit.optimizer.state:
                continue
            state, own = unit.optimizer.state[unit.update], self.optimizers[row]
            for place, parameter in zip(
                self.stack.places_of(unit.group), own.param_groups[unit.group]["params"], strict=True
            ):
                own.state[parameter] = {
                    name: (value.clone() if isinstance(value, Tensor) else value)
                    if _is_shared(value)
                    else place.own(value[row - unit.rows.start], row).clone()
                    for name, value in state.items()
                }

    def put(self, gradients: Sequence[Tensor]) -> None:
        """Keep the parameters' gradients, `[M, ...]` in the order of the stack's places, for the next step."""
        for place, gradient in zip(self.gradient_of, gradients, strict=True):
            place.copy_(gradient)

    @torch.no_grad()
    def step(self, rates: Tensor, settings: Sequence[Sequence[dict[str, Any]]] | None = None) -> None:
        """Take a step by the gradients that were put.

        Args:
            rates: for each member and group, `[M, G]`.
            settings: others that a schedule has changed, for each member and group.
        """
        self._clip()
        for group, (matrix, gradient) in enumerate(zip(self.stack.matrices, self.gradients, strict=True)):
            if self.maximizes:
                gradient.mul_(self.sign[:, group, None])
            if self.has_decay[group] and self.is_decoupled:
                matrix.mul_(1 - (rates[:, group] * self.decay[:, group])[:, None])
            elif self.has_decay[group]:
                gradient.addcmul_(matrix, self.decay[:, group, None])
        for rows, group, update, optimizer, padding in self.units:
            if settings is not None:
                optimizer.param_groups[0].update(settings[rows.start][group])
            optimizer.step()
            if padding is not None:  # its gradients are 0, but with eps=0 it would become 0 / 0
                update.view(-1).index_fill_(0, padding, 0.0)
            self.stack.matrices[group][rows].addcmul_(update, rates[rows, group, None])
            update.zero_()

    def _clip(self) -> None:
        # As torch.nn.utils.clip_grad_norm_ and clip_grad_value_, for each member.
        if self.clip is None:
            return
        if self.clip_by_value:
            for gradient in self.gradients:
                gradient.clamp_(-self.clip, self.clip)
            return
        norms = [torch.linalg.vector_norm(gradient, dim=1, keepdim=True) for gradient in self.gradients]
        factors = (self.clip / (torch.cat(norms, dim=1).norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0)
        for gradient in self.gradients:
            gradient.mul_(factors)


def _is_decoupled(optimizer: Optimizer) -> bool:
    return isinstance(optimizer, torch.optim.AdamW) or bool(optimizer.param_groups[0].get("decoupled_weight_decay"))


def _is_shared(value: Any) -> bool:
    """Tell whether a part of an optimizer's state is one number for all of a parameter, such as the number of steps."""
    return not isinstance(value, Tensor) or value.ndim == 0
