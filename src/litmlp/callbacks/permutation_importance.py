"""The callback that draws how much a network relies on each column."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from litmlp.callbacks.plotting import Plotting, sampled_rows
from litmlp.data import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_PREDICTIONS, MIN_ROWS, MAX_ROWS = 12_000, 100, 2_000  # predictions: about rows * shuffles * columns
NUM_SHUFFLES = 3
Positions = dict[str, tuple[list[int], list[int]]]  # see Inputs.positions_by_name
MAX_SECONDS, MIN_COLUMNS = 3.0, 20  # a table of thousands of columns has only some of them measured


class PermutationImportance(Plotting):
    """Draws, after training, the increase of the loss of validation rows when the cells of a column are shuffled.

    Source: Breiman (2001), "Random Forests". Columns with the same information share their importance.
    """

    num_while_training = 0

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether there are several columns, and at least two validation rows that no network has learned."""
        is_unlearned = "val" in getattr(task.network, "common_splits", ["val"])
        return is_unlearned and len(data.inputs.indices_by_name()) > 1 and len(data.tables["val"].numeric) > 1

    def draw(self, task: Any, data: Any, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield one plot."""
        from litmlp.plots.importance import importances

        positions = data.inputs.positions_by_name()
        num_rows = NUM_PREDICTIONS // (NUM_SHUFFLES * len(positions))
        batch = sampled_rows(data, "val", task.device, min(MAX_ROWS, max(MIN_ROWS, num_rows)))
        measured = worth_measuring(task, positions, batch)
        increases = permutation_importance(task, {name: positions[name] for name in measured}, batch)
        rows = f"{len(batch.numeric)} validation rows, best weights"
        if len(measured) < len(positions):
            rows += f"; the {len(measured)} of {len(positions)} columns with the largest gradients"
        yield "importance/columns", importances(measured, increases, rows)


def worth_measuring(task: Any, positions: Positions, batch: Batch, seconds: float = MAX_SECONDS) -> list[str]:
    """Return the names of the columns to measure, in the order of the table, for which there are `seconds`.

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
        if number >= len(positions) or not numeric.shape[1]:
            return list(positions)
        (gradient,) = torch.autograd.grad(loss, numeric)
    of_inputs = (gradient.abs().sum(dim=0) * numeric.detach().std(dim=0)).tolist()
    effects = {
        name: float("inf") if codes else sum(of_inputs[index] for index in indices)
        for name, (indices, codes) in positions.items()
    }
    chosen = set(sorted(effects, key=effects.__getitem__, reverse=True)[: max(number, MIN_COLUMNS)])
    return [name for name in positions if name in chosen]


@torch.no_grad()
def permutation_importance(task: Any, positions: Positions, batch: Batch, seed: int = 0) -> np.ndarray:
    """Return the increase of the loss for each of C columns and R shuffles, `[C, R]`.

    Args:
        task: in evaluation mode.
        positions: of the columns to shuffle, see `Inputs.positions_by_name`.
        batch: rows with targets.
        seed: of the shuffles.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = task.row_weights(batch)

    def loss(rows: Batch) -> float:
        return float(task.mean_loss(task.forward(rows), rows.target, weight))

    unshuffled_loss = loss(batch)
    orders = [torch.randperm(len(batch.numeric), generator=generator) for _ in range(NUM_SHUFFLES)]
    increases = np.zeros((len(positions), NUM_SHUFFLES))
    for row, (numeric, codes) in enumerate(positions.values()):
        for shuffle, order in enumerate(orders):
            shuffled = batch._replace(numeric=batch.numeric.clone(), categorical=batch.categorical.clone())
            shuffled.numeric[:, numeric] = batch.numeric[order][:, numeric]
            shuffled.categorical[:, codes] = batch.categorical[order][:, codes]
            increases[row, shuffle] = loss(shuffled) - unshuffled_loss
    return increases
