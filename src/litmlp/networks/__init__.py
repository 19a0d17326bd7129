"""Networks: they map tensors to tensors and do not depend on the training."""

from litmlp.networks.ensemble import Ensemble
from litmlp.networks.mlp import MLP
from litmlp.networks.numeric_embedding import NoEmbedding, NumericEmbedding, PeriodicEmbedding, PiecewiseLinearEmbedding

__all__ = ["MLP", "Ensemble", "NoEmbedding", "NumericEmbedding", "PeriodicEmbedding", "PiecewiseLinearEmbedding"]
