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
    """

    rows: slice
    group: int
    update: Tensor
    optimizer: Optimizer


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
        matrix = stack.matrix
        self.gradient = torch.zeros_like(matrix)
        self.decay = self._of_groups("weight_decay", 0.0)
        maximize = self._of_groups("maximize", False)
        self.maximizes = bool(maximize.any())
        widths = torch.tensor([columns.stop - columns.start for columns in stack.columns], device=matrix.device)
        self.sign_of_columns = (1 - 2 * maximize).repeat_interleave(widths, dim=1)
        self.is_decoupled = _is_decoupled(optimizers[0])
        self.has_decay = self.decay.any(dim=0).tolist()
        self.units = [unit for group in range(len(stack.columns)) for unit in self._units(group)]

    def _of_groups(self, key: str, default: Any) -> Tensor:
        values = [[float(group.get(key, default)) for group in o.param_groups] for o in self.optimizers]
        return torch.tensor(values, dtype=self.stack.matrix.dtype, device=self.stack.matrix.device)

    def _units(self, group: int) -> list[Unit]:
        kinds = [self._kind(optimizer, group) for optimizer in self.optimizers]
        starts = [row for row in range(len(kinds)) if row == 0 or kinds[row] != kinds[row - 1]]
        units = []
        for start, end in zip(starts, [*starts[1:], len(kinds)], strict=True):
            part = self.stack.matrix[start:end, self.stack.columns[group]]
            update = torch.zeros(part.shape, dtype=part.dtype, device=part.device)
            settings = kinds[start][0]
            kind: Any = type(self.optimizers[0])
            optimizer = kind([update], lr=1.0, weight_decay=0.0, **settings)
            unit = Unit(slice(start, end), group, update, optimizer)
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
        start = self.stack.columns[unit.group].start
        for name, value in first.items():
            if _is_shared(value):
                joined[name] = value.clone() if isinstance(value, Tensor) else value
                continue
            joined[name] = torch.zeros_like(unit.update)
            for row, (state, own) in enumerate(zip(states, parameters, strict=True)):
                for place, parameter in zip(places, own, strict=True):
                    joined[name][row, place.start - start : place.end - start] = state[parameter][name].flatten()
        unit.optimizer.state[unit.update] = joined

    def give(self, row: int) -> None:
        """Put the state of a row into the member's own optimizer."""
        for unit in self.units:
            if not unit.rows.start <= row < unit.rows.stop or unit.update not in unit.optimizer.state:
                continue
            state, start = unit.optimizer.state[unit.update], self.stack.columns[unit.group].start
            own = self.optimizers[row]
            for place, parameter in zip(
                self.stack.places_of(unit.group), own.param_groups[unit.group]["params"], strict=True
            ):
                columns = slice(place.start - start, place.end - start)
                own.state[parameter] = {
                    name: (value.clone() if isinstance(value, Tensor) else value)
                    if _is_shared(value)
                    else value[row - unit.rows.start, columns].view(place.shape).clone()
                    for name, value in state.items()
                }

    @torch.no_grad()
    def step(self, rates: Tensor, settings: Sequence[Sequence[dict[str, Any]]] | None = None) -> None:
        """Take a step by `gradient`.

        Args:
            rates: for each member and group, `[M, G]`.
            settings: others that a schedule has changed, for each member and group.
        """
        matrix = self.stack.matrix
        self._clip()
        if self.maximizes:
            self.gradient *= self.sign_of_columns
        for group, columns in enumerate(self.stack.columns):
            if not self.has_decay[group]:
                continue
            decay, part = self.decay[:, group : group + 1], matrix[:, columns]
            if self.is_decoupled:
                part.mul_(1 - rates[:, group : group + 1] * decay)
            else:
                self.gradient[:, columns].addcmul_(part, decay)
        for rows, group, update, optimizer in self.units:
            columns = self.stack.columns[group]
            if settings is not None:
                optimizer.param_groups[0].update(settings[rows.start][group])
            update.grad = self.gradient[rows, columns].contiguous()
            optimizer.step()
            matrix[rows, columns].addcmul_(update, rates[rows, group, None])
            update.zero_()

    def _clip(self) -> None:
        # As torch.nn.utils.clip_grad_norm_ and clip_grad_value_, for each member.
        if self.clip is None:
            return
        if self.clip_by_value:
            self.gradient.clamp_(-self.clip, self.clip)
            return
        norms = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)
        self.gradient.mul_((self.clip / (norms + 1e-6)).clamp(max=1.0))


def _is_decoupled(optimizer: Optimizer) -> bool:
    return isinstance(optimizer, torch.optim.AdamW) or bool(optimizer.param_groups[0].get("decoupled_weight_decay"))


def _is_shared(value: Any) -> bool:
    """Tell whether a part of an optimizer's state is one number for all of a parameter, such as the number of steps."""
    return not isinstance(value, Tensor) or value.ndim == 0
