"""Plots of a fitted curve and of the units that make it up."""

import numpy as np
from matplotlib.figure import Figure

from litmlp.plots.style import BLUE, GREY, ORANGE, new_figure

MAX_PIECES = 24


def fit(
    x: np.ndarray, predicted: np.ndarray, true: np.ndarray, points: tuple[np.ndarray, np.ndarray], title: str
) -> Figure:
    """Draw the network's curve over the function and the training rows drawn from it.

    Args:
        x: `[N]`, ascending.
        predicted: the network's predictions, `[N]`.
        true: the function without noise, `[N]`.
        points: x and y of the training rows.
        title: text that tells which weights these are, such as the epoch.
    """
    rmse = float(np.sqrt(np.mean((predicted - true) ** 2)))
    figure, axes = new_figure(f"{title}: RMSE {rmse:.3g}", "x", "y")
    axes.scatter(*points, s=8, color=GREY, alpha=0.5, linewidths=0, label="training rows")
    axes.plot(x, true, color="black", linewidth=1.2, linestyle="--", label="the function")
    axes.plot(x, predicted, color=BLUE, linewidth=2, label="the network")
    spread = float(np.ptp(true)) or 1.0
    axes.set(xlim=(x[0], x[-1]), ylim=(true.min() - 0.35 * spread, true.max() + 0.5 * spread))
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=3, columnspacing=1)
    return figure


def pieces(x: np.ndarray, parts: np.ndarray, predicted: np.ndarray, title: str) -> Figure:
    """Draw the curve that each unit of the last hidden layer adds to the network's curve.

    Args:
        x: `[N]`, ascending.
        parts: the curves of U units, `[N, U]`; `predicted` is their sum and a constant.
        predicted: the network's predictions, `[N]`.
        title: text that tells which weights these are, such as the epoch.
    """
    order = np.argsort(-np.ptp(parts, axis=0))
    shown = order[:MAX_PIECES]
    prefix = "" if len(shown) == len(order) else f"the {len(shown)} largest of "
    figure, axes = new_figure(f"{title}: {prefix}{len(order)} units", "x", "y")
    axes.plot(x, parts[:, shown], color=ORANGE, linewidth=0.9, alpha=0.6)
    axes.plot([], [], color=ORANGE, linewidth=0.9, label="what a unit adds")
    if len(shown) < len(order):
        axes.plot(x, parts[:, order[MAX_PIECES:]].sum(axis=1), color=GREY, linewidth=1.5, label="all other units")
    axes.plot(x, predicted, color=BLUE, linewidth=2, label="their sum: the network")
    axes.set_xlim(x[0], x[-1])
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.2 * (high - low))
    return figure
