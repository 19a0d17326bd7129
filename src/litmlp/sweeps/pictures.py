"""Pictures of a sweep: how the score went, and what it depends on."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from litmlp.pictures.style import BLUE, GREY, ORANGE, clipped, plain
from litmlp.sweeps.words import brief, short_names

if TYPE_CHECKING:
    from litmlp.report import Group, Report

MOST_AXES = 12
LOG_RATIO = 20  # of the largest to the smallest value, from which on they are drawn by their logarithms


class Axis:
    """A key as positions along an axis.

    Args:
        name: what it is called.
        texts: its value for each group.

    Attributes:
        positions: numbers, or their logarithms, or places in the order of the values' names.
        labels: place and text of each tick.
    """

    def __init__(self, name: str, texts: Sequence[str]) -> None:
        numbers = [_number(text) for text in texts]
        known = [number for number in numbers if number is not None]
        self.is_numeric = len(known) == len(texts) and len(set(known)) > 1
        if not self.is_numeric:
            names = sorted(set(texts))
            self.name = name
            self.positions = [float(names.index(text)) for text in texts]
            self.labels = [(float(index), clipped(name)) for index, name in enumerate(names)]
            return
        is_log = min(known) > 0 and max(known) / min(known) >= LOG_RATIO
        self.name = f"{name}, log" if is_log else name
        self.positions = [math.log10(number) if is_log else number for number in known]
        few = sorted(set(self.positions))
        ticks = few if len(few) <= 5 else [float(tick) for tick in np.linspace(few[0], few[-1], 4)]
        self.labels = [(tick, brief(f"{10**tick if is_log else tick:.3g}")) for tick in ticks]


def draw(report: "Report", folder: Path) -> list[Path]:
    """Draw what a report shows; return the pictures' files."""
    axes = axes_of(report)
    figures = {"best_so_far": best_so_far(report)}
    if axes and len(report.groups) > 1:
        figures["hyperparameters"] = hyperparameters(report, axes)
        figures["parallel_coordinates"] = parallel_coordinates(report, axes)
        if (shares := importances(report)) is not None:
            figures["importances"] = importance_bars(report, shares)
    files = []
    for name, figure in figures.items():
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], dpi=110)
    return files


def axes_of(report: "Report") -> list[Axis]:
    """Return an axis for each of the first keys in which the groups differ."""
    texts = zip(short_names(report.keys), _texts(report), strict=True)
    return [Axis(name, column) for name, column in texts][:MOST_AXES]


def best_so_far(report: "Report") -> Figure:
    """Draw each run's score in the order of their ends, and the best up to then."""
    runs = sorted((run for group in report.groups for run in group.runs), key=lambda run: run.ended)
    scores = [run.metrics[report.metric] for run in runs]
    best = np.minimum.accumulate(scores) if report.mode == "min" else np.maximum.accumulate(scores)
    figure, axis = _figure(7, 4)
    order = np.arange(1, len(scores) + 1)
    low, high = _range(scores, report.mode)
    axis.scatter(order, np.clip(scores, low, high), s=22, color=GREY, label="a run", zorder=2)
    axis.step(order, best, where="post", color=BLUE, linewidth=2, label="the best so far", zorder=3)
    axis.set(xlabel="runs, in the order of their ends", ylabel=report.metric)
    _limit(axis, scores, report.mode)
    axis.legend(frameon=False)
    return figure


def hyperparameters(report: "Report", axes: Sequence[Axis]) -> Figure:
    """Draw the score against each key."""
    columns = min(3, len(axes))
    rows = math.ceil(len(axes) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.9 * rows), layout="constrained")
    means = [group.mean for group in report.groups]
    for index, axis in enumerate(axes, 1):
        plot = figure.add_subplot(rows, columns, index)
        plain(plot)
        plot.scatter(
            axis.positions,
            np.clip(means, *_range(means, report.mode)),
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
        _limit(plot, means, report.mode)
        if index == 1:
            plot.legend(frameon=False)
        if (index - 1) % columns == 0:
            plot.set_ylabel(report.metric)
    return figure


def parallel_coordinates(report: "Report", axes: Sequence[Axis]) -> Figure:
    """Draw each group as a line through its values, to its score; the better, the darker."""
    means = np.array([group.mean for group in report.groups])
    figure, plot = _figure(max(7.0, 1.5 * (len(axes) + 1)), 4.2)
    ranks = np.argsort(np.argsort(means if report.mode == "min" else -means))
    colours = colormaps["viridis"](0.9 * ranks / max(1, len(means) - 1))
    shown = np.clip(means, *_range(means, report.mode))
    heights = [_scaled(axis.positions) for axis in axes] + [_scaled(shown)]
    for index in reversed(range(len(means))):  # the best on top
        line = [height[index] for height in heights]
        plot.plot(line, color=colours[index], linewidth=2.5 if index == 0 else 1.0, alpha=1.0 if index == 0 else 0.6)
    for place, axis in enumerate(axes):
        low, high = min(axis.positions), max(axis.positions)
        for tick, label in axis.labels:
            height = (tick - low) / (high - low) if high > low else 0.5
            plot.text(place + 0.03, height, label, fontsize=8, va="center", backgroundcolor="#ffffffaa")
    for height, value in ((0.0, shown.min()), (1.0, shown.max())):
        plot.text(len(axes) + 0.03, height, f"{value:.4g}", fontsize=8, va="center")
    plot.set_xticks(range(len(axes) + 1), [*(axis.name for axis in axes), report.metric], rotation=20, ha="right")
    plot.set_yticks([])
    plot.grid(axis="x", color=GREY, linewidth=1)
    plot.spines[:].set_visible(False)
    plot.margins(x=0.08)
    return figure


def importances(report: "Report") -> dict[str, float] | None:
    """Return each key's share in whether a run is among the better ones, by PED-ANOVA; None where that cannot be told.

    Source: Watanabe, Bansal and Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
    Arbitrary Subspaces", as Optuna computes it.
    """
    try:
        import optuna
    except ImportError:
        return None
    distributions: dict[str, optuna.distributions.BaseDistribution] = {}
    values: dict[str, Sequence[float | str]] = {}
    for key, texts in zip(report.keys, _texts(report), strict=True):
        axis = Axis(key, texts)
        if axis.is_numeric:
            values[key] = axis.positions
            distributions[key] = optuna.distributions.FloatDistribution(min(axis.positions), max(axis.positions))
        elif len(set(texts)) > 1:
            values[key] = texts
            distributions[key] = optuna.distributions.CategoricalDistribution(sorted(set(texts)))
    if len(report.groups) < 4 or len(distributions) < 2:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize" if report.mode == "min" else "maximize")
    for index, group in enumerate(report.groups):
        params = {key: column[index] for key, column in values.items()}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=group.mean))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


def importance_bars(report: "Report", shares: dict[str, float]) -> Figure:
    """Draw the importance of each key."""
    figure, axis = _figure(6, 0.9 + 0.4 * len(shares))
    names = short_names(list(shares))
    bars = axis.barh(names[::-1], list(shares.values())[::-1], color=BLUE)
    axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
    axis.set(xlabel=f"importance for {report.metric}, by PED-ANOVA", xlim=(0, 1.1 * max(shares.values())))
    return figure


def _texts(report: "Report") -> list[list[str]]:
    def of(group: "Group", key: str) -> str:
        return group.values.get(key, "-")

    return [[of(group, key) for group in report.groups] for key in report.keys]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _range(scores: Sequence[float] | np.ndarray, mode: str) -> tuple[float, float]:
    """Return the limits of what is worth seeing; runs that went wrong, far off, are drawn at the edge."""
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
