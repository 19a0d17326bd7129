"""Why training goes as it does: norms, units that are dead, the time that epochs take."""

from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from litmlp.callbacks.base import Callback
from litmlp.loggers import log_values
from litmlp.networks.hidden import evaluating, outputs_of

CAN_DIE = (nn.ReLU, nn.ReLU6, nn.Hardsigmoid, nn.Hardswish, nn.Threshold)  # flat at 0, for half of the inputs
ROWS = 512  # looked at
FRACTION_OF_TIME = 0.005  # for looking


class Diagnostics(Callback):
    """Logs, once an epoch, or where epochs are short as often as takes half a hundredth of the time:

    - `train/gradient_norm`: length of the gradient of all parameters together, as the epoch's last step took it;
    - `train/weight_norm`: length of all parameters together;
    - `dead/<layer>`: fraction of the units of a ReLU-like layer that are 0 for each of up to 512 validation rows: no
      gradient reaches them;
    - `train/epoch_seconds`, validation included, and `train/rows_per_second`.
    """

    once_a_round = True
    gradient_norm: Tensor | None = None
    next_look = 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock of an epoch that is resumed."""
        self.started = perf_counter()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self.started = perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *step: Any) -> None:
        """Look at the last gradient: Lightning frees it before it validates."""
        if trainer.is_last_batch and perf_counter() >= self.next_look:
            gradients = [parameter.grad for parameter in pl_module.network.parameters() if parameter.grad is not None]
            self.gradient_norm = norm(gradients)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log all of them as one event."""
        begun = perf_counter()
        if begun < self.next_look:
            return
        weight_norm = norm(list(pl_module.network.parameters()))
        values: dict[str, Any] = {"train/weight_norm": weight_norm}
        if self.gradient_norm is not None:  # max_steps may end training within an epoch
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
        self.next_look = ended + (ended - begun) / FRACTION_OF_TIME


def norm(tensors: list[Tensor]) -> Tensor:
    """Return the length of all numbers in `tensors` together."""
    return torch.nn.utils.get_total_norm([tensor.detach() for tensor in tensors])


def dead_units(task: Any, batch: Any) -> dict[str, Tensor]:
    """Return the fraction of dead units of each layer that can have some, on the rows of `batch`."""
    layers = {name: layer for name, layer in task.network.named_modules() if isinstance(layer, CAN_DIE)}
    if not layers:
        return {}
    with evaluating(task), outputs_of(layers) as outputs:
        task.forward(batch)
    return {f"dead/{name}": (output == 0).all(dim=0).float().mean() for name, output in outputs.items()}
