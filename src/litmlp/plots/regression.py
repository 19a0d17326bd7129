"""Plots that compare predicted numbers with the true ones, in the target's own units."""

import numpy as np
from matplotlib.figure import Figure

from litmlp.plots.style import BLUE, ORANGE, new_figure


def predicted_against_true(predicted: np.ndarray, true: np.ndarray, target: str, title: str) -> Figure:
    """Draw the predicted against the true value of each of N rows, with the line on which both are equal.

    Args:
        predicted: `[N]`.
        true: `[N]`.
        target: the target column's name.
        title: text that tells which rows these are.
    """
    figure, axes = new_figure(
        f"{title}: RMSE {_rounded(_rmse(predicted - true))}", f"true {target}", f"predicted {target}"
    )
    low, high = _range(np.concatenate([predicted, true]))
    axes.plot([low, high], [low, high], color="black", linewidth=1, label="equal")
    axes.scatter(true, predicted, s=9, alpha=_alpha(len(true)), color=BLUE, linewidths=0)
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.legend(frameon=False, loc="upper left")
    return figure


def residuals(predicted: np.ndarray, true: np.ndarray, target: str, title: str) -> Figure:
    """Draw each row's error against its prediction. A curve of median errors shows what is still to learn."""
    errors = predicted - true
    figure, axes = new_figure(title, f"predicted {target}", "predicted - true")
    axes.axhline(0, color="black", linewidth=1)
    axes.scatter(predicted, errors, s=9, alpha=_alpha(len(true)), color=BLUE, linewidths=0)
    order = np.argsort(predicted)
    parts = [part for part in np.array_split(order, min(20, len(order) // 10)) if len(part)] if len(order) >= 20 else []
    if parts:
        centres = [np.median(predicted[part]) for part in parts]
        axes.plot(centres, [np.median(errors[part]) for part in parts], color=ORANGE, linewidth=2, label="median")
        axes.legend(frameon=False, loc="upper left")
    axes.set(xlim=_range(predicted), ylim=_range(errors))
    return figure


def residual_histogram(predicted: np.ndarray, true: np.ndarray, target: str, title: str) -> Figure:
    """Draw a histogram of the errors, with a normal distribution of the same mean and standard deviation."""
    errors = predicted - true
    figure, axes = new_figure(title, f"predicted - true {target}", "rows")
    low, high = _range(errors)
    counts, edges = np.histogram(errors, bins=40, range=(low, high))
    axes.stairs(counts, edges, fill=True, color=BLUE)
    mean, deviation = errors.mean(), errors.std()
    if deviation > 0:
        x = np.linspace(low, high, 200)
        density = np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
        label = f"normal, mean {_rounded(mean)}, deviation {_rounded(deviation)}"
        axes.plot(x, density * len(errors) * (edges[1] - edges[0]), color=ORANGE, linewidth=1.5, label=label)
        axes.legend(frameon=False, loc="upper right", fontsize=8)
    axes.set(xlim=(low, high), ylim=(0, 1.25 * counts.max()))
    return figure


def _range(values: np.ndarray) -> tuple[float, float]:
    # Without the lowest and the highest of a thousand values: a single outlier would leave no room for the rest.
    low, high = np.quantile(values, [0.001, 0.999])
    margin = 0.04 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _rmse(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors.astype(np.float64) ** 2)))


def _alpha(num_points: int) -> float:
    return float(np.clip(60 / max(1.0, num_points**0.7), 0.15, 0.9))


def _rounded(number: float) -> str:
    return f"{number:.3g}"
