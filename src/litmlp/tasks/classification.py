"""Predicting one of several classes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC, MulticlassF1Score

from litmlp.data.spec import Spec
from litmlp.data.targets import ClassTarget, Target
from litmlp.errors import InputError
from litmlp.tasks.task import Task


class ClassificationTask(Task):
    """Learns class scores `[N, K]`; a prediction is a probability for each class.

    Args:
        network: maps `[N, F]` numbers and `[N, C]` codes to `[N, K]`; passed in when a run is built.
        spec: the columns of the data; passed in likewise.
        loss: compares `[N, K]` scores with class indices; the cross entropy by default.
        class_weights: `balanced` (each class counts the same), or a weight for each class in sorted order.
        optimizer: see Task.
        scheduler: see Task.
        l1: see Task.
    """

    target_type = ClassTarget

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
        if class_weights is not None:
            self.loss.register_buffer("weight", weights_of(class_weights, spec.target))

    @staticmethod
    def build_metrics(target: Target) -> MetricCollection:
        """Accuracy, mean recall and mean F1 of the classes, mean one-vs-rest AUROC, mean log-loss."""
        k = target.num_outputs
        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(k, average="micro"),
                "balanced_accuracy": MulticlassAccuracy(k, average="macro"),
                "f1": MulticlassF1Score(k, average="macro"),
                "auroc": MulticlassAUROC(k, average="macro"),
                "log_loss": LogLoss(),
            },
            compute_groups=False,
        )

    def predict(self, output: Tensor) -> Tensor:
        """Return class probabilities, `[N, K]`."""
        return output.softmax(dim=1)


class LogLoss(Metric):
    """Mean negative logarithm of the probability given to the true class, whatever the training loss."""

    higher_is_better = False
    total: Tensor
    num_rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("num_rows", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, probability: Tensor, target: Tensor) -> None:
        """Add N rows: probabilities `[N, K]` and class indices `[N]`."""
        smallest = torch.finfo(probability.dtype).tiny
        self.total -= probability.gather(1, target[:, None]).clamp_min(smallest).log().sum()
        self.num_rows += len(target)

    def compute(self) -> Tensor:
        """Return the mean over all rows."""
        return self.total / self.num_rows


def weights_of(class_weights: str | list[float], target: ClassTarget) -> Tensor:
    """Return a weight for each class, `[K]`; `balanced` is rows / (K * rows of the class)."""
    if class_weights == "balanced":
        counts = torch.tensor(target.counts, dtype=torch.float32)
        return counts.sum() / (len(counts) * counts)
    if isinstance(class_weights, str) or len(class_weights) != target.num_outputs:
        raise InputError(
            f"task.class_weights is {class_weights!r}: give 'balanced', or a number for each of the classes "
            f"{', '.join(target.classes)}"
        )
    return torch.tensor(class_weights, dtype=torch.float32)
