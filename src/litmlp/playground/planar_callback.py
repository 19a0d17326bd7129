"""The callback that draws a network's predictions over the plane, and its single units."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from polars import DataFrame

from litmlp.callbacks.plotting import Plotting
from litmlp.data import ClassTarget
from litmlp.networks.hidden import hidden_layers, outputs_of
from litmlp.playground.planar import PlanarData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, UNIT_SIDE = 72, 32  # number of points along each axis of a map
MAX_LAYERS, MAX_UNITS = 3, 24
MARGIN = 0.08  # around all points, as a fraction of their range


class PlanarPlots(Plotting):
    """Draws predictions for planar data: regions of classes, or a surface and its errors; and maps of hidden units.

    The plots show training and test rows as points.
    """

    num_while_training = 3
    min_seconds = 1.5

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether rows are points of a plane."""
        return isinstance(data, PlanarData)

    def draw(self, task: Any, data: PlanarData, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield two plots for classes, or three for numbers; one fewer without hidden layers."""
        from litmlp.playground import planar_plots

        weights_title = title.partition(", ")[2]  # without the rows: "epoch 3" or "best weights"
        points, extent = points_of(data)
        output = predicted_at(task, data, grid(extent, SIDE)).reshape(SIDE, SIDE, -1)
        if isinstance(data.target, ClassTarget):
            classes = data.target.classes
            indexed = {split: (positions, _indices(labels, classes)) for split, (positions, labels) in points.items()}
            yield "planar/regions", planar_plots.regions(output, extent, indexed, classes, weights_title)
        else:
            at_test = predicted_at(task, data, points["test"][0])[:, 0]
            arguments = (extent, points, data.target_column, weights_title)
            yield "planar/surface", planar_plots.surface(output[..., 0], *arguments)
            yield "planar/errors", planar_plots.errors(at_test, *arguments)
        if layers := unit_maps(task, data, extent):
            yield "planar/units", planar_plots.units(layers, weights_title)


def points_of(data: PlanarData) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], tuple[float, float, float, float]]:
    """Return positions `[N, 2]` and labels `[N]` of training and test rows, and the extent of the plane to draw.

    The extent (x1 from, to; x2 from, to) holds all rows.
    """
    frame = data.read()
    rows = frame.collect()
    _, indices = data.parted(frame)
    positions = rows.select(data.variables).to_numpy()
    labels = rows[data.target_column].to_numpy()
    low, high = positions.min(axis=0), positions.max(axis=0)
    margin = MARGIN * (high - low)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    points = {split: (positions[indices[split]], labels[indices[split]]) for split in ("train", "test")}
    return points, (left, right, bottom, top)


def grid(extent: tuple[float, float, float, float], side: int) -> np.ndarray:
    """Return the positions of `side * side` points, `[N, 2]`, row by row from the lowest x2 up."""
    left, right, bottom, top = extent
    x1, x2 = np.meshgrid(np.linspace(left, right, side), np.linspace(bottom, top, side))
    return np.stack([x1.ravel(), x2.ravel()], axis=1)


def predicted_at(task: Any, data: PlanarData, positions: np.ndarray) -> np.ndarray:
    """Return the task's predictions, `[N, O]`, at positions `[N, 2]`."""
    return task.predict(task.forward(batch_at(task, data, positions))).cpu().numpy()


def batch_at(task: Any, data: PlanarData, positions: np.ndarray) -> Any:
    """Encode positions `[N, 2]` in the same way as rows."""
    columns = dict(zip(data.variables, positions.T, strict=True))
    return data.encode(DataFrame(columns).lazy()).to(task.device)


def unit_maps(task: Any, data: PlanarData, extent: tuple[float, float, float, float]) -> dict[str, np.ndarray]:
    """Return the outputs of units of the first hidden layers over the plane: `[side, side, U]` for each layer's label.

    There are up to `MAX_LAYERS` layers, with up to `MAX_UNITS` units each.
    """
    layers = dict(islice(hidden_layers(task.network).items(), MAX_LAYERS))
    with outputs_of(layers) as outputs:
        task.forward(batch_at(task, data, grid(extent, UNIT_SIDE)))
    maps = {}
    for number, (name, output) in enumerate(outputs.items(), 1):
        if output.ndim != 2:
            continue
        num_shown = min(MAX_UNITS, output.shape[1])
        prefix = "" if num_shown == output.shape[1] else f"{num_shown} of "
        label = f"hidden layer {number} ({name}), {prefix}{output.shape[1]} units"
        maps[label] = output[:, :num_shown].cpu().float().reshape(UNIT_SIDE, UNIT_SIDE, num_shown).numpy()
    return maps


def _indices(labels: np.ndarray, classes: list[str]) -> np.ndarray:
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[str(label)] for label in labels])
