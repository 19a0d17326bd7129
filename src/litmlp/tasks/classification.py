"""The task that predicts one of several classes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from litmlp.data.batch import Batch, weights_of_rows
from litmlp.data.cells import shortened
from litmlp.data.spec import Spec
from litmlp.data.targets import ClassTarget, Target
from litmlp.errors import InputError
from litmlp.tasks import metrics
from litmlp.tasks.metrics import Metric
from litmlp.tasks.task import Task


class ClassificationTask(Task):
    """Learns class scores `[N, K]`; a prediction is a probability for each class.

    Args:
        network: maps `[N, F]` numbers and `[N, C]` codes to `[N, K]`; passed in when a run is built.
        spec: the columns of the data; passed in likewise.
        loss: compares `[N, K]` scores with class indices; the cross entropy by default.
        class_weights: `balanced` to let each class count the same, or a weight for each class in sorted order.
        optimizer: see Task.
        scheduler: see Task.
        l1: see Task.
    """

    target_type = ClassTarget
    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        spec: Spec,
        loss: nn.Module | None = None,
        class_weights: str | list[float] | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
        l1: float = 0.0,
    ) -> None:
        super().__init__(network, spec, loss or nn.CrossEntropyLoss(), optimizer, scheduler, l1)
        assert isinstance(spec.target, ClassTarget)
        weights = None if class_weights is None else weights_of(class_weights, spec.target)
        self.register_buffer("class_weights", weights, persistent=False)

    def setup(self, stage: str) -> None:
        """Raise InputError if all rows of a split have weight 0."""
        for split, table in getattr(self.trainer.datamodule, "tables", {}).items():  # type: ignore[attr-defined]
            weights = self.row_weights(table.to(self.device))
            if weights is not None and not weights.any():
                raise InputError(
                    f"all rows of the {split} split have weight 0, because task.class_weights is 0 for all of their "
                    "classes: give one of them a weight above 0"
                )

    @staticmethod
    def build_metrics(target: Target) -> dict[str, Metric]:
        """Return accuracy, mean recall and mean F1 of the classes, mean one-vs-rest AUROC, and mean log-loss."""
        return {
            "accuracy": Metric(metrics.accuracy, "max", metrics.confusion),
            "balanced_accuracy": Metric(metrics.balanced_accuracy, "max", metrics.confusion),
            "f1": Metric(metrics.f1, "max", metrics.confusion),
            "auroc": Metric(metrics.mean_area_under_roc, "max"),
            "log_loss": Metric(metrics.log_loss, "min"),
        }

    def predict(self, output: Tensor) -> Tensor:
        """Return class probabilities, `[N, K]`."""
        return output.T.softmax(dim=0).T.contiguous()  # on the CPU, several times as fast as output.softmax(dim=1)

    def row_weights(self, batch: Batch) -> Tensor | None:
        """Return the weight of each row: its own weight times the weight of its class."""
        if self.class_weights is None:
            return batch.weight
        assert batch.target is not None
        of_class = self.class_weights[batch.target]
        return of_class if batch.weight is None else of_class * batch.weight


def weights_of(class_weights: str | list[float], target: ClassTarget) -> Tensor:
    """Return a weight for each class, `[K]`; `balanced` gives rows / (K * rows of the class)."""
    if class_weights == "balanced":
        counts = torch.tensor(target.counts, dtype=torch.float32)
        return counts.sum() / (len(counts) * counts)
    weights = np.array([] if isinstance(class_weights, str) else class_weights, dtype=np.float64)
    if len(weights) != target.num_outputs or not (weights.min() >= 0 and 0 < weights.max() < math.inf):
        raise InputError(
            f"task.class_weights is {shortened(repr(class_weights), 200)}: give 'balanced', or a number from 0 up for "
            f"each of the classes {shortened(', '.join(target.classes), 200)}, at least one of them above 0"
        )
    return weights_of_rows(weights)
