import pytest
import torch
from torch import nn

from litmlp.data import ClassTarget, NumericTarget, Spec
from litmlp.networks import MLP, PeriodicEmbedding, PiecewiseLinearEmbedding

ROWS, MEMBERS = 7, 3


def network_of(member_layers: str, members: int = MEMBERS, **arguments) -> MLP:
    spec = Spec(["x", "y"], {"a": 5}, NumericTarget(["t", "u"]))
    network = MLP(spec, [6, 5, 4], "Softsign", members=members, member_layers=member_layers, **arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return network.double()


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(ROWS, 2, dtype=torch.float64), torch.randint(5, (ROWS, 1))


def single(network: MLP, member: int) -> nn.Sequential:
    """Return the layers of one member as those of a plain network, written out by Wen et al. 2020, equation 5."""
    layers: list[nn.Module] = []
    for layer in network.layers:
        if not hasattr(layer, "weight"):
            layers.append(layer)
            continue
        if layer.weight.ndim == 3:
            weight, bias = layer.weight[member].T, layer.bias[member]
        elif layer.bias.ndim == 2:
            inner, outer = layer.scale_inputs.factors[member], layer.scale_outputs.factors[member]
            weight, bias = layer.weight * torch.outer(outer, inner), layer.bias[member]
        else:
            weight, bias = layer.weight, layer.bias
        if not layers:
            weight = weight * network.members.factors[member]
        plain = nn.Linear(weight.shape[1], weight.shape[0]).double()
        plain.weight.data, plain.bias.data = weight.detach(), bias.detach()
        layers.append(plain)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("member_layers", ["first", "all"])
@pytest.mark.parametrize("embedding", [None, PeriodicEmbedding])
def test_each_member_is_a_plain_network_with_its_own_weights(member_layers: str, embedding: type | None):
    network = network_of(member_layers, embedding=embedding)
    numeric, codes = rows()
    inputs = torch.cat(
        [numeric if embedding is None else network.numeric(numeric), network.embeddings[0](codes[:, 0])], 1
    )
    expected = torch.stack([single(network, member)(inputs) for member in range(MEMBERS)], dim=1)
    torch.testing.assert_close(network(numeric, codes), expected)


def test_one_member_is_the_plain_network():
    torch.manual_seed(3)
    plain = network_of("first", members=1)
    assert network_of("all", members=1).state_dict().keys() == plain.state_dict().keys()
    assert type(plain.layers[-1]) is nn.Linear
    assert plain(*rows()).shape == (ROWS, 2)


@pytest.mark.parametrize("member_layers", ["first", "all"])
def test_gradients_reach_every_parameter_of_every_member(member_layers: str):
    network = network_of(member_layers, embedding=PiecewiseLinearEmbedding)
    numeric, _ = rows()
    network.adapt(numeric, torch.zeros(ROWS, 1))
    network(numeric, torch.arange(ROWS)[:, None] % 5).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(dim=-1).all() or name == "numeric.weight", name


def test_members_start_apart():
    torch.manual_seed(0)
    network = MLP(Spec(["x"], {}, ClassTarget.example()), [16], embedding=PeriodicEmbedding, members=8)
    outputs = network(torch.randn(32, 1), torch.zeros(32, 0, dtype=torch.int64))
    assert outputs.shape == (32, 8, 2)
    assert outputs.std(dim=1).mean() > 0.3 * outputs.std()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"members": 0}, "members must be 1 or more, not 0"), ({"member_layers": "al"}, "did you mean 'all'")],
)
def test_refuses_what_cannot_be(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        MLP(Spec.example(ClassTarget), [4], **arguments)
