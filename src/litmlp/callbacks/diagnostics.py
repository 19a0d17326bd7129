"""The callback that logs why training goes well or badly: norms, dead units, seconds of an epoch."""

from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from litmlp.callbacks.base import Callback, pause
from litmlp.loggers import log_values
from litmlp.networks.hidden import evaluating, outputs_of

CAN_DIE = (nn.ReLU, nn.ReLU6, nn.Hardsigmoid, nn.Hardswish, nn.Threshold)  # constant 0 for part of the inputs
ROWS = 512  # at most, from which dead units are found
FRACTION_OF_TIME = 0.005  # of the training time, which diagnostics may take


class Diagnostics(Callback):
    """Logs diagnostics once an epoch. If epochs are short, it skips some, so that it takes at most 0.5 % of the time.

    - `train/gradient_norm`: norm of the gradient of all parameters together, in the epoch's last step;
    - `train/weight_norm`: norm of all parameters together;
    - `dead/<layer>`: fraction of the units of a ReLU-like layer that are 0 for each of up to 512 validation rows. No
      gradient reaches such a unit;
    - `train/epoch_seconds`, which includes validation, and `train/rows_per_second`.
    """

    once_a_round = True
    gradient_norm: Tensor | None = None
    next_time = 0.0  # nothing is measured before it

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock for an epoch that is resumed: it has no `on_train_epoch_start`."""
        self.started = perf_counter()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock of an epoch."""
        self.started = perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *step: Any) -> None:
        """Measure the epoch's last gradient here, because Lightning clears gradients before a validation."""
        if trainer.is_last_batch and perf_counter() >= self.next_time:
            gradients = [parameter.grad for parameter in pl_module.network.parameters() if parameter.grad is not None]
            self.gradient_norm = norm(gradients)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log all values together."""
        begun = perf_counter()
        if begun < self.next_time:
            return
        weight_norm = norm(list(pl_module.network.parameters()))
        values: dict[str, Any] = {"train/weight_norm": weight_norm}
        if self.gradient_norm is not None:  # it is None if max_steps ended training before the epoch's last batch
            values["train/gradient_norm"] = self.gradient_norm
        val = trainer.datamodule.tables.get("val")
        if val is not None and len(val.numeric):
            values |= dead_units(pl_module, val.rows(slice(ROWS)).to(pl_module.device))
        seconds = begun - self.started
        num_batches, data = trainer.num_training_batches, trainer.datamodule
        rows = min(num_batches * data.batch_size, len(data.tables["train"].numeric))
        log_values(trainer, values | {"train/epoch_seconds": seconds, "train/rows_per_second": rows / seconds})
        self.gradient_norm = None
        ended = perf_counter()
        self.next_time = ended + pause(trainer, ended - begun, FRACTION_OF_TIME)


def norm(tensors: list[Tensor]) -> Tensor:
    """Return the Euclidean norm of all numbers in `tensors` together."""
    return torch.nn.utils.get_total_norm([tensor.detach() for tensor in tensors])


def dead_units(task: Any, batch: Any) -> dict[str, Tensor]:
    """Return the fraction of dead units, by `dead/<layer>`, of each layer of a type in `CAN_DIE`, for a batch."""
    layers = {name: layer for name, layer in task.network.named_modules() if isinstance(layer, CAN_DIE)}
    if not layers:
        return {}
    with evaluating(task), outputs_of(layers) as outputs:
        task.forward(batch)
    return {f"dead/{name}": (output == 0).all(dim=0).float().mean() for name, output in outputs.items()}
