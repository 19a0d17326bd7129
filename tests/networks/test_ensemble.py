"""The network of an ensemble, against averages computed by hand."""

import torch

from litmlp import checkpoint
from litmlp.data import ClassTarget, NumericTarget, Spec
from litmlp.data.target_scaling import TargetScaling
from litmlp.networks import MLP, Ensemble


def members(number: int) -> list:
    return [lambda spec: MLP(spec, hidden_sizes=[4])] * number


def test_each_member_sees_its_own_inputs_and_scores_are_averaged_as_probabilities():
    target = ClassTarget.example(3)
    spec = Spec(["a", "b", "a (2)"], {"c": 4, "c (2)": 5}, target)
    network = Ensemble(spec, members(2), [[0, 2, 0, 1], [2, 3, 1, 2]], [0.3, 0.1], [])
    network.temperatures[1] = 2
    numeric, codes = torch.randn(7, 3), torch.randint(4, (7, 2))
    first, second = network.members
    scores = first(numeric[:, :2], codes[:, :1]), second(numeric[:, 2:], codes[:, 1:]) / 2
    expected = 0.75 * scores[0].softmax(dim=1) + 0.25 * scores[1].softmax(dim=1)
    assert torch.allclose(network(numeric, codes).exp(), expected, atol=1e-6)


def test_numbers_are_averaged_after_each_is_shifted_and_scaled():
    spec = Spec(["a"], {}, NumericTarget.example(2))
    network = Ensemble(spec, members(2), [[0, 1, 0, 0]] * 2, [1.0, 1.0], [])
    network.scale[1], network.shift[1] = torch.tensor([2.0, 3.0]), torch.tensor([-1.0, 1.0])
    numeric, codes = torch.randn(7, 1), torch.zeros(7, 0, dtype=torch.int64)
    first, second = (member(numeric, codes) for member in network.members)
    expected = (first + second * torch.tensor([2.0, 3.0]) + torch.tensor([-1.0, 1.0])) / 2
    assert torch.allclose(network(numeric, codes), expected, atol=1e-6)


def test_a_member_that_has_members_itself_counts_as_their_mean():
    spec = Spec(["a"], {}, ClassTarget.example(3))
    network = Ensemble(spec, [lambda spec: MLP(spec, hidden_sizes=[4], members=5)], [[0, 1, 0, 0]], [1.0], [])
    numeric, codes = torch.randn(7, 1), torch.zeros(7, 0, dtype=torch.int64)
    expected = network.members[0](numeric, codes).softmax(dim=2).mean(dim=1)
    assert torch.allclose(network(numeric, codes).exp(), expected, atol=1e-6)


def test_amounts_of_members_within_a_member_are_averaged_in_their_own_unit():
    target = NumericTarget.example(1)
    target.scaling = TargetScaling(1, "log1p")
    target.scaling.mean, target.scaling.std = torch.tensor([3.0]).double(), torch.tensor([2.0]).double()
    make = [lambda spec: MLP(spec, hidden_sizes=[4], members=5)] * 2
    network = Ensemble(Spec(["a"], {}, target), make, [[0, 1, 0, 0]] * 2, [0.25, 0.75], [])
    network.scale[1], network.shift[1] = 0.4, -0.5  # of a member that has the mean 2 and the standard deviation 0.8
    numeric, codes = torch.randn(7, 1), torch.zeros(7, 0, dtype=torch.int64)
    first, second = (member(numeric, codes).double() for member in network.members)
    amounts = (3 + 2 * first).expm1().clamp(min=0).mean(dim=1), (2 + 0.8 * second).expm1().clamp(min=0).mean(dim=1)
    expected = 0.25 * amounts[0] + 0.75 * amounts[1]
    assert torch.allclose(target.scaling.in_own_units(network(numeric, codes)), expected, rtol=1e-5)


def test_a_thousand_small_members_take_no_more_memory_than_a_checkpoint_may():
    spec = Spec(["a"], {}, ClassTarget.example(3))
    weights = [tensor for member in members(1000) for tensor in member(spec=spec).state_dict().values()]
    with checkpoint._limited_by(weights):
        Ensemble(spec, members(1000), [[0, 1, 0, 0]] * 1000, [1e-3] * 1000, [])
