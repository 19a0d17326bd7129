"""The callback that writes the last hidden layer for TensorBoard's projector."""

from typing import Any

from litmlp.callbacks.base import Callback
from litmlp.callbacks.plotting import sampled_rows
from litmlp.data import Batch, ClassTarget, TabularData
from litmlp.loggers import TensorBoard
from litmlp.networks.hidden import evaluating, input_of, linear_layers


class Embeddings(Callback):
    """Writes the inputs of the last layer when training ends: one point, with its target, for each validation row.

    The point of a network with several members has the hidden units of all of them.

    Args:
        num_rows: maximum number of rows.
    """

    in_sweeps = False

    def __init__(self, num_rows: int = 2_000) -> None:
        if num_rows < 1:
            raise ValueError(f"num_rows must be 1 or more, not {num_rows}")
        self.num_rows = num_rows

    def finish(self, trainer: Any, task: Any, data: Any) -> None:
        """Write the points that the best weights give."""
        writers = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoard)]
        last = list(linear_layers(task.network).values())[-1:]
        if not writers or not last:
            return
        batch = sampled_rows(data, "val", task.device, self.num_rows)
        with evaluating(task), input_of(last[0]) as inputs:
            task.forward(batch)
            labels = labels_of(task, data, batch)
        for writer in writers:
            writer.add_embedding(
                inputs[0].flatten(1).float(), labels, global_step=trainer.global_step, tag="last_hidden_layer"
            )


def labels_of(task: Any, data: TabularData, batch: Batch) -> list[str]:
    """Return each row's target as text: its class, or its number (of several, the first)."""
    assert batch.target is not None
    if isinstance(data.target, ClassTarget):
        return [data.target.classes[index] for index in batch.target.tolist()]
    return [f"{value:.4g}" for value in task.predict(batch.target)[:, 0].tolist()]
