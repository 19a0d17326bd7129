"""Losses that torch does not have."""

from torch import Tensor, nn
from torch.nn import functional


class BrierLoss(nn.Module):
    """The squared error of class probabilities, summed over classes (Brier 1950).

    It lies between 0 and 2, and hardly changes where a prediction is wrong for sure: its gradient holds the product of
    the probabilities, which the cross entropy's does not.

    Args:
        reduction: `mean` of the rows, or `none`.

    Example:
        >>> import torch
        >>> BrierLoss()(torch.zeros(1, 2), torch.tensor([0]))
        tensor(0.5000)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "none"):
            raise ValueError(f"reduction is '{reduction}': use mean or none")
        self.reduction = reduction

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Compare scores `[N, K]` with class indices `[N]`; return a number, or `[N]`."""
        wanted = functional.one_hot(target, scores.shape[1])
        losses = (scores.softmax(dim=1) - wanted).square().sum(dim=1)
        return losses.mean() if self.reduction == "mean" else losses
