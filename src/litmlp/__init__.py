"""Multilayer perceptrons on tables, with PyTorch Lightning and Hydra.

In Python, `train` and `compose` take the overrides of the command, and `load` returns a model that predicts rows. The
module `sklearn` has the estimators `Classifier` and `Regressor`. Each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litmlp import sklearn as sklearn
    from litmlp.api import Run, compose, train
    from litmlp.errors import InputError, TrainingDiverged
    from litmlp.model import Model, load

__version__ = "0.1.0"
__all__ = ["InputError", "Model", "Run", "TrainingDiverged", "compose", "load", "train"]

HOMES = {  # the module of each name
    **dict.fromkeys(("Run", "compose", "train"), "api"),
    **dict.fromkeys(("Model", "load"), "model"),
    **dict.fromkeys(("InputError", "TrainingDiverged"), "errors"),
}
MODULES = ("sklearn",)  # not in __all__, because `from litmlp import *` must work without scikit-learn


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *MODULES})
