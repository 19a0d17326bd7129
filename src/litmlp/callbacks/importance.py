"""Which columns a network relies on."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from litmlp.callbacks.pictures import Pictures, some_rows
from litmlp.data import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS_IN_ALL, FEWEST_ROWS, MOST_ROWS = 12_000, 100, 2_000
NUM_SHUFFLES = 3


class Importance(Pictures):
    """Draws, at the end, by how much the loss of validation rows grows when the cells of a column are shuffled.

    Source: Breiman (2001), "Random Forests". Columns that say the same share their importance.
    """

    num_while_training = 0

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether there are validation rows of several columns."""
        return len(data.inputs.columns) > 1 and len(data.tables["val"].numeric) > 1

    def draw(self, task: Any, data: Any, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield one picture."""
        from litmlp.pictures.importance import importances

        num_rows = ROWS_IN_ALL // (NUM_SHUFFLES * len(data.inputs.columns))
        batch = some_rows(data, "val", task.device, min(MOST_ROWS, max(FEWEST_ROWS, num_rows)))
        increases = permutation_importance(task, data.inputs.columns, batch)
        names = [column.name for column in data.inputs.columns]
        rows = f"{len(batch.numeric)} validation rows, best weights"
        yield "importance/columns", importances(names, increases, rows)


@torch.no_grad()
def permutation_importance(task: Any, columns: list[Any], batch: Batch, seed: int = 0) -> np.ndarray:
    """Return the growth of the loss for each of C columns and several shuffles, `[C, R]`."""
    generator = torch.Generator().manual_seed(seed)
    weight = task.row_weights(batch)

    def loss(rows: Batch) -> float:
        return float(task.mean_loss(task.forward(rows), rows.target, weight))

    usual = loss(batch)
    orders = [torch.randperm(len(batch.numeric), generator=generator) for _ in range(NUM_SHUFFLES)]
    increases = np.zeros((len(columns), NUM_SHUFFLES))
    numeric = categorical = 0  # where a column's encoded cells begin
    for index, column in enumerate(columns):
        ends = numeric + len(column.numeric_names), categorical + len(column.cardinalities)
        for shuffle, order in enumerate(orders):
            shuffled = batch._replace(numeric=batch.numeric.clone(), categorical=batch.categorical.clone())
            shuffled.numeric[:, numeric : ends[0]] = batch.numeric[order, numeric : ends[0]]
            shuffled.categorical[:, categorical : ends[1]] = batch.categorical[order, categorical : ends[1]]
            increases[index, shuffle] = loss(shuffled) - usual
        numeric, categorical = ends
    return increases
