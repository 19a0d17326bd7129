"""An embedding of numeric inputs, which turns each into a short vector."""

import torch
from torch import Tensor, nn


class PeriodicEmbedding(nn.Module):
    """Returns each numeric input together with a few learned linear mixtures of its cosines.

    A network of ReLUs is slow to learn functions that rise and fall often along one input. Cosines of the input, with
    learned frequencies and phases, make this easy. Source: Gorishniy et al. 2022, "On Embeddings for Numerical
    Features", in the variant of Holzmüller et al. 2024, "Better by Default" (RealMLP), where the input is kept and the
    mixtures are linear.

    Args:
        num_inputs: F.
        num_frequencies: number of cosines of each input.
        width: how many numbers each input becomes, including the input itself.
        scale: standard deviation of the initial frequencies.
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
