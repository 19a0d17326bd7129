"""What happens around the training steps."""

from litmlp.callbacks.best_and_last import BestAndLast
from litmlp.callbacks.classification_pictures import ClassificationPictures
from litmlp.callbacks.description import Description
from litmlp.callbacks.diagnostics import Diagnostics
from litmlp.callbacks.distributions import Distributions
from litmlp.callbacks.embeddings import Embeddings
from litmlp.callbacks.epoch_progress import EpochProgress
from litmlp.callbacks.epoch_seed import EpochSeed
from litmlp.callbacks.function_pictures import FunctionPictures
from litmlp.callbacks.graph import Graph
from litmlp.callbacks.importance import Importance
from litmlp.callbacks.learning_rate import LearningRate
from litmlp.callbacks.pictures import Pictures
from litmlp.callbacks.planar_pictures import PlanarPictures
from litmlp.callbacks.pruning import Pruning
from litmlp.callbacks.regression_pictures import RegressionPictures
from litmlp.callbacks.step_loss import StepLoss
from litmlp.callbacks.stop_on_nan import StopOnNaN

__all__ = [
    "BestAndLast",
    "ClassificationPictures",
    "Description",
    "Diagnostics",
    "Distributions",
    "Embeddings",
    "EpochProgress",
    "EpochSeed",
    "FunctionPictures",
    "Graph",
    "Importance",
    "LearningRate",
    "Pictures",
    "PlanarPictures",
    "Pruning",
    "RegressionPictures",
    "StepLoss",
    "StopOnNaN",
]
