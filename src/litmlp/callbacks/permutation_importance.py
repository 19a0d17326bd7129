"""Which columns a network relies on."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from litmlp.callbacks.plotting import Plotting, some_rows
from litmlp.data import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS_IN_ALL, MIN_ROWS, MAX_ROWS = 12_000, 100, 2_000
NUM_SHUFFLES = 3
MAX_SECONDS, MIN_COLUMNS = 3.0, 20  # for a table of thousands of columns


class PermutationImportance(Plotting):
    """Draws, at the end, by how much the loss of validation rows grows when the cells of a column are shuffled.

    Source: Breiman (2001), "Random Forests". Columns that say the same share their importance.
    """

    num_while_training = 0

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether there are validation rows of several columns."""
        return len(data.inputs.columns) > 1 and len(data.tables["val"].numeric) > 1

    def draw(self, task: Any, data: Any, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield one plot."""
        from litmlp.plots.importance import importances

        num_rows = ROWS_IN_ALL // (NUM_SHUFFLES * len(data.inputs.columns))
        batch = some_rows(data, "val", task.device, min(MAX_ROWS, max(MIN_ROWS, num_rows)))
        columns = data.inputs.columns
        measured = worth_measuring(task, columns, batch)
        increases = permutation_importance(task, columns, batch, measured)
        rows = f"{len(batch.numeric)} validation rows, best weights"
        if len(measured) < len(columns):
            rows += f"; the {len(measured)} of {len(columns)} columns with the largest gradients"
        yield "importance/columns", importances([columns[i].name for i in measured], increases, rows)


def worth_measuring(task: Any, columns: list[Any], batch: Batch, seconds: float = MAX_SECONDS) -> list[int]:
    """Return the places of the columns that can be shuffled in so many seconds, in their order.

    If that is not all of them, they are those whose gradients are the largest, for a typical change of their numbers;
    columns of levels, which have none, come first.
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
    of_number = (gradient.abs().sum(dim=0) * numeric.detach().std(dim=0)).tolist()
    effects, first = [], 0
    for column in columns:
        last = first + len(column.numeric_names)
        effects.append(sum(of_number[first:last]) if last > first and not column.cardinalities else float("inf"))
        first = last
    return sorted(np.argsort(effects)[::-1][: max(number, MIN_COLUMNS)].tolist())


@torch.no_grad()
def permutation_importance(
    task: Any, columns: list[Any], batch: Batch, measured: Sequence[int] | None = None, seed: int = 0
) -> np.ndarray:
    """Return the growth of the loss for each of C columns, of all or at the places given, and R shuffles, `[C, R]`."""
    generator = torch.Generator().manual_seed(seed)
    weight = task.row_weights(batch)

    def loss(rows: Batch) -> float:
        return float(task.mean_loss(task.forward(rows), rows.target, weight))

    usual = loss(batch)
    orders = [torch.randperm(len(batch.numeric), generator=generator) for _ in range(NUM_SHUFFLES)]
    numeric = categorical = 0  # where a column's encoded cells begin
    places = {index: place for place, index in enumerate(range(len(columns)) if measured is None else measured)}
    increases = np.zeros((len(places), NUM_SHUFFLES))
    for index, column in enumerate(columns):
        ends = numeric + len(column.numeric_names), categorical + len(column.cardinalities)
        for shuffle, order in enumerate(orders if index in places else ()):
            shuffled = batch._replace(numeric=batch.numeric.clone(), categorical=batch.categorical.clone())
            shuffled.numeric[:, numeric : ends[0]] = batch.numeric[order, numeric : ends[0]]
            shuffled.categorical[:, categorical : ends[1]] = batch.categorical[order, categorical : ends[1]]
            increases[places[index], shuffle] = loss(shuffled) - usual
        numeric, categorical = ends
    return increases
