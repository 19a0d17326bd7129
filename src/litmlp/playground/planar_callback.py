"""What a network makes of the plane, as a whole and unit by unit."""

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

SIDE, UNIT_SIDE = 72, 32  # points of a map along each axis
MAX_LAYERS, MAX_UNITS = 3, 24
MARGIN = 0.08


class PlanarPlots(Plotting):
    """Draws planar data: the regions of the classes, or the surface and its errors, and maps of single hidden units.

    The points are training and test rows.
    """

    num_while_training = 3
    least_seconds = 1.5

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether rows are points of the plane, and there is one target."""
        return isinstance(data, PlanarData)

    def draw(self, task: Any, data: PlanarData, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield two plots for classes, three for numbers."""
        from litmlp.playground import planar_plots

        moment = title.partition(", ")[2]
        points, extent = points_of(data)
        output = predicted_at(task, data, grid(extent, SIDE)).reshape(SIDE, SIDE, -1)
        if isinstance(data.target, ClassTarget):
            classes = data.target.classes
            of_class = {name: (places, _indices(labels, classes)) for name, (places, labels) in points.items()}
            yield "planar/regions", planar_plots.regions(output, extent, of_class, classes, moment)
        else:
            at_test = predicted_at(task, data, points["test"][0])[:, 0]
            own = (extent, points, data.target_column, moment)
            yield "planar/surface", planar_plots.surface(output[..., 0], *own)
            yield "planar/errors", planar_plots.errors(at_test, *own)
        if layers := unit_maps(task, data, extent):
            yield "planar/units", planar_plots.units(layers, moment)


def points_of(data: PlanarData) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], tuple[float, float, float, float]]:
    """Return places `[N, 2]` and labels `[N]` of training and test rows, and a part of the plane that holds all."""
    frame = data.read()
    rows = frame.collect()
    _, places = data.parted(frame)
    everywhere = rows.select(data.variables).to_numpy()
    labels = rows[data.target_column].to_numpy()
    low, high = everywhere.min(axis=0), everywhere.max(axis=0)
    margin = MARGIN * (high - low)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    points = {split: (everywhere[places[split]], labels[places[split]]) for split in ("train", "test")}
    return points, (left, right, bottom, top)


def grid(extent: tuple[float, float, float, float], side: int) -> np.ndarray:
    """Return `side * side` places, `[N, 2]`, row by row from the lowest x2 up."""
    left, right, bottom, top = extent
    x1, x2 = np.meshgrid(np.linspace(left, right, side), np.linspace(bottom, top, side))
    return np.stack([x1.ravel(), x2.ravel()], axis=1)


def predicted_at(task: Any, data: PlanarData, places: np.ndarray) -> np.ndarray:
    """Return what the task predicts at places `[N, 2]`: `[N, O]`."""
    return task.predict(task.forward(batch_at(task, data, places))).cpu().numpy()


def batch_at(task: Any, data: PlanarData, places: np.ndarray) -> Any:
    """Encode places `[N, 2]` as rows are."""
    columns = dict(zip(data.variables, places.T, strict=True))
    return data.encode(DataFrame(columns).lazy()).to(task.device)


def unit_maps(task: Any, data: PlanarData, extent: tuple[float, float, float, float]) -> dict[str, np.ndarray]:
    """Return what units of the first hidden layers give over the plane, `[side, side, U]` by layer."""
    layers = dict(islice(hidden_layers(task.network).items(), MAX_LAYERS))
    with outputs_of(layers) as outputs:
        task.forward(batch_at(task, data, grid(extent, UNIT_SIDE)))
    maps = {}
    for number, (name, output) in enumerate(outputs.items(), 1):
        if output.ndim != 2:
            continue
        shown = min(MAX_UNITS, output.shape[1])
        of = "" if shown == output.shape[1] else f"{shown} of "
        label = f"hidden layer {number} ({name}), {of}{output.shape[1]} units"
        maps[label] = output[:, :shown].cpu().float().reshape(UNIT_SIDE, UNIT_SIDE, shown).numpy()
    return maps


def _indices(labels: np.ndarray, classes: list[str]) -> np.ndarray:
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[str(label)] for label in labels])
