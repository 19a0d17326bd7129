"""How much each column matters."""

import numpy as np
from matplotlib.figure import Figure

from litmlp.plots.style import BLUE, blank, caption, clipped, plain

MAX_COLUMNS = 20


def importances(names: list[str], increases: np.ndarray, title: str) -> Figure:
    """Draw by how much the loss grows when a column's cells are shuffled.

    Args:
        names: of C columns.
        increases: `[C, R]`, for R shuffles of each.
        title: what rows these are.
    """
    means = increases.mean(axis=1)
    order = np.argsort(-means)[:MAX_COLUMNS][::-1]
    height = max(2.2, 0.9 + 0.24 * len(order))
    figure = blank(height)
    axes = figure.add_axes((0.3, 0.52 / height, 0.66, 1 - 0.95 / height))
    plain(axes)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    places = np.arange(len(order))
    low, high = increases.min(axis=1)[order], increases.max(axis=1)[order]
    axes.barh(places, means[order], color=BLUE)
    axes.hlines(places, low, high, color="black", linewidth=1)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places, [clipped(names[index], 20) for index in order], fontsize=8)
    axes.set(xlabel="growth of the loss when shuffled", ylim=(-0.6, len(order) - 0.4))
    left_out = len(names) - len(order)
    caption(figure, f"{title}, {left_out} columns left out" if left_out else title)
    return figure
