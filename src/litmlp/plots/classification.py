"""Plots that compare class probabilities with the true classes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from litmlp.plots.style import BLUE, COLOURS, GREY, ORANGE, blank, caption, clipped, new_figure, plain

MAX_WITH_NUMBERS, MAX_WITH_NAMES, MAX_CURVES = 12, 30, 8  # numbers of classes
NUM_BINS = 15  # of confidence
MAX_POINTS = 400  # of a curve, about


class Calibration(NamedTuple):
    """The accuracy of predictions with similar confidence.

    Attributes:
        confidence: the mean probability of the likeliest class, in each bin that has rows.
        accuracy: the fraction of a bin's rows whose likeliest class is the true one.
        counts: the number of rows in each bin.
        error: the mean difference between confidence and accuracy over all rows.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray
    error: float


def confusion(probability: np.ndarray, true: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Draw the confusion matrix: for each true and predicted class, the number of rows and the fraction of true ones.

    Args:
        probability: `[N, K]`.
        true: class indices, `[N]`.
        classes: K names.
        title: text that tells which rows these are.
    """
    size = len(classes)
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (true, probability.argmax(axis=1)), 1)
    fractions = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    accuracy = counts.trace() / max(1, counts.sum())
    figure, axes = new_figure(f"{title}: {accuracy:.1%} right", "predicted", "true")
    axes.set_position((0.24, 0.24, 0.7, 0.68))
    axes.grid(False)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if size <= MAX_WITH_NUMBERS:
        font = 10 if size <= 4 else 8 if size <= 7 else 6
        for row, column in np.ndindex(counts.shape):
            text = f"{counts[row, column]}\n{fractions[row, column]:.0%}" if size <= 7 else str(counts[row, column])
            colour = "white" if fractions[row, column] > 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=font)
    if size <= MAX_WITH_NAMES:
        names = [clipped(name) for name in classes]
        font = 9 if size <= 12 else 6
        is_long = size > 4 or max(map(len, names)) > 8
        axes.set_xticks(range(size), names, rotation=35 if is_long else 0, ha="right" if is_long else "center")
        axes.set_yticks(range(size), names)
        axes.tick_params(labelsize=font, length=0)
    return figure


def roc(probability: np.ndarray, true: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Draw each class's ROC curve: true positive rate against false positive rate, at each threshold."""
    figure, axes = new_figure(title, "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    for index, colour in shown_classes(true, classes):
        hits, misses = _found(probability[:, index], true == index)
        x, y = misses / misses[-1], hits / hits[-1]
        axes.plot(*_thinned(x, y), color=colour, label=f"{clipped(classes[index])}: {np.trapezoid(y, x):.3f}")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(frameon=False, loc="lower right", title="area under it", fontsize=8, title_fontsize=8)
    return figure


def precision_recall(probability: np.ndarray, true: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Draw each class's precision against its recall, at each threshold."""
    figure, axes = new_figure(title, "recall", "precision")
    for index, colour in shown_classes(true, classes):
        hits, misses = _found(probability[:, index], true == index)
        recall, precision = hits[1:] / hits[-1], hits[1:] / (hits[1:] + misses[1:])
        average = float(np.sum(np.diff(recall, prepend=0.0) * precision))
        axes.plot(*_thinned(recall, precision), color=colour, label=f"{clipped(classes[index])}: {average:.3f}")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(frameon=False, loc="lower left", title="average precision", fontsize=8, title_fontsize=8)
    return figure


def calibration(curves: Mapping[str, np.ndarray], true: np.ndarray, title: str) -> Figure:
    """Draw the accuracy of predictions against their confidence, above a histogram of the confidence.

    A point stands for a bin of confidence; the line through it is the 95 % interval of its accuracy.

    Args:
        curves: probabilities, `[N, K]`, by a label that tells how they were found; at most two.
        true: class indices, `[N]`.
        title: text that tells which rows these are.
    """
    figure = blank()
    caption(figure, title)
    upper = figure.add_axes((0.17, 0.4, 0.8, 0.51))
    lower = figure.add_axes((0.17, 0.12, 0.8, 0.2))
    plain(upper)
    plain(lower)
    low = min(1 / probability.shape[1] for probability in curves.values())
    upper.plot([low, 1], [low, 1], color=GREY, linewidth=1, linestyle="--")
    for (label, probability), colour in zip(curves.items(), (ORANGE, BLUE)[-len(curves) :], strict=True):
        result = calibration_of(probability, true)
        sizes, label = 12 + 90 * result.counts / len(true), f"{label}: {result.error:.3f}"
        upper.vlines(
            result.confidence, *interval(result.accuracy, result.counts), color=colour, linewidth=1.5, alpha=0.4
        )
        upper.scatter(result.confidence, result.accuracy, s=sizes, color=colour, linewidth=0, zorder=3, label=label)
        lower.hist(probability.max(axis=1), bins=NUM_BINS, range=(low, 1), color=colour, histtype="step", linewidth=1.5)
    upper.set(ylabel="accuracy", xlim=(low - 0.02, 1.02), ylim=(-0.04, 1.04))
    upper.tick_params(labelbottom=False)
    legend = upper.legend(loc="lower right", title="mean distance from the diagonal", fontsize=8, title_fontsize=8)
    legend.get_frame().set(edgecolor="none", alpha=0.8)  # points may lie behind it
    lower.set(xlabel="probability of the likeliest class", ylabel="rows", xlim=(low - 0.02, 1.02))
    return figure


def interval(fraction: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 95 % interval of a probability, from the fraction of so many rows (Wilson 1927)."""
    z = 1.96
    centre = (fraction + z**2 / (2 * counts)) / (1 + z**2 / counts)
    half = z / (1 + z**2 / counts) * np.sqrt(fraction * (1 - fraction) / counts + z**2 / (4 * counts**2))
    return centre - half, centre + half


def calibration_of(probability: np.ndarray, true: np.ndarray) -> Calibration:
    """Return accuracy and confidence in bins of equal width, and the expected calibration error.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks".
    """
    confidence, is_right = probability.max(axis=1), probability.argmax(axis=1) == true
    low = 1 / probability.shape[1]  # the likeliest of K classes has a probability of at least 1 / K
    bins = np.clip(((confidence - low) / (1 - low) * NUM_BINS).astype(int), 0, NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    has_rows = counts > 0
    confidences = np.bincount(bins, confidence, NUM_BINS)[has_rows] / counts[has_rows]
    accuracies = np.bincount(bins, is_right, NUM_BINS)[has_rows] / counts[has_rows]
    error = float(np.sum(counts[has_rows] * np.abs(confidences - accuracies)) / len(true))
    return Calibration(confidences, accuracies, counts[has_rows], error)


def shown_classes(true: np.ndarray, classes: Sequence[str]) -> list[tuple[int, str]]:
    """Return the indices and colours of the classes to draw.

    Of two classes, it is the second; of more than `MAX_CURVES`, the most frequent ones. A class is drawn only if it has
    rows and other classes have rows, too.
    """
    counts = np.bincount(true, minlength=len(classes))
    possible = [index for index in range(len(classes)) if 0 < counts[index] < len(true)]
    if len(classes) == 2:
        possible = possible[-1:]
    frequent = sorted(sorted(possible, key=lambda index: -counts[index])[:MAX_CURVES])
    return list(zip(frequent, COLOURS, strict=False))


def _found(score: np.ndarray, is_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of rows in the class, and of other rows, whose score reaches a threshold.

    There is one number for each distinct score as threshold, from the highest; the first number is 0.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # the last row of each distinct score
    hits = np.cumsum(is_positive[order])[ends]
    return np.append(0, hits), np.append(0, ends + 1 - hits)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(x) <= MAX_POINTS:
        return x, y
    index = np.unique(  # evenly spread, and more of the first ones, where curves are steep
        np.concatenate([np.linspace(0, len(x) - 1, MAX_POINTS).astype(int), np.geomspace(1, 50, 30).astype(int)])
    )
    return x[index], y[index]
