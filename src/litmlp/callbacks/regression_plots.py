"""How far predicted numbers are from the true ones."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from litmlp.callbacks.plotting import Plotting, some_rows
from litmlp.tasks import RegressionTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_TARGETS = 4


class RegressionPlots(Plotting):
    """Draws predicted against true values, errors against predicted values, and how often each error occurs."""

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether numbers are predicted."""
        return isinstance(task, RegressionTask)

    def draw(self, task: Any, data: Any, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield three plots for each target."""
        from litmlp.plots import regression

        batch = some_rows(data, split, task.device)
        predicted, true = (
            values.cpu().numpy() for values in (task.predict(task.forward(batch)), task.predict(batch.target))
        )
        for index, name in enumerate(task.target_names[:MAX_TARGETS]):
            own = (predicted[:, index], true[:, index], name, title)
            end = f"_{name}" if len(task.target_names) > 1 else ""
            yield f"regression/predicted{end}", regression.predicted_against_true(*own)
            yield f"regression/residuals{end}", regression.residuals(*own)
            yield f"regression/histogram{end}", regression.residual_histogram(*own)
