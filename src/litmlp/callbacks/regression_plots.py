"""The callback that draws how far predicted numbers are from the true ones."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from litmlp.callbacks.plotting import Plotting, sampled_rows
from litmlp.tasks import RegressionTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_TARGETS = 4


class RegressionPlots(Plotting):
    """Draws predicted against true values, errors against predicted values, and a histogram of the errors."""

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether the task predicts numbers."""
        return isinstance(task, RegressionTask)

    def draw(self, task: Any, data: Any, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield three plots for each of the first `MAX_TARGETS` targets."""
        from litmlp.plots import regression

        batch = sampled_rows(data, split, task.device)
        predicted, true = (
            values.cpu().numpy() for values in (task.predict(task.forward(batch)), task.predict(batch.target))
        )
        for index, name in enumerate(task.target.columns[:MAX_TARGETS]):
            arguments = (predicted[:, index], true[:, index], name, title)
            suffix = f"_{name}" if len(task.target.columns) > 1 else ""
            yield f"regression/predicted{suffix}", regression.predicted_against_true(*arguments)
            yield f"regression/residuals{suffix}", regression.residuals(*arguments)
            yield f"regression/histogram{suffix}", regression.residual_histogram(*arguments)
