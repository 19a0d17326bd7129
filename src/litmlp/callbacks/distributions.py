"""The callback that writes histograms of weights, gradients and activations."""

from typing import Any

from torch import Tensor

from litmlp.callbacks.base import Callback
from litmlp.callbacks.plotting import sampled_rows
from litmlp.loggers import TensorBoard
from litmlp.networks.hidden import evaluating, hidden_layers, outputs_of

ROWS = 512


class Distributions(Callback):
    """Writes histograms to TensorBoard every few epochs: of parameters, their last gradients, and layers' activations.

    Args:
        every: number of epochs from one set of histograms to the next.
        in_sweeps: whether each job of a sweep writes histograms, too.
    """

    once_a_round = True

    def __init__(self, every: int = 5, in_sweeps: bool = False) -> None:
        self.in_sweeps = in_sweeps
        if every < 1:
            raise ValueError(f"every must be 1 epoch or more, not {every}")
        self.every = every
        self.gradients: dict[str, Tensor] = {}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *step: Any) -> None:
        """Keep the epoch's last gradients here, because Lightning clears gradients before a validation."""
        if trainer.is_last_batch and self._is_due(trainer):
            parameters = pl_module.network.named_parameters()
            self.gradients = {name: p.grad.detach().clone() for name, p in parameters if p.grad is not None}

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the histograms; activations are those of up to 512 validation rows."""
        writers = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoard)]
        if not writers or not self._is_due(trainer):
            return
        layers = hidden_layers(pl_module.network)
        with evaluating(pl_module), outputs_of(layers) as outputs:
            pl_module.forward(sampled_rows(trainer.datamodule, "val", pl_module.device, ROWS))
        parameters = {name: parameter.detach() for name, parameter in pl_module.network.named_parameters()}
        kinds = {"weights": parameters, "gradients": self.gradients, "activations": outputs}
        for writer in writers:
            for kind, tensors in kinds.items():
                for name, tensor in tensors.items():
                    writer.add_histogram(f"{kind}/{name}", tensor.float(), trainer.global_step)

    def _is_due(self, trainer: Any) -> bool:
        return trainer.is_global_zero and trainer.current_epoch % self.every == 0
