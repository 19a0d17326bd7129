"""Tasks: they define the loss, the metrics, the optimizer, and the predictions."""

from litmlp.tasks.classification import ClassificationTask
from litmlp.tasks.losses import BrierLoss
from litmlp.tasks.regression import RegressionTask
from litmlp.tasks.task import Task

__all__ = ["BrierLoss", "ClassificationTask", "RegressionTask", "Task"]
