import math

import pytest
import torch

from litmlp.networks.numeric_embedding import PeriodicEmbedding


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
