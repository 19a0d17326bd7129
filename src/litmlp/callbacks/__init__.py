"""What happens around the training steps."""

from litmlp.callbacks.best_and_last import BestAndLast
from litmlp.callbacks.description import Description
from litmlp.callbacks.diagnostics import Diagnostics
from litmlp.callbacks.epoch_progress import EpochProgress
from litmlp.callbacks.epoch_seed import EpochSeed
from litmlp.callbacks.learning_rate import LearningRate
from litmlp.callbacks.pruning import Pruning
from litmlp.callbacks.stop_on_nan import StopOnNaN

__all__ = [
    "BestAndLast",
    "Description",
    "Diagnostics",
    "EpochProgress",
    "EpochSeed",
    "LearningRate",
    "Pruning",
    "StopOnNaN",
]
