"""Numeric inputs as short vectors."""

import torch
from torch import Tensor, nn


class PeriodicEmbedding(nn.Module):
    """Each numeric input beside a few learned mixtures of its own cosines.

    A network of ReLUs is slow to learn functions that turn often along one input; cosines of it, with learned
    frequencies and phases, do that for it. Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features", as
    in Holzmüller et al. 2024, "Better by Default" (RealMLP), where the input is kept and the mixtures are linear.

    Args:
        num_inputs: F.
        num_frequencies: cosines of each input.
        width: numbers for each input, the input among them.
        scale: deviation of the frequencies at the start.
    """

    def __init__(self, num_inputs: int, num_frequencies: int = 16, width: int = 4, scale: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.frequencies = nn.Parameter(2 * torch.pi * scale * torch.randn(num_inputs, num_frequencies))
        self.phases = nn.Parameter(torch.pi * (2 * torch.rand(num_inputs, num_frequencies) - 1))
        bound = num_frequencies**-0.5
        self.mixtures = nn.Parameter(torch.empty(num_inputs, num_frequencies, width - 1).uniform_(-bound, bound))
        self.biases = nn.Parameter(torch.empty(num_inputs, width - 1).uniform_(-bound, bound))

    def forward(self, numeric: Tensor) -> Tensor:
        """Map `[N, F]` to `[N, F * width]`."""
        waves = torch.cos(numeric[:, :, None] * self.frequencies + self.phases)  # [N, F, frequencies]
        mixed = torch.einsum("nfk,fkw->nfw", waves, self.mixtures) + self.biases
        return torch.cat([numeric, mixed.flatten(1)], dim=1)
