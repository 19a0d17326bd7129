"""Losses that torch does not provide."""

from torch import Tensor, nn
from torch.nn import functional


class BrierLoss(nn.Module):
    """The squared error of class probabilities, summed over classes (Brier 1950).

    It lies between 0 and 2. It hardly changes if a prediction is wrong with near certainty, because its gradient
    contains the product of the probabilities. The gradient of the cross entropy does not.

    Args:
        reduction: `mean` over the rows, or `none`.

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
        """Compare scores `[N, K]` with class indices `[N]`; return their mean loss, or with `none` each loss, `[N]`."""
        wanted = functional.one_hot(target, scores.shape[1])
        losses = (scores.softmax(dim=1) - wanted).square().sum(dim=1)
        return losses.mean() if self.reduction == "mean" else losses
