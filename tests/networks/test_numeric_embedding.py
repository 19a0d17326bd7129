import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from litmlp.networks.numeric_embedding import (
    NumericEmbedding,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    bin_edges,
)


def test_equals_the_sum_written_out():
    embedding = PeriodicEmbedding(num_inputs=2, num_frequencies=3, width=4)
    x = torch.tensor([[0.3, -1.2]])
    numbers = embedding(x)[0].tolist()
    assert numbers[:2] == pytest.approx([0.3, -1.2])
    for i in range(2):
        for j in range(3):
            by_hand = embedding.biases[i, j].item() + sum(
                math.cos(x[0, i].item() * embedding.frequencies[i, k].item() + embedding.phases[i, k].item())
                * embedding.mixtures[i, k, j].item()
                for k in range(3)
            )
            assert numbers[2 + 3 * i + j] == pytest.approx(by_hand, abs=1e-6)


def test_inputs_are_embedded_apart():
    embedding = PeriodicEmbedding(num_inputs=2)
    before, after = embedding(torch.tensor([[0.5, 0.5], [0.5, 2.0]]))
    torch.testing.assert_close(before[[0, 2, 3, 4]], after[[0, 2, 3, 4]])
    assert (before[[1, 5, 6, 7]] != after[[1, 5, 6, 7]]).all()


COLUMNS = {
    "continuous": lambda generator: generator.normal(size=500),
    "few values": lambda generator: generator.integers(0, 5, 500).astype(float),
    "constant": lambda generator: np.full(500, 2.0),
    "mostly 0": lambda generator: np.where(generator.random(500) < 0.9, 0.0, generator.exponential(size=500)),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_piecewise_embedding_is_an_interpolation_plus_a_line(kind: str):
    column = COLUMNS[kind](np.random.default_rng(0)).astype(np.float32)
    embedding = PiecewiseLinearEmbedding(num_inputs=1, bins=8, width=3)
    embedding.adapt(torch.tensor(column)[:, None])
    x = np.linspace(column.min() - 1, column.max() + 1, 300, dtype=np.float32)
    slopes, biases = embedding.slopes.detach().numpy()[0], embedding.biases.detach().numpy()[0]
    before = embedding(torch.tensor(x)[:, None]).detach().numpy()
    np.testing.assert_allclose(before, x[:, None] * slopes + biases, atol=1e-5)  # the pieces start at zero
    torch.nn.init.normal_(embedding.weight)
    edges = bin_edges(torch.tensor(column), 8).numpy()
    values = np.vstack([np.zeros(3), embedding.weight[0, : len(edges) - 1].detach().numpy()]).cumsum(0)
    pieces = np.column_stack([np.interp(x, edges, values[:, k]) for k in range(3)])
    np.testing.assert_allclose(embedding(torch.tensor(x)[:, None]).detach().numpy() - before, pieces, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=60), st.integers(1, 12))
def test_edges_rise_from_the_smallest_to_the_largest_value(values: list[float], bins: int):
    edges = bin_edges(torch.tensor(values), bins)
    assert len(edges) <= bins + 1
    assert (edges.diff() > 0).all()
    assert edges[0] == min(values)
    assert edges[-1] == max(values)


def test_a_frequent_value_leaves_the_bins_to_the_others():
    amounts = torch.cat([torch.zeros(9000), torch.arange(1.0, 1001.0)])
    edges = bin_edges(amounts, 48)
    assert len(edges) == 49
    assert (edges > 0).sum() == 48


def test_continuous_values_fill_all_bins_alike():
    values = torch.linspace(0, 1, 10_001)
    torch.testing.assert_close(bin_edges(values, 4), torch.tensor([0, 0.25, 0.5, 0.75, 1]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "embedding", [PeriodicEmbedding(2, num_frequencies=5), PiecewiseLinearEmbedding(2, bins=4, width=3)], ids=repr
)
def test_gradients_reach_inputs_and_parameters(embedding: NumericEmbedding):
    embedding.double().adapt(torch.randn(100, 2, dtype=torch.float64))
    parameters = {name: torch.randn_like(value) for name, value in embedding.named_parameters()}

    def embedded(numeric: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(embedding, dict(zip(parameters, values, strict=True)), numeric)

    numeric = torch.randn(5, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(embedded, [x.requires_grad_() for x in (numeric, *parameters.values())])


@pytest.mark.parametrize(("rows", "bins"), [(31, 1), (64, 2), (319, 9), (320, 10), (5000, 10)])
def test_a_bin_holds_32_rows_at_least(rows: int, bins: int):
    embedding = PiecewiseLinearEmbedding(1, bins=10)
    embedding.adapt(torch.linspace(0, 1, rows)[:, None])
    assert (embedding.inverse > 0).sum() == bins


@pytest.mark.parametrize(
    ("inputs", "bins", "width"), [(32, 128, 16), (64, 64, 16), (128, 32, 8), (256, 16, 4), (2000, 16, 4)]
)
def test_many_inputs_have_fewer_bins_and_numbers_each(inputs: int, bins: int, width: int):
    embedding = PiecewiseLinearEmbedding(inputs)
    assert (embedding.lower.shape[2], embedding.width) == (bins, width)
    assert embedding(torch.zeros(3, inputs)).shape == (3, inputs * width)
    assert (PiecewiseLinearEmbedding(inputs, bins=2, width=1).lower.shape[2]) == 2  # what is less stays
