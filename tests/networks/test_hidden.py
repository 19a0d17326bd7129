import torch
from torch import nn

from litmlp.networks.hidden import evaluating, hidden_layers, input_of, linear_layers, outputs_of

NETWORK = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(0.5), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def test_hidden_layers_are_activations_or_else_linear_layers():
    assert list(hidden_layers(NETWORK)) == ["1", "4"]
    assert list(hidden_layers(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))) == ["0"]
    assert list(hidden_layers(nn.Sequential(nn.Linear(2, 1)))) == []
    assert list(linear_layers(NETWORK)) == ["0", "3", "5"]


def test_outputs_and_inputs_are_kept_while_the_context_is_open():
    rows = torch.randn(5, 2)
    with evaluating(NETWORK), outputs_of(hidden_layers(NETWORK)) as outputs, input_of(NETWORK[5]) as inputs:
        NETWORK(rows)
    first = NETWORK[0](rows).relu()
    torch.testing.assert_close(outputs["1"], first)
    torch.testing.assert_close(outputs["4"], NETWORK[3](first).tanh())
    assert torch.equal(inputs[0], outputs["4"])
    NETWORK(rows + 1)
    torch.testing.assert_close(outputs["1"], first)
    assert len(inputs) == 1
    assert NETWORK.training


def test_hooks_are_gone_after_a_failure():
    try:
        with outputs_of(hidden_layers(NETWORK)) as outputs:
            raise KeyError
    except KeyError:
        NETWORK(torch.zeros(1, 2))
    assert outputs == {}
