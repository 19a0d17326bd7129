"""Callbacks: checkpoints, progress, seeds, diagnostics and plots, around the training steps."""

from litmlp.callbacks.base import Callback
from litmlp.callbacks.best_and_last import BestAndLast
from litmlp.callbacks.classification_plots import ClassificationPlots
from litmlp.callbacks.description import Description
from litmlp.callbacks.diagnostics import Diagnostics
from litmlp.callbacks.distributions import Distributions
from litmlp.callbacks.embeddings import Embeddings
from litmlp.callbacks.epoch_progress import EpochProgress
from litmlp.callbacks.epoch_seed import EpochSeed
from litmlp.callbacks.graph import Graph
from litmlp.callbacks.learning_rate import LearningRate
from litmlp.callbacks.permutation_importance import PermutationImportance
from litmlp.callbacks.plotting import Plotting
from litmlp.callbacks.pruning import Pruning
from litmlp.callbacks.regression_plots import RegressionPlots
from litmlp.callbacks.step_loss import StepLoss
from litmlp.callbacks.stop_on_nan import StopOnNaN

__all__ = [
    "BestAndLast",
    "Callback",
    "ClassificationPlots",
    "Description",
    "Diagnostics",
    "Distributions",
    "Embeddings",
    "EpochProgress",
    "EpochSeed",
    "Graph",
    "LearningRate",
    "PermutationImportance",
    "Plotting",
    "Pruning",
    "RegressionPlots",
    "StepLoss",
    "StopOnNaN",
]
