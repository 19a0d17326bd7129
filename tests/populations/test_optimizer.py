"""One optimizer for many networks takes the steps that torch's optimizers take for each of them."""

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop

from litmlp.populations.optimizer import StackedOptimizer, is_linear
from litmlp.populations.stack import Stack

Make = Callable[[list[dict[str, Any]], random.Random], Optimizer]
MEMBERS, STEPS = 5, 50
KINDS: dict[str, Make] = {
    "sgd": lambda groups, r: SGD(groups, r.uniform(0.01, 0.1), weight_decay=r.choice([0, 0.1])),
    "momentum": lambda groups, r: SGD(groups, r.uniform(0.01, 0.1), momentum=r.choice([0.0, 0.5, 0.9])),
    "nesterov": lambda groups, r: SGD(groups, r.uniform(0.01, 0.1), 0.9, weight_decay=r.random(), nesterov=True),
    "dampening": lambda groups, r: SGD(groups, r.uniform(0.01, 0.1), 0.9, dampening=r.random()),
    "adam": lambda groups, r: Adam(groups, r.uniform(1e-3, 0.1), (r.choice([0.5, 0.9]), 0.99), weight_decay=r.random()),
    "adam amsgrad": lambda groups, r: Adam(
        groups, r.uniform(1e-3, 0.1), amsgrad=True, maximize=r.choice([True, False])
    ),
    "adamw": lambda groups, r: AdamW(groups, r.uniform(1e-3, 0.1), weight_decay=r.choice([0, 0.3, 1.0])),
    "adamw fused": lambda groups, r: AdamW(groups, r.uniform(1e-3, 0.1), weight_decay=r.random(), fused=True),
    "nadam": lambda groups, r: NAdam(
        groups, r.uniform(1e-3, 0.1), weight_decay=r.random(), decoupled_weight_decay=True
    ),
    "radam": lambda groups, r: RAdam(groups, r.uniform(1e-3, 0.1), weight_decay=r.random()),
    "rmsprop": lambda groups, r: RMSprop(groups, r.uniform(1e-4, 1e-3), momentum=0.5, eps=1e-3),
    "rmsprop centered": lambda groups, r: RMSprop(groups, r.uniform(1e-4, 1e-3), centered=True, eps=1e-3),
    "adagrad": lambda groups, r: Adagrad(groups, r.uniform(1e-3, 0.1), lr_decay=0.1, initial_accumulator_value=0.2),
    "adamax": lambda groups, r: Adamax(groups, r.uniform(1e-3, 0.1), weight_decay=r.random()),
    "adadelta": lambda groups, r: Adadelta(groups, r.uniform(0.1, 1.0), weight_decay=r.random()),
}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def names_by_group() -> list[list[str]]:
    return [["0.weight", "2.weight"], ["0.bias", "2.bias"]]


def groups(module: nn.Module) -> list[dict[str, Any]]:
    weights, rest = ([module.get_parameter(name) for name in names] for names in names_by_group())
    return [{"params": weights}, {"params": rest, "weight_decay": 0.0}]


def set_gradients(module: nn.Module, inputs: Tensor) -> None:
    module.zero_grad()
    module(inputs).square().sum().backward()


def rates_of(optimizers: list[Optimizer]) -> Tensor:
    return torch.tensor([[group["lr"] for group in one.param_groups] for one in optimizers], dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_each_row_moves_as_the_network_alone_would(kind: str, clip: float | None):
    seed = random.randrange(2**31)
    settings = random.Random(seed)
    torch.manual_seed(seed)
    together = [network() for _ in range(MEMBERS)]
    alone = copy.deepcopy(together)
    seeds = [settings.randrange(2**31) for _ in range(MEMBERS)]
    optimizers = [KINDS[kind](groups(one), random.Random(s)) for one, s in zip(together, seeds, strict=True)]
    own = [KINDS[kind](groups(one), random.Random(s)) for one, s in zip(alone, seeds, strict=True)]
    stack = Stack(together, names_by_group())
    stacked = StackedOptimizer(stack, optimizers, clip)
    for step in range(STEPS):
        if step == STEPS // 2:  # the states are handed out, saved, loaded and joined again
            for row, optimizer in enumerate(optimizers):
                stacked.give(row)
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            stack = Stack(together, names_by_group())
            stacked = StackedOptimizer(stack, optimizers, clip)
        inputs = torch.randn(MEMBERS, 4, 3, dtype=torch.float64)
        for row, module in enumerate(together):
            set_gradients(module, inputs[row])
        stacked.put([torch.stack([one.get_parameter(place.name).grad for one in together]) for place in stack.places])
        stacked.step(rates_of(optimizers))
        for module, optimizer, one in zip(alone, own, inputs, strict=True):
            set_gradients(module, one)
            if clip is not None:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
    close = 1e-6 if "centered" in kind else 1e-10  # it divides by the root of a difference, which may be nearly 0
    for row, (mine, theirs) in enumerate(zip(together, alone, strict=True)):
        stacked.give(row)
        for name, parameter in theirs.named_parameters():
            torch.testing.assert_close(mine.get_parameter(name), parameter, rtol=close, atol=close, msg=f"seed {seed}")
        expected = own[row].state_dict()["state"]
        state = optimizers[row].state_dict()["state"]
        assert state.keys() == expected.keys()
        for number, values in expected.items():
            for key, value in values.items():
                torch.testing.assert_close(state[number][key], value, rtol=10 * close, atol=close, check_dtype=False)


def test_an_optimizer_whose_steps_depend_on_the_rate_otherwise_is_not_linear():
    parameters = [nn.Parameter(torch.zeros(2))]
    assert not is_linear(torch.optim.LBFGS(parameters))
    assert not is_linear(torch.optim.ASGD(parameters))
    assert not is_linear(torch.optim.Rprop(parameters))
    assert is_linear(AdamW(parameters))


def test_networks_of_a_stack_are_used_saved_and_loaded_as_before():
    modules = [network() for _ in range(3)]
    before = copy.deepcopy(modules)
    stack = Stack(modules, names_by_group())
    inputs = torch.randn(7, 3, dtype=torch.float64)
    for module, other in zip(modules, before, strict=True):
        assert torch.equal(module(inputs), other(inputs))
    other = network()
    modules[1].load_state_dict(other.state_dict())
    place = stack.places[0]
    assert torch.equal(place.of(stack.matrices[place.group])[1], other.get_parameter(place.name))
    assert torch.equal(stack.views()["0.bias"][2], before[2].get_parameter("0.bias"))
