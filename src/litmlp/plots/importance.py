"""A plot of how much each column matters."""

import numpy as np
from matplotlib.figure import Figure

from litmlp.plots.style import BLUE, blank, caption, clipped, plain

MAX_COLUMNS = 20


def importances(names: list[str], increases: np.ndarray, title: str) -> Figure:
    """Draw the mean increase of the loss when a column's cells are shuffled, with its range over the shuffles.

    Args:
        names: names of C columns; the `MAX_COLUMNS` with the largest increases are drawn.
        increases: increases of the loss, `[C, R]`, for R shuffles of each column.
        title: text that tells which rows these are.
    """
    means = increases.mean(axis=1)
    order = np.argsort(-means)[:MAX_COLUMNS][::-1]
    height = max(2.2, 0.9 + 0.24 * len(order))
    figure = blank(height)
    axes = figure.add_axes((0.3, 0.52 / height, 0.66, 1 - 0.95 / height))
    plain(axes)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    positions = np.arange(len(order))
    low, high = increases.min(axis=1)[order], increases.max(axis=1)[order]
    axes.barh(positions, means[order], color=BLUE)
    axes.hlines(positions, low, high, color="black", linewidth=1)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(positions, [clipped(names[index], 20) for index in order], fontsize=8)
    axes.set(xlabel="growth of the loss when shuffled", ylim=(-0.6, len(order) - 0.4))
    num_omitted = len(names) - len(order)
    caption(figure, f"{title}, {num_omitted} columns left out" if num_omitted else title)
    return figure
