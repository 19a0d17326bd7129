"""Embeddings of numeric inputs, which turn each number into a short vector."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

MAX_ROWS = 2**18  # from which bins are computed; more rows would hardly change them
QUANTILES = 1025  # from which the edges of bins are chosen
MOST_BINS, FEWEST_BINS = 4096, 16  # of all inputs together, and of each of many inputs, so that a step stays short
MANY_INPUTS, SMALLEST_WIDTH = 64, 4  # with more of them, each has a smaller width
ROWS_OF_A_BIN = 32  # that there are on average at least; fewer would let the network learn single rows


class NumericEmbedding(nn.Module, ABC):
    """The base class of embeddings of F numeric inputs.

    Attributes:
        width: how many numbers each input becomes.
    """

    width: int

    @abstractmethod
    def forward(self, numeric: Tensor) -> Tensor:
        """Map `[N, F]` to `[N, F * width]`."""

    def adapt(self, numeric: Tensor) -> None:
        """Learn what does not come from gradients from the training rows `[N, F]`, before training."""


class NoEmbedding(NumericEmbedding):
    """Returns the inputs as they are.

    Args:
        num_inputs: F.
    """

    width = 1

    def __init__(self, num_inputs: int) -> None:
        super().__init__()

    def forward(self, numeric: Tensor) -> Tensor:
        """Map `[N, F]` to itself."""
        return numeric


class PeriodicEmbedding(NumericEmbedding):
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
        if num_frequencies < 1:
            raise ValueError(f"num_frequencies must be 1 or more, not {num_frequencies}")
        if width < 2:
            raise ValueError(f"width must be 2 or more, not {width}")
        self.width = width
        self.frequencies = nn.Parameter(2 * torch.pi * scale * torch.randn(num_inputs, num_frequencies))
        self.phases = nn.Parameter(torch.pi * (2 * torch.rand(num_inputs, num_frequencies) - 1))
        bound = num_frequencies**-0.5
        self.mixtures = nn.Parameter(torch.empty(num_inputs, num_frequencies, width - 1).uniform_(-bound, bound))
        self.biases = nn.Parameter(torch.empty(num_inputs, width - 1).uniform_(-bound, bound))

    def forward(self, numeric: Tensor) -> Tensor:
        """Map `[N, F]` to `[N, F * width]`."""
        # The rows come last: there are more of them than frequencies, so that sums and products along them are fast.
        inputs, frequencies, phases = numeric.t().unsqueeze(1), self.frequencies.unsqueeze(2), self.phases.unsqueeze(2)
        waves = torch.addcmul(phases, frequencies, inputs).cos()  # [F, frequencies, N]
        mixed = torch.baddbmm(self.biases.unsqueeze(2), self.mixtures.transpose(1, 2), waves)  # [F, width - 1, N]
        return torch.cat([numeric, mixed.flatten(0, 1).t()], dim=1)


class PiecewiseLinearEmbedding(NumericEmbedding):
    """Returns a learned piecewise linear function of each numeric input, whose values are vectors.

    The range of an input is divided into bins at quantiles of the training rows. For each bin, a number says how far
    the input has come through it: 0 below the bin, 1 above it, and linear inside. The embedding is a linear function of
    these numbers, plus a linear function of the input itself. The former starts at zero. Source: Gorishniy et al. 2022,
    "On Embeddings for Numerical Features", in the variant of Gorishniy et al. 2025, "TabM". Unlike there, the outer
    bins are closed, so that beyond the training rows only the linear function of the input goes on.

    Args:
        num_inputs: F.
        bins: number of bins of each input; there are fewer for few distinct values, few training rows, or many inputs.
        width: how many numbers each input becomes; fewer if there are many inputs.
    """

    lower: Tensor
    inverse: Tensor

    def __init__(self, num_inputs: int, bins: int = 128, width: int = 16) -> None:
        super().__init__()
        if bins < 1 or width < 1:
            raise ValueError(f"bins and width must be 1 or more, not {bins} and {width}")
        bins = min(bins, max(FEWEST_BINS, MOST_BINS // num_inputs))
        width = min(width, max(SMALLEST_WIDTH, width * MANY_INPUTS // num_inputs))
        self.width = width
        self.register_buffer("lower", torch.zeros(num_inputs, 1, bins))  # where each bin begins
        self.register_buffer("inverse", torch.zeros(num_inputs, 1, bins))  # 1 / its width; 0 for a bin without a use
        bound = width**-0.5
        self.slopes = nn.Parameter(torch.empty(num_inputs, width).uniform_(-bound, bound))
        self.biases = nn.Parameter(torch.empty(num_inputs, width).uniform_(-bound, bound))
        self.weight = nn.Parameter(torch.zeros(num_inputs, bins, width))

    @torch.no_grad()
    def adapt(self, numeric: Tensor) -> None:
        """Compute the bins from the training rows `[N, F]`."""
        self.lower.zero_()
        self.inverse.zero_()
        bins = max(1, min(self.lower.shape[2], len(numeric) // ROWS_OF_A_BIN))
        for index, values in enumerate(numeric[:: -(-len(numeric) // MAX_ROWS)].unbind(1)):
            edges = bin_edges(values, bins)
            self.lower[index, 0, : len(edges) - 1] = edges[:-1]
            self.inverse[index, 0, : len(edges) - 1] = 1 / edges.diff()

    def forward(self, numeric: Tensor) -> Tensor:
        """Map `[N, F]` to `[N, F * width]`."""
        through = ((numeric.t()[:, :, None] - self.lower) * self.inverse).clamp(0, 1)  # [F, N, bins]
        pieces = torch.bmm(through, self.weight).transpose(0, 1)  # [N, F, width]
        return (numeric[:, :, None] * self.slopes + self.biases + pieces).flatten(1)


def bin_edges(values: Tensor, bins: int) -> Tensor:
    """Return rising edges of at most so many bins for values `[N]`, evenly spaced among distinct quantiles.

    Without a value that occurs very often, the bins hold about the same number of rows. A value that does, such as 0 in
    a column of amounts, would fill most bins if they all had to; here, it leaves them to the rest of the column.
    """
    fractions = torch.linspace(0, 1, QUANTILES, dtype=values.dtype, device=values.device)
    quantiles = torch.quantile(values, fractions).unique()
    if len(quantiles) <= bins + 1:
        return quantiles
    return quantiles[torch.linspace(0, len(quantiles) - 1, bins + 1, device=values.device).round().long()]
