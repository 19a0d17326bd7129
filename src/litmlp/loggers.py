"""TensorBoard, in a run's own folder."""

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from typing_extensions import override


class TensorBoard(TensorBoardLogger):
    """Writes event files into the run's folder itself, hyperparameters and final metrics among them.

    Args:
        save_dir: the run's folder; passed in when a run is built.
    """

    def __init__(self, save_dir: str | Path) -> None:
        super().__init__(save_dir, name="", version="", default_hp_metric=False)

    @override
    @rank_zero_only
    def save(self) -> None:
        """Write what is pending; no file beside the events."""
        self.experiment.flush()

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Keep the file open after training, for the final metrics; close it where there will be none."""
        self.experiment.flush()
        if status != "success":
            self.experiment.close()

    @override
    @rank_zero_only
    def log_hyperparams(self, params: Any, metrics: dict[str, Any] | None = None, step: int | None = None) -> None:
        """Write hyperparameters with final metrics, once, as the last thing in the file."""
        super().log_hyperparams(params, metrics, step)
        if metrics:
            self.experiment.close()
