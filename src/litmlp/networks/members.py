"""Layers of networks whose M members share weights; units of a row have the shape `[N, M, width]`.

Source: Gorishniy et al. 2025, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", which builds
on Wen et al. 2020, "BatchEnsemble".
"""

import torch
from torch import Tensor, nn


class MemberScaling(nn.Module):
    """Multiplies the units of each member by a vector of its own.

    Args:
        members: M.
        width: number of units.
        is_random: whether the vectors start as standard normal numbers, which make members differ, or as ones.
    """

    def __init__(self, members: int, width: int, is_random: bool) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.randn(members, width) if is_random else torch.ones(members, width))

    def forward(self, units: Tensor) -> Tensor:
        """Map `[N, M, width]`, or `[N, 1, width]` if the members have the same units, to `[N, M, width]`."""
        return units * self.factors


class ScaledLinear(nn.Linear):
    """A linear layer that all members share, but each scales its inputs and outputs and has a bias of its own."""

    def __init__(self, members: int, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.scale_inputs = MemberScaling(members, in_features, is_random=False)
        self.scale_outputs = MemberScaling(members, out_features, is_random=False)
        self.bias = nn.Parameter(torch.zeros(members, out_features))

    def forward(self, units: Tensor) -> Tensor:
        """Map `[N, M, in_features]` to `[N, M, out_features]`."""
        products = nn.functional.linear(self.scale_inputs(units), self.weight)
        return torch.addcmul(self.bias, products, self.scale_outputs.factors)


class MemberLinear(nn.Module):
    """A linear layer for each member, without shared weights."""

    def __init__(self, members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, in_features, out_features) * in_features**-0.5)
        self.bias = nn.Parameter(torch.zeros(members, out_features))

    def forward(self, units: Tensor) -> Tensor:
        """Map `[N, M, in_features]` to `[N, M, out_features]`."""
        return torch.bmm(units.transpose(0, 1), self.weight).transpose(0, 1) + self.bias
