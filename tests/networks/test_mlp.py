import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from litmlp.data import ClassTarget, NumericTarget, Spec
from litmlp.networks import MLP
from litmlp.networks.mlp import Dropout, variance_preserving_gain


def numeric_spec(num_inputs: int, num_outputs: int = 1) -> Spec:
    names = [f"x{i}" for i in range(num_inputs)]
    return Spec(names, {}, NumericTarget([f"y{i}" for i in range(num_outputs)]))


def class_spec(num_inputs: int, classes: list[str]) -> Spec:
    target = ClassTarget(["label"])
    target.classes = classes
    return Spec([f"x{i}" for i in range(num_inputs)], {}, target)


def no_codes(num_rows: int) -> torch.Tensor:
    return torch.zeros(num_rows, 0, dtype=torch.int64)


def fit(network: nn.Module, loss: nn.Module, x: torch.Tensor, y: torch.Tensor, l2: float = 0.0) -> None:
    """Minimise to convergence, with a penalty on the weights and none on the biases."""
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=1000, tolerance_grad=1e-12, tolerance_change=0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        weights = sum((p**2).sum() for p in network.parameters() if p.ndim == 2)
        value = loss(network(x, no_codes(len(x))), y) + l2 * weights
        value.backward()
        return value

    optimizer.step(closure)


def test_no_hidden_layer_is_least_squares():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    network = MLP(numeric_spec(3, 2), hidden_sizes=[]).double()
    fit(network, nn.MSELoss(), x, y)
    with_ones = torch.cat([x, torch.ones(50, 1)], dim=1)
    closed_form = torch.linalg.solve(with_ones.T @ with_ones, with_ones.T @ y)
    (linear,) = network.layers
    torch.testing.assert_close(linear.weight.detach(), closed_form[:3].T, atol=1e-6, rtol=0)
    torch.testing.assert_close(linear.bias.detach(), closed_form[3], atol=1e-6, rtol=0)


def test_no_hidden_layer_is_logistic_regression():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(80, 2))
    y = (x @ [1.5, -1.0] + generator.logistic(size=80) > 0).astype(int) + (x[:, 0] > 1)
    network = MLP(class_spec(2, ["a", "b", "c"]), hidden_sizes=[]).double()
    # scikit-learn minimises the sum of losses times C plus half the squared weights.
    fit(network, nn.CrossEntropyLoss(), torch.tensor(x), torch.tensor(y), l2=0.5 / 80)
    oracle = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, y)
    probabilities = network(torch.tensor(x), no_codes(80)).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(probabilities, oracle.predict_proba(x), atol=1e-5)


def test_forward_equals_the_layers_written_out():
    network = MLP(numeric_spec(3), hidden_sizes=[4, 5], activation="Tanh")
    x = torch.randn(7, 3)
    first, _, second, _, last = network.layers
    h = torch.tanh(x @ first.weight.T + first.bias)
    h = torch.tanh(h @ second.weight.T + second.bias)
    torch.testing.assert_close(network(x, no_codes(7)), h @ last.weight.T + last.bias)


def test_categorical_inputs_enter_as_the_embeddings_of_their_codes():
    network = MLP(Spec(["x"], {"a": 3, "b": 4}, NumericTarget(["y"])), hidden_sizes=[])
    codes = torch.tensor([[2, 0], [1, 3]])
    a, b = network.embeddings
    joined = torch.cat([torch.ones(2, 1), a.weight[codes[:, 0]], b.weight[codes[:, 1]]], dim=1)
    torch.testing.assert_close(network(torch.ones(2, 1), codes), network.layers(joined))


@pytest.mark.parametrize("normalization", ["none", "layer"])
def test_gradients_reach_every_parameter(normalization: str):
    spec = Spec(["x1", "x2"], {"level": 5}, NumericTarget(["y1", "y2"]))
    network = MLP(spec, hidden_sizes=[6, 6], activation="GELU", dropout=0.1, normalization=normalization)
    codes = torch.arange(5).repeat(4)[:, None]
    network(torch.randn(20, 2), codes).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_layer_normalization_makes_units_of_a_row_standard():
    network = MLP(numeric_spec(3), hidden_sizes=[64], normalization="layer")
    hidden = network.layers[:2](100 * torch.randn(5, 3))
    torch.testing.assert_close(hidden.mean(dim=1), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden.var(dim=1, correction=0), torch.ones(5), atol=1e-3, rtol=0)


def test_dropout_leaves_out_its_share_in_training_and_nothing_in_evaluation():
    network = MLP(numeric_spec(2), hidden_sizes=[10_000], activation="Identity", dropout=0.3)
    hidden = network.layers[:-1](torch.randn(1, 2))
    assert (hidden == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert (network.eval().layers[:-1](torch.randn(1, 2)) == 0).sum() == 0


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.999])
def test_dropout_keeps_the_mean_and_draws_anew(fraction: float):
    torch.manual_seed(0)
    ones = torch.ones(1001, 333, requires_grad=True)
    layer = Dropout(fraction)
    first, second = layer(ones), layer(ones)
    assert (first == 0).float().mean().item() == pytest.approx(fraction, abs=0.004)
    assert first.unique().numel() == 2
    assert first.mean().item() == pytest.approx(1, abs=6 * (fraction / (1 - fraction) / first.numel()) ** 0.5)
    agree = ((first == 0) == (second == 0)).float().mean().item()
    assert agree == pytest.approx(fraction**2 + (1 - fraction) ** 2, abs=0.01)
    first.sum().backward()
    assert torch.equal(ones.grad, first.detach())
    assert (first == 0).float().mean(0).std() < 4 * (fraction / 1001) ** 0.5  # no column differs from others
    torch.manual_seed(0)
    assert torch.equal(layer(ones), first)


@pytest.mark.parametrize(
    ("activation", "gain"),
    # ReLU: half the variance passes. Identity: all of it. SELU is made to keep it.
    [("ReLU", 2**0.5), ("Identity", 1.0), ("SELU", 1.0)],
)
def test_gain_is_known_where_theory_gives_it(activation: str, gain: float):
    assert variance_preserving_gain(activation) == pytest.approx(gain, rel=1e-3)


@pytest.mark.parametrize("activation", ["ReLU", "Tanh", "Sigmoid", "GELU", "SELU", "SiLU", "LeakyReLU"])
def test_initialisation_keeps_the_variance_through_deep_networks(activation: str):
    torch.manual_seed(0)
    network = MLP(numeric_spec(256), hidden_sizes=[256] * 10, activation=activation)
    with torch.no_grad():
        tenth = network.layers[:-2](torch.randn(512, 256))  # before the last activation
    assert 0.3 < tenth.square().mean() < 3


def test_state_is_parameters_and_buffers_only():
    network = MLP(Spec.example(ClassTarget), hidden_sizes=[4], dropout=0.1, normalization="layer")
    other = MLP(Spec.example(ClassTarget), hidden_sizes=[4], dropout=0.1, normalization="layer")
    other.load_state_dict(network.state_dict())
    x, codes = torch.randn(3, 2), torch.tensor([[0], [1], [2]])
    torch.testing.assert_close(network.eval()(x, codes), other.eval()(x, codes), rtol=0, atol=0)


def test_copies_can_be_stacked_and_run_together():
    networks = [MLP(numeric_spec(2), hidden_sizes=[4]) for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(networks)
    x = torch.randn(5, 2)

    def call(parameters: dict, buffers: dict) -> torch.Tensor:
        return torch.func.functional_call(networks[0], (parameters, buffers), (x, no_codes(5)))

    together = torch.vmap(call)(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([network(x, no_codes(5)) for network in networks]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "Relu"}, "did you mean 'ReLU'"),
        ({"hidden_sizes": [4, 0]}, r"\[4, 0\]"),
        ({"normalization": "layers"}, "did you mean 'layer'"),
    ],
)
def test_refuses_what_cannot_be(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        MLP(numeric_spec(2), **{"hidden_sizes": [4]} | arguments)


def test_weights_fit_whatever_the_dropout() -> None:
    spec = Spec.example(ClassTarget)
    without, with_dropout = (MLP(spec, hidden_sizes=[4, 3], dropout=dropout) for dropout in (0.0, 0.5))
    with_dropout.load_state_dict(without.state_dict())
    batch = torch.randn(5, 2), torch.zeros(5, 1, dtype=torch.int64)
    assert torch.equal(without(*batch), with_dropout.eval()(*batch))
