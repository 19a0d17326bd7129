"""The last hidden layer, for TensorBoard's projector."""

from typing import Any

from litmlp.callbacks.base import Callback
from litmlp.callbacks.plotting import some_rows
from litmlp.data import Batch, ClassTarget, TabularData
from litmlp.loggers import TensorBoard
from litmlp.networks.hidden import evaluating, input_of, linear_layers


class Embeddings(Callback):
    """Writes what comes into the last layer for validation rows, as training ends: a point a row, with its target.

    Args:
        num_rows: at most.
    """

    in_sweeps = False

    def __init__(self, num_rows: int = 2_000) -> None:
        if num_rows < 1:
            raise ValueError(f"num_rows must be 1 or more, not {num_rows}")
        self.num_rows = num_rows

    def finish(self, trainer: Any, task: Any, data: Any) -> None:
        """Write the points of the best weights."""
        writers = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoard)]
        last = list(linear_layers(task.network).values())[-1:]
        if not writers or not last:
            return
        batch = some_rows(data, "val", task.device, self.num_rows)
        with evaluating(task), input_of(last[0]) as inputs:
            task.forward(batch)
            labels = labels_of(task, data, batch)
        for writer in writers:
            writer.add_embedding(inputs[0].float(), labels, global_step=trainer.global_step, tag="last_hidden_layer")


def labels_of(task: Any, data: TabularData, batch: Batch) -> list[str]:
    """Return the target of each row as text: its class, or its (first) number."""
    assert batch.target is not None
    if isinstance(data.target, ClassTarget):
        return [data.target.classes[index] for index in batch.target.tolist()]
    return [f"{value:.4g}" for value in task.predict(batch.target)[:, 0].tolist()]
