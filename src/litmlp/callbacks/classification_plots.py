"""The callback that draws how well classes are predicted."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from litmlp.callbacks.plotting import Plotting, sampled_rows
from litmlp.tasks import ClassificationTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_ROWS = 20_000


class ClassificationPlots(Plotting):
    """Draws the confusion matrix, ROC and precision-recall curves of the classes, and calibration."""

    num_while_training = 2

    def fits(self, task: Any, data: Any) -> bool:
        """Return whether the task predicts classes."""
        return isinstance(task, ClassificationTask)

    def draw(self, task: Any, data: Any, split: str, title: str) -> "Iterator[tuple[str, Figure]]":
        """Yield four plots."""
        from litmlp.plots import classification

        batch = sampled_rows(data, split, task.device, MAX_ROWS)
        assert batch.target is not None
        output = task.forward(batch)
        probability, true = task.predict(output).cpu().numpy(), batch.target.cpu().numpy()
        arguments = (probability, true, data.target.classes, title)
        yield "classification/confusion", classification.confusion(*arguments)
        curves = {"as trained": task.predict(output * task.temperature).cpu().numpy()}
        if task.temperature != 1:
            curves[f"divided by {float(task.temperature):.2f}"] = probability
        yield "classification/calibration", classification.calibration(curves, true, title)
        yield "classification/roc", classification.roc(*arguments)
        yield "classification/precision_recall", classification.precision_recall(*arguments)
