"""Networks: they map tensors to tensors and do not depend on the training."""

from litmlp.networks.mlp import MLP

__all__ = ["MLP"]
