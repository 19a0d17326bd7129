"""The task that predicts one of several classes."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from litmlp.data.batch import Batch, weights_of_rows
from litmlp.data.cells import shortened
from litmlp.data.spec import Spec
from litmlp.data.targets import ClassTarget, Target
from litmlp.errors import InputError
from litmlp.tasks import metrics
from litmlp.tasks.calibration import temperature_of
from litmlp.tasks.metrics import Metric
from litmlp.tasks.task import Task


class ClassificationTask(Task):
    """Learns class scores `[N, K]`; a prediction is a probability for each class.

    Args:
        network: maps `[N, F]` numbers and `[N, C]` codes to `[N, K]`; passed in when a run is built.
        spec: the columns of the data; passed in likewise.
        loss: compares `[N, K]` scores with class indices; the cross entropy by default.
        class_weights: `balanced` to let each class count the same, or a weight for each class in sorted order.
        calibration: `temperature` to divide the scores by a number that is fitted to the validation rows after each
            epoch, so that probabilities are as frequent as they say, or `none`. The loss and the likeliest class stay
            the same. In the fit, rows have their own weights but not those of `class_weights`: these make rare classes
            more probable than they are, which no temperature undoes, and the log-loss does not count them either.
        optimizer: see Task.
        scheduler: see Task.
        l1: see Task.
    """

    target_type = ClassTarget
    class_weights: Tensor | None
    temperature: Tensor

    def __init__(
        self,
        network: nn.Module,
        spec: Spec,
        loss: nn.Module | None = None,
        class_weights: str | list[float] | None = None,
        calibration: Literal["temperature", "none"] = "temperature",
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
        l1: float = 0.0,
    ) -> None:
        super().__init__(network, spec, loss or nn.CrossEntropyLoss(), optimizer, scheduler, l1)
        assert isinstance(spec.target, ClassTarget)
        weights = None if class_weights is None else weights_of(class_weights, spec.target)
        self.register_buffer("class_weights", weights, persistent=False)
        self.calibration = calibration
        self.register_buffer("temperature", torch.ones(()))
        # All processes fit the same temperature. DDP would broadcast it at each step, and take a tenth longer.
        self._ddp_params_and_buffers_to_ignore = ["temperature"]
        self.register_load_state_dict_pre_hook(_add_temperature)

    def setup(self, stage: str) -> None:
        """Raise InputError if all rows of a split have weight 0."""
        for split, table in getattr(self.trainer.datamodule, "tables", {}).items():  # type: ignore[attr-defined]
            weights = self.row_weights(table.to(self.device))
            if weights is not None and not weights.any():
                raise InputError(
                    f"all rows of the {split} split have weight 0, because task.class_weights is 0 for all of their "
                    "classes: give one of them a weight above 0"
                )

    def on_validation_epoch_end(self) -> None:
        """Fit the temperature if this is part of training, and log the metrics of all validation rows."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.temperature.fill_(self.fitted_temperature())
        super().on_validation_epoch_end()

    @staticmethod
    def build_metrics(target: Target) -> dict[str, Metric]:
        """Return accuracy, mean recall and mean F1 of the classes, mean one-vs-rest AUROC, and mean log-loss."""
        return {
            "accuracy": Metric(metrics.accuracy, "max", metrics.confusion, takes_tables=True),
            "balanced_accuracy": Metric(metrics.balanced_accuracy, "max", metrics.confusion, takes_tables=True),
            "f1": Metric(metrics.f1, "max", metrics.confusion, takes_tables=True),
            "auroc": Metric(metrics.mean_area_under_roc, "max", takes_tables=True),
            "log_loss": Metric(metrics.log_loss, "min", takes_tables=True),
        }

    def predict(self, output: Tensor) -> Tensor:
        """Return class probabilities, `[..., N, K]`."""
        output = output / self.temperature
        return output.mT.softmax(dim=-2).mT.contiguous()  # on the CPU, several times as fast as output.softmax(dim=1)

    def row_weights(self, batch: Batch) -> Tensor | None:
        """Return the weight of each row: its own weight times the weight of its class."""
        if self.class_weights is None:
            return batch.weight
        assert batch.target is not None
        of_class = self.class_weights[batch.target]
        return of_class if batch.weight is None else of_class * batch.weight

    def fitted_temperature(self) -> float:
        """Return the temperature for the validation rows that were seen; 1 without calibration or without rows."""
        if known := self.known_of("val"):
            return known.temperature
        outputs, targets, weights = self.rows_seen("val")
        if self.calibration == "none" or outputs is None:
            return 1.0
        assert targets is not None
        return temperature_of(outputs, targets, self.own_weights(targets, weights))

    def own_weights(self, targets: Tensor, weights: Tensor | None) -> Tensor | None:
        """Return the weights of rows, `[..., N]`, without those of their classes."""
        if self.class_weights is None or weights is None:
            return weights
        return (weights / self.class_weights.gather(-1, targets)).nan_to_num()  # 0 / 0 if the class has weight 0


def _add_temperature(task: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    # Checkpoints from before calibration hold no temperature.
    state.setdefault(f"{prefix}temperature", torch.ones(()))


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
