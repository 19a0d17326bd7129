import torch
from torch import Tensor, nn

from litmlp.data import ClassTarget, Spec
from litmlp.networks import MLP, PeriodicEmbedding
from litmlp.networks.graph import nodes_of


class Forked(nn.Module):
    """Adds what two branches give of one input; one layer is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(2, 3), nn.Sequential(nn.Linear(2, 3), nn.Tanh())
        self.shared = nn.Linear(3, 3)

    def forward(self, numeric: Tensor) -> Tensor:
        both = self.left(numeric) + self.right(numeric)
        return self.shared(self.shared(both)).flatten(1)


def test_nodes_follow_the_tensors():
    nodes = {node.name: node for node in nodes_of(Forked(), numeric=torch.zeros(4, 2))}
    assert {name: node.inputs for name, node in nodes.items()} == {
        "numeric": [],
        "Linear.left": ["numeric"],
        "Linear.0": ["numeric"],
        "Tanh.1": ["Linear.0"],
        "add_4": ["Linear.left", "Tanh.1"],
        "Linear.shared": ["add_4"],
        "Linear.shared_again": ["Linear.shared"],
        "flatten_7": ["Linear.shared_again"],
        "output": ["flatten_7"],
    }
    assert nodes["Linear.left"].shape == [4, 3]
    assert nodes["Linear.left"].detail == "in_features=2, out_features=3, bias=True"


def test_an_mlp_joins_numbers_and_levels():
    network = MLP(Spec.example(ClassTarget), hidden_sizes=[8], embedding=PeriodicEmbedding)
    nodes = nodes_of(network, numeric=torch.zeros(2, 2), categorical=torch.zeros(2, 1, dtype=torch.int64))
    inputs = {node.name: node.inputs for node in nodes}
    (joined,) = (name for name in inputs if name.startswith("cat_"))
    assert inputs[joined] == ["PeriodicEmbedding.numeric", "Embedding.0"]
    assert inputs["Linear.0"] == [joined]
    assert inputs["output"] == ["Linear.4"]


def test_inputs_without_columns_are_left_out():
    nodes = nodes_of(
        MLP(Spec(["x"], {}, ClassTarget.example()), hidden_sizes=[]),
        numeric=torch.zeros(2, 1),
        categorical=torch.zeros(2, 0, dtype=torch.int64),
    )
    assert [node.name for node in nodes] == ["numeric", "Linear.0", "output"]
