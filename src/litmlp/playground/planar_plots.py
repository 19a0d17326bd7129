"""Plots of a network's predictions over the plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from litmlp.plots.style import COLOURS, blank, caption

Extent = tuple[float, float, float, float]  # x1 from, to; x2 from, to
Points = dict[str, tuple[np.ndarray, np.ndarray]]  # by split: positions [N, 2], and classes or values [N]

SIGNED = LinearSegmentedColormap.from_list("signed", [COLOURS[1], "white", COLOURS[0]], bad="#bbbbbb")  # low to high


def regions(probability: np.ndarray, extent: Extent, points: Points, classes: Sequence[str], title: str) -> Figure:
    """Draw the likeliest class over the plane, with training and test points. Colours are paler for less confidence.

    Args:
        probability: `[H, W, K]` over the plane, from the lowest x2 up.
        extent: extent of the plane.
        points: points of the splits `train` and `test`, with class indices.
        classes: K names.
        title: text that tells which weights these are, such as the epoch.
    """
    figure, axes = _plane(title)
    colours = np.array([to_rgb(colour) for colour in _cycled_colours(len(classes))])
    # 0 if all classes have the same probability, 1 if one class has all of it
    confidence = np.clip((probability.max(axis=-1, keepdims=True) * len(classes) - 1) / (len(classes) - 1), 0, 1)
    blended = 1 - 0.55 * confidence * (1 - probability @ colours)
    axes.imshow(blended, origin="lower", extent=extent, interpolation="bilinear", aspect="auto")
    for index, (name, colour) in enumerate(zip(classes, _cycled_colours(len(classes)), strict=True)):
        of_class = {split: positions[labels == index] for split, (positions, labels) in points.items()}
        _scatter(axes, of_class, colour, name)
    _legend(axes)
    _limit(axes, extent)
    return figure


def surface(value: np.ndarray, extent: Extent, points: Points, target: str, title: str) -> Figure:
    """Draw the predicted value over the plane, `[H, W]`, and the points' true values, with the same colour scale."""
    figure, axes = _plane(title, with_bar=True)
    all_values = np.concatenate([value.ravel(), *(values for _, values in points.values())])
    limit = float(np.abs(all_values - np.median(all_values)).max()) or 1.0
    limits = {"vmin": np.median(all_values) - limit, "vmax": np.median(all_values) + limit, "cmap": SIGNED}
    image = axes.imshow(value, origin="lower", extent=extent, interpolation="bilinear", aspect="auto", **limits)
    axes.contour(value, levels=8, extent=extent, colors="black", linewidths=0.5, alpha=0.5)
    for split, (positions, values) in points.items():
        edge, size = ("black", 22) if split == "test" else ("none", 8)
        axes.scatter(positions[:, 0], positions[:, 1], c=values, s=size, edgecolors=edge, linewidths=0.5, **limits)
    figure.colorbar(image, cax=figure.add_axes((0.79, 0.12, 0.03, 0.79)), label=target)
    _limit(axes, extent)
    return figure


def errors(predicted: np.ndarray, extent: Extent, points: Points, target: str, title: str) -> Figure:
    """Draw the error of each test point; `predicted` holds its predicted value, `[N]`."""
    positions, true = points["test"]
    error = predicted - true
    rmse = float(np.sqrt(np.mean(error**2)))
    figure, axes = _plane(f"{title}: test RMSE {rmse:.3g}", with_bar=True)
    limit = float(np.abs(error).max()) or 1.0
    scatter = axes.scatter(
        positions[:, 0],
        positions[:, 1],
        c=error,
        cmap=SIGNED,
        vmin=-limit,
        vmax=limit,
        s=26,
        edgecolors="#666666",
        linewidths=0.4,
    )
    figure.colorbar(scatter, cax=figure.add_axes((0.79, 0.12, 0.03, 0.79)), label=f"predicted - true {target}")
    _limit(axes, extent)
    return figure


def units(layers: dict[str, np.ndarray], title: str) -> Figure:
    """Draw the output of single units over the plane. Each unit has its own colour scale; an output of 0 is white.

    Args:
        layers: outputs by the layers' labels, `[H, W, U]` each, from the lowest x2 up.
        title: text that tells which weights these are, such as the epoch.
    """
    columns = max(min(8, max(values.shape[-1] for values in layers.values())), 4)
    rows = [-(-values.shape[-1] // columns) for values in layers.values()]
    cell, label, top = 4.6 / columns, 0.26, 0.3  # inches
    height = top + sum(label + count * cell for count in rows) + 0.08
    figure = blank(height)
    caption(figure, title)
    y = height - top
    for (name, values), count in zip(layers.items(), rows, strict=True):
        y -= label + count * cell
        axes = figure.add_axes((0.1 / 4.8, y / height, 4.6 / 4.8, count * cell / height))
        axes.imshow(_tiled(values, columns), cmap=SIGNED, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
        figure.text(0.1 / 4.8, (y + count * cell + 0.05) / height, name, fontsize=9)
    return figure


def _tiled(values: np.ndarray, columns: int) -> np.ndarray:
    # One array with the maps of all units, because one image is drawn faster than many. The highest x2 is on top, and
    # NaN fills the gaps between maps.
    height, width, num_units = values.shape
    largest = np.abs(values).max(axis=(0, 1))
    scaled = np.flipud(values / np.where(largest > 0, largest, 1))
    gap = max(1, width // 20)
    tiles = np.full((-(-num_units // columns) * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for index in range(num_units):
        row, column = divmod(index, columns)
        y, x = row * (height + gap), column * (width + gap)
        tiles[y : y + height, x : x + width] = scaled[..., index]
    return tiles


def _plane(title: str, with_bar: bool = False) -> tuple[Figure, Axes]:
    figure = blank(4.4)
    caption(figure, title)
    axes = figure.add_axes((0.12, 0.12, 0.64 if with_bar else 0.85, 0.79))
    axes.set(xlabel="x1", ylabel="x2")
    return figure, axes


def _scatter(axes: Axes, positions: dict[str, np.ndarray], colour: str, name: str) -> None:
    if "train" in positions:
        x1, x2 = positions["train"].T
        axes.scatter(x1, x2, s=7, color=colour, alpha=0.5, linewidths=0)
    if "test" in positions:
        x1, x2 = positions["test"].T
        axes.scatter(x1, x2, s=24, color=colour, edgecolors="black", linewidths=0.7, label=name)


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper right", fontsize=8, title="test (with a rim)", title_fontsize=8, framealpha=0.85)


def _limit(axes: Axes, extent: Extent) -> None:
    axes.set(xlim=extent[:2], ylim=extent[2:])


def _cycled_colours(number: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(number)]
