"""Networks: tensors in, tensors out; they know nothing of training."""

from litmlp.networks.mlp import MLP

__all__ = ["MLP"]
