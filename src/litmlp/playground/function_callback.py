"""The callback that draws a fitted curve and the units that make it up."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from polars import DataFrame
from torch import nn

from litmlp.callbacks.plotting import Plotting
from litmlp.networks.hidden import input_of, linear_layers
from litmlp.playground.expression import evaluate
from litmlp.playground.function import FunctionData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_POINTS = 601  # of the curve


class FunctionPlots(Plotting):
    """Draws the network's curve over the function it fits, and what each unit of the last hidden layer adds to it."""

    num_while_training = 2
    min_seconds = 1.5

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether the data are those of a function."""
        return isinstance(data, FunctionData)

    def draw(self, task: Any, data: FunctionData, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield two plots, or one if the network does not end in a linear layer with one output."""
        from litmlp.playground import function_plots

        weights_title = title.partition(", ")[2]  # without the rows: "epoch 3" or "best weights"
        x = np.linspace(data.low, data.high, NUM_POINTS)
        batch = data.encode(DataFrame({"x": x}).lazy()).to(task.device)
        last = list(linear_layers(task.network).values())[-1:]
        predicted = task.predict(task.forward(batch)).cpu().numpy()[:, 0]
        true = np.broadcast_to(evaluate(data.function, {"x": x}), x.shape)
        rows = data.read().collect()
        _, indices = data.parted(data.read())
        points = (rows["x"].to_numpy()[indices["train"]], rows["y"].to_numpy()[indices["train"]])
        yield "function/fit", function_plots.fit(x, predicted, true, points, weights_title)
        if last and isinstance(last[0], nn.Linear) and last[0].out_features == 1:
            with input_of(last[0]) as inputs:
                task.forward(batch)
            parts = (inputs[0] * last[0].weight).cpu().numpy() * task.target.scaling.std.numpy()
            yield "function/pieces", function_plots.pieces(x, parts, predicted, weights_title)
