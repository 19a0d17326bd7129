"""Plots of a sweep: the scores of its runs, and how they depend on hyperparameters."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from litmlp.plots.style import BLUE, GREY, ORANGE, clipped, plain

LOG_RATIO = 20  # of the largest to the smallest value; from this ratio up, an axis is logarithmic


class Axis:
    """The axis of a config key, with the position of each group of runs along it.

    Args:
        name: the key's name.
        texts: the key's value for each group, as text.

    Attributes:
        positions: numbers or their logarithms; for values that are not numbers, their indices in sorted order.
        labels: position and text of each tick.
    """

    def __init__(self, name: str, texts: Sequence[str]) -> None:
        numbers = [_number(text) for text in texts]
        known = [number for number in numbers if number is not None]
        self.is_numeric = len(known) == len(texts) and len(set(known)) > 1  # all are numbers, and not all the same
        if not self.is_numeric:
            names = sorted(set(texts))
            self.name = name
            self.positions = [float(names.index(text)) for text in texts]
            self.labels = [(float(index), clipped(name)) for index, name in enumerate(names)]
            return
        is_log = min(known) > 0 and max(known) / min(known) >= LOG_RATIO
        self.name = f"{name}, log" if is_log else name
        self.positions = [math.log10(number) if is_log else number for number in known]
        distinct = sorted(set(self.positions))
        ticks = distinct if len(distinct) <= 5 else [float(x) for x in np.linspace(distinct[0], distinct[-1], 4)]
        self.labels = [(tick, f"{10**tick if is_log else tick:.3g}") for tick in ticks]


def best_so_far(scores: Sequence[float], metric: str, mode: str) -> Figure:
    """Draw the scores of runs, in the order in which they ended, and the best score up to each of them."""
    best = np.minimum.accumulate(scores) if mode == "min" else np.maximum.accumulate(scores)
    figure, axis = _figure(7, 4)
    order = np.arange(1, len(scores) + 1)
    low, high = _range(scores, mode)
    axis.scatter(order, np.clip(scores, low, high), s=22, color=GREY, label="a run", zorder=2)
    axis.step(order, best, where="post", color=BLUE, linewidth=2, label="the best so far", zorder=3)
    axis.set(xlabel="runs, in the order of their ends", ylabel=metric)
    _limit(axis, scores, mode)
    axis.legend(frameon=False)
    return figure


def hyperparameters(axes: Sequence[Axis], means: Sequence[float], metric: str, mode: str) -> Figure:
    """Draw the mean score of each group of runs against each key. The first group is the best one."""
    columns = min(3, len(axes))
    rows = math.ceil(len(axes) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.9 * rows), layout="constrained")
    for index, axis in enumerate(axes, 1):
        plot = figure.add_subplot(rows, columns, index)
        plain(plot)
        plot.scatter(
            axis.positions,
            np.clip(means, *_range(means, mode)),
            s=24,
            color=BLUE,
            alpha=0.75,
            edgecolors="white",
            linewidths=0.5,
        )
        plot.scatter(axis.positions[:1], means[:1], s=60, color=ORANGE, zorder=3, label="best")
        plot.set_xticks([tick for tick, _ in axis.labels], [label for _, label in axis.labels])
        longest = max(len(label) for _, label in axis.labels)
        if longest > 8:
            plot.tick_params(axis="x", rotation=30)
        plot.set_xlabel(axis.name)
        _limit(plot, means, mode)
        if index == 1:
            plot.legend(frameon=False)
        if (index - 1) % columns == 0:
            plot.set_ylabel(metric)
    return figure


def parallel_coordinates(axes: Sequence[Axis], means: Sequence[float], metric: str, mode: str) -> Figure:
    """Draw each group of runs as a line through its values to its mean score. The first group is the best one.

    A better group has a darker line.
    """
    scores = np.array(means)
    figure, plot = _figure(max(7.0, 1.5 * (len(axes) + 1)), 4.2)
    ranks = np.argsort(np.argsort(scores if mode == "min" else -scores))
    colours = colormaps["viridis"](0.9 * ranks / max(1, len(means) - 1))
    shown = np.clip(means, *_range(means, mode))
    heights = [_scaled(axis.positions) for axis in axes] + [_scaled(shown)]
    for index in reversed(range(len(means))):  # the best on top
        line = [height[index] for height in heights]
        plot.plot(line, color=colours[index], linewidth=2.5 if index == 0 else 1.0, alpha=1.0 if index == 0 else 0.6)
    for index, axis in enumerate(axes):
        low, high = min(axis.positions), max(axis.positions)
        for tick, label in axis.labels:
            height = (tick - low) / (high - low) if high > low else 0.5
            plot.text(index + 0.03, height, label, fontsize=8, va="center", backgroundcolor="#ffffffaa")
    for height, value in ((0.0, shown.min()), (1.0, shown.max())):
        plot.text(len(axes) + 0.03, height, f"{value:.4g}", fontsize=8, va="center")
    plot.set_xticks(range(len(axes) + 1), [*(axis.name for axis in axes), metric], rotation=20, ha="right")
    plot.set_yticks([])
    plot.grid(axis="x", color=GREY, linewidth=1)
    plot.spines[:].set_visible(False)
    plot.margins(x=0.08)
    return figure


def importance_bars(fractions: dict[str, float], metric: str) -> Figure:
    """Draw the importance of each key for the metric, as a fraction."""
    figure, axis = _figure(6, 0.9 + 0.4 * len(fractions))
    names = list(fractions)
    bars = axis.barh(names[::-1], list(fractions.values())[::-1], color=BLUE)
    axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
    axis.set(xlabel=f"importance for {metric}, by PED-ANOVA", xlim=(0, 1.1 * max(fractions.values())))
    return figure


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _range(scores: Sequence[float] | np.ndarray, mode: str) -> tuple[float, float]:
    """Return the limits of the score's axis. Scores far worse than the median are drawn at the edge."""
    low, middle, high = np.percentile(scores, [0, 50, 100])
    if mode == "min":
        return low, min(high, middle + 3 * (middle - low)) if middle > low else high
    return (max(low, middle - 3 * (high - middle)) if high > middle else low), high


def _limit(axis: Axes, scores: Sequence[float], mode: str) -> None:
    low, high = _range(scores, mode)
    if high > low:
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _scaled(positions: Sequence[float] | np.ndarray) -> np.ndarray:
    numbers = np.asarray(positions, dtype=float)
    spread = numbers.max() - numbers.min()
    return (numbers - numbers.min()) / spread if spread > 0 else np.full_like(numbers, 0.5)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.add_subplot()
    plain(axis)
    return figure, axis
