"""The callback that draws how much a network relies on each column."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from litmlp.callbacks.plotting import Plotting, sampled_rows
from litmlp.data import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_PREDICTIONS, MIN_ROWS, MAX_ROWS = 12_000, 100, 2_000  # predictions: about rows * shuffles * columns
NUM_SHUFFLES = 3
MAX_SECONDS, MIN_COLUMNS = 3.0, 20  # a table of thousands of columns has only some of them measured


class PermutationImportance(Plotting):
    """Draws, after training, the increase of the loss of validation rows when the cells of a column are shuffled.

    Source: Breiman (2001), "Random Forests". Columns with the same information share their importance.
    """

    num_while_training = 0

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether there are several columns, and at least two validation rows."""
        return len(data.inputs.columns) > 1 and len(data.tables["val"].numeric) > 1

    def draw(self, task: Any, data: Any, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield one plot."""
        from litmlp.plots.importance import importances

        num_rows = NUM_PREDICTIONS // (NUM_SHUFFLES * len(data.inputs.columns))
        batch = sampled_rows(data, "val", task.device, min(MAX_ROWS, max(MIN_ROWS, num_rows)))
        columns = data.inputs.columns
        measured = worth_measuring(task, columns, batch)
        increases = permutation_importance(task, columns, batch, measured)
        rows = f"{len(batch.numeric)} validation rows, best weights"
        if len(measured) < len(columns):
            rows += f"; the {len(measured)} of {len(columns)} columns with the largest gradients"
        yield "importance/columns", importances([columns[i].name for i in measured], increases, rows)


def worth_measuring(task: Any, columns: list[Any], batch: Batch, seconds: float = MAX_SECONDS) -> list[int]:
    """Return the indices, in ascending order, of the columns to measure, for which there are `seconds`.

    If there is no time for all columns, those with the largest effect are chosen, but at least `MIN_COLUMNS`. The
    effect is the gradient of the loss, times the standard deviation of the column's numbers. Columns with levels have
    no gradient, and are chosen first.
    """
    start = time.monotonic()
    with torch.inference_mode(False), torch.enable_grad():
        numeric = batch.numeric.clone().requires_grad_()
        output = task.forward(batch._replace(numeric=numeric))
        loss = task.mean_loss(output, batch.target, task.row_weights(batch))
        number = int(seconds / max(NUM_SHUFFLES * (time.monotonic() - start), 1e-9))
        if number >= len(columns) or not numeric.shape[1]:
            return [*range(len(columns))]
        (gradient,) = torch.autograd.grad(loss, numeric)
    input_effects = (gradient.abs().sum(dim=0) * numeric.detach().std(dim=0)).tolist()
    effects, start = [], 0  # of columns; a column has several numeric inputs, from `start` up to `end`
    for column in columns:
        end = start + len(column.numeric_names)
        effects.append(sum(input_effects[start:end]) if end > start and not column.cardinalities else float("inf"))
        start = end
    return sorted(np.argsort(effects)[::-1][: max(number, MIN_COLUMNS)].tolist())


@torch.no_grad()
def permutation_importance(
    task: Any, columns: list[Any], batch: Batch, measured: Sequence[int] | None = None, seed: int = 0
) -> np.ndarray:
    """Return the increase of the loss for each of C columns and R shuffles, `[C, R]`.

    C counts all columns, or those whose indices are in `measured`.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = task.row_weights(batch)

    def loss(rows: Batch) -> float:
        return float(task.mean_loss(task.forward(rows), rows.target, weight))

    unshuffled_loss = loss(batch)
    orders = [torch.randperm(len(batch.numeric), generator=generator) for _ in range(NUM_SHUFFLES)]
    numeric = categorical = 0  # the first encoded input of a column, of each kind
    positions = {index: i for i, index in enumerate(range(len(columns)) if measured is None else measured)}
    increases = np.zeros((len(positions), NUM_SHUFFLES))
    for index, column in enumerate(columns):
        ends = numeric + len(column.numeric_names), categorical + len(column.cardinalities)
        for shuffle, order in enumerate(orders if index in positions else ()):
            shuffled = batch._replace(numeric=batch.numeric.clone(), categorical=batch.categorical.clone())
            shuffled.numeric[:, numeric : ends[0]] = batch.numeric[order, numeric : ends[0]]
            shuffled.categorical[:, categorical : ends[1]] = batch.categorical[order, categorical : ends[1]]
            increases[positions[index], shuffle] = loss(shuffled) - unshuffled_loss
        numeric, categorical = ends
    return increases
