"""The base class of the regression and classification tasks."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from functools import lru_cache, partial
from inspect import signature
from typing import Any, ClassVar, NamedTuple

import lightning.pytorch as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from litmlp.data.batch import Batch
from litmlp.data.spec import Spec
from litmlp.data.targets import Target
from litmlp.errors import InputError
from litmlp.loggers import log_metrics
from litmlp.tasks.collected import Collected
from litmlp.tasks.metrics import Metric, of_all_processes, values_of

STAGES = ("train", "val", "test")
MIN_WEIGHT = torch.finfo(torch.float32).tiny  # at least this is divided by, so that a batch of weight 0 is not 0/0


class Known(NamedTuple):
    """What others have computed from the rows that a task has seen.

    Attributes:
        outputs: of the rows.
        values: of some metrics, and maybe of the loss, by name.
        temperature: that was fitted to validation rows, where there is one.
    """

    outputs: Tensor
    values: dict[str, Tensor]
    temperature: float = 1.0


class Task(L.LightningModule, ABC):
    """Trains a network. A subclass defines the metrics and the predictions.

    Args:
        network: maps `[N, F]` numbers and `[N, C]` codes to `[N, O]`; passed in when a run is built.
        spec: the columns of the data; passed in likewise.
        loss: compares `[N, O]` outputs with targets.
        optimizer: returns an optimizer for parameter groups; None if nothing is trained.
        scheduler: returns a learning rate schedule for an optimizer; gets `total_steps` if it has such an argument.
        l1: factor of the sum of absolute weights, which is added to the training loss. For L2, set the optimizer's
            `weight_decay`. Both act only on matrices called `weight`, as in torch's layers, not on biases and scales.
    """

    target_type: ClassVar[type[Target]]
    target: Target

    def __init__(
        self,
        network: nn.Module,
        spec: Spec,
        loss: nn.Module,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
        l1: float = 0.0,
    ) -> None:
        super().__init__()
        if l1 < 0:
            raise ValueError(f"l1 must be 0 or more, not {l1}")
        self.network = network
        self.loss = loss
        self.loss_of_rows = copy(loss)  # gives a loss for each row, so that rows can be weighted
        self.loss_of_rows.reduction = "none"  # type: ignore[assignment]
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.l1 = l1
        self.metrics = self.build_metrics(spec.target)
        self.seen = {stage: (Collected(), Collected(), Collected()) for stage in STAGES}  # outputs, targets, weights
        self.seen_before: list[Tensor | None] = [None, None, None]  # the same, from before an epoch was interrupted
        self.known: dict[str, Known] = {}  # by stage; a population computes it for all of its members at once
        self.target = spec.target

    @staticmethod
    @abstractmethod
    def build_metrics(target: Target) -> dict[str, Metric]:
        """Return the metrics by name."""

    @abstractmethod
    def predict(self, output: Tensor) -> Tensor:
        """Turn an output `[N, O]` into a prediction `[N, O]`."""

    def compared(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and observations in the form that the metrics expect."""
        return self.predict(output), target

    def adapt(self, rows: Batch) -> None:
        """Let the network learn from the training rows what does not come from gradients, if it has an `adapt`."""
        if adapt := getattr(self.network, "adapt", None):
            adapt(rows.numeric, rows.categorical)

    def forward(self, batch: Batch) -> Tensor:
        """Return the output for a batch, `[N, O]`.

        Of a network with M members, it is the output of their mean, but in training the outputs of all, `[N, M, O]`.
        """
        output = self.network(batch.numeric.to(self.dtype), batch.categorical)  # float64 with trainer.precision=64-true
        return output if self.training or output.ndim == 2 else self.target.mean_of(output)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, with the L1 term."""
        loss = self.step(batch, "train")
        # In a population, whose members differ in it, l1 is a tensor.
        return loss + self.l1 * self._sum_of_weights() if isinstance(self.l1, Tensor) or self.l1 else loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the outputs of a batch for the metrics."""
        self.step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the outputs of a batch for the metrics."""
        self.step(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the predictions for a batch, `[N, O]`."""
        return self.predict(self.forward(batch))

    def on_train_epoch_end(self) -> None:
        """Log the metrics of the epoch. They are computed from the outputs of its steps, while weights changed."""
        self.log_stage("train")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of all validation rows."""
        self.log_stage("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of all test rows."""
        self.log_stage("test")

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and the schedule if there is one."""
        optimizer = self._optimizer()
        if self.scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._schedule(optimizer)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the outputs, targets and weights of the current epoch, if training can be resumed from the checkpoint.

        A checkpoint of weights only has no states of optimizers and needs none of this.
        """
        if "optimizer_states" not in checkpoint:
            return
        seen = [collected.rows() for collected in self.seen["train"]]
        checkpoint["seen"] = [None if rows is None else rows.clone() for rows in seen]  # later steps change the memory

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check and hold the outputs, targets and weights of a checkpoint until the task is on its device."""
        seen = checkpoint.get("seen", self.seen_before)
        if not isinstance(seen, list) or [type(rows) in (Tensor, type(None)) for rows in seen] != [True] * 3:
            raise ValueError("a checkpoint's `seen` must hold outputs, targets and weights")
        if len({len(rows) for rows in seen if rows is not None}) > 1:
            raise ValueError("a checkpoint's `seen` must hold outputs, targets and weights of the same number of rows")
        self.seen_before = seen

    def on_train_start(self) -> None:
        """Restore the outputs, targets and weights of an epoch that was interrupted."""
        for collected, rows in zip(self.seen["train"], self.seen_before, strict=True):
            if rows is not None:
                collected.add(rows.to(self.device))

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Return the loss of a batch and keep its outputs for `take_metrics`.

        For a network with members, it is the mean of their losses; the outputs kept are those of their mean.
        """
        assert batch.target is not None
        target, weight = batch.target, self.row_weights(batch)
        output = self.forward(batch)
        outputs, targets, weights = self.seen[stage]
        outputs.add((output if output.ndim == 2 else self.target.mean_of(output)).detach())
        targets.add(target)
        if weight is not None:
            weights.add(weight)
        if output.ndim == 3:  # the mean of the members' losses: the loss of their mean would let them learn as one
            members = output.shape[1]
            output, target = output.flatten(0, 1), target.repeat_interleave(members, dim=0)
            weight = None if weight is None else weight.repeat_interleave(members)
        return self.mean_loss(output, target, weight)

    def row_weights(self, batch: Batch) -> Tensor | None:
        """Return how much each row counts in the loss, `[N]`; None where all count the same."""
        return batch.weight

    def mean_loss(self, output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """Return the weighted mean loss: a row of weight 2 counts as two rows. It is 0 if all weights are 0."""
        if weight is None:
            return self.loss(output, target)
        losses = self.loss_of_rows(output, target).reshape(len(output), -1).mean(dim=1)  # [N]
        return (losses * weight).sum() / weight.sum().clamp_min(MIN_WEIGHT)

    @torch.no_grad()
    def take_metrics(self, stage: str) -> dict[str, Tensor]:
        """Return loss and metrics of all rows that `stage` has seen, named `stage/name`, and forget these rows."""
        known = self.known_of(stage)
        outputs, targets, weights = self.rows_seen(stage)
        for collected in self.seen[stage]:
            collected.take()
        assert outputs is not None
        assert targets is not None
        found = dict(known.values) if known else {}
        others = {name: metric for name, metric in self.metrics.items() if name not in found}
        if "loss" not in found:
            no_row_counts = weights is not None and not weights.any()
            found["loss"] = torch.tensor(torch.nan) if no_row_counts else self.mean_loss(outputs, targets, weights)
        if others:
            found |= values_of(others, *self.compared(outputs, targets))
        values = {name: found[name] for name in ("loss", *self.metrics)}
        return {f"{stage}/{name}": value for name, value in self._by_output(values).items()}

    def known_of(self, stage: str) -> Known | None:
        """Return what is known of the rows that `stage` has seen, if no others came to them."""
        known = self.known.get(stage)
        return known if known and self.seen[stage][0].holds(known.outputs) else None

    def rows_seen(self, stage: str) -> list[Tensor | None]:
        """Return outputs, targets and weights of all rows that `stage` has seen, in all processes."""
        seen = [collected.rows() for collected in self.seen[stage]]
        return [None if rows is None else of_all_processes(rows) for rows in seen]

    def log_stage(self, stage: str) -> None:
        """Log the metrics of all rows that `stage` has seen.

        A `training_step` that computes a loss of its own, or skips all batches, leaves no rows of `train` to measure.

        Raises:
            InputError: no rows of `val` or `test` were measured, so the run has no score.
        """
        if self.seen[stage][0].rows() is None:
            if stage == "train":
                return
            step = "validation_step" if stage == "val" else "test_step"
            raise InputError(
                f"{type(self).__name__} has measured no rows of {stage}: call self.step(batch, '{stage}') in its {step}"
            )
        values = self.take_metrics(stage)
        if self.trainer.state.fn == TrainerFn.FITTING:
            log_metrics(self.trainer, values)
        else:
            self.log_dict(values)  # trainer.validate and trainer.test return what is logged in this way

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return two groups: the weights, and the remaining parameters, which have no weight decay."""
        weights = self._weights()
        remaining = [p for p in self.network.parameters() if not any(p is weight for weight in weights)]
        groups: list[dict[str, Any]] = [{"params": weights}, {"params": remaining, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]

    def _by_output(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        # A metric with a value for each of several targets is logged as their mean, and separately for each target.
        means = {name: value.mean() if value.ndim else value for name, value in values.items()}
        several = {name: value for name, value in values.items() if value.numel() > 1}
        return means | {
            f"{name}_{target}": each
            for name, value in several.items()
            for target, each in zip(self.target.columns, value, strict=True)
        }

    def _weights(self) -> list[nn.Parameter]:
        return [p for name, p in self.network.named_parameters() if name.endswith("weight") and p.ndim >= 2]

    def _sum_of_weights(self) -> Tensor:
        return torch.stack([weight.abs().sum() for weight in self._weights()]).sum()

    def _optimizer(self) -> Optimizer:
        assert self.optimizer is not None
        groups = self.parameter_groups()
        if "step_rows" not in parameters_of(self.optimizer):
            return self.optimizer(groups)
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        rows = {} if data is None else {"step_rows": data.batch_size}  # loaders of one's own do not say
        return self.optimizer(groups, **rows)

    def _schedule(self, optimizer: Optimizer) -> Any:
        assert self.scheduler is not None
        if "total_steps" not in parameters_of(self.scheduler):
            return self.scheduler(optimizer)
        return self.scheduler(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))


def parameters_of(make: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the parameters of a function, a class or a partial of one without positional arguments."""
    return _parameters_of(make.func if isinstance(make, partial) and not make.args else make)


@lru_cache
def _parameters_of(make: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(signature(make).parameters)
