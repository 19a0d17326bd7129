"""Passes the metrics of a run to callbacks and loggers. TensorBoard's files are in the run's folder."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from typing_extensions import override

from litmlp.event_file import EventFile
from litmlp.paths import display, runs
from litmlp.training import compat

ABSENT = "-"  # shown for a hyperparameter that this run does not have


def log_metrics(trainer: L.Trainer, values: Mapping[str, torch.Tensor | float]) -> None:
    """Pass an epoch's values, which must be the same in all processes, to callbacks and loggers.

    Lightning has `self.log_dict` for this. This function takes a hundredth of its time, which matters in short epochs.
    """
    trainer.callback_metrics.update({name: torch.as_tensor(value) for name, value in values.items()})
    log_values(trainer, values)


def log_values(trainer: L.Trainer, values: Mapping[str, torch.Tensor | float]) -> None:
    """Pass an epoch's values to loggers only: no callback can use them to decide something."""
    numbers = {name: float(value) for name, value in values.items()}
    for logger in trainer.loggers:
        logger.log_metrics({**numbers, "epoch": trainer.current_epoch}, trainer.global_step - 1)
        logger.save()


def show(trainer: L.Trainer, tag: str, image: np.ndarray) -> None:
    """Pass a plot, `[height, width, 3] uint8`, to those loggers that accept images."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, image, trainer.global_step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(tag, [image], trainer.global_step)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_image(logger.run_id, image, f"{tag}-{trainer.global_step}.png")


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run by their names in TensorBoard's table, such as `optimizer/lr`."""
    from litmlp import checkpoint

    return dict(_flat(checkpoint.description(config) | {"trainer": config["trainer"]}))


def log_outcome(
    trainer: L.Trainer, config: dict[str, Any], metrics: Mapping[str, Any], columns: Sequence[str] = ()
) -> None:
    """Pass hyperparameters and final metrics to each logger. `val/...` of the best weights becomes `val_best/...`.

    Args:
        trainer: the run's trainer.
        config: the run's config.
        metrics: the content of `metrics.json`.
        columns: names of hyperparameters that other runs of the sweep have: TensorBoard needs the same in each run.
    """
    settings = dict.fromkeys(columns, ABSENT) | hyperparameters(config)
    final = {
        name.replace("val/", "val_best/"): value
        for name, value in metrics.items()
        if name.startswith(("val/", "test/"))
    }
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoard):
            logger.log_hyperparams(settings, final, trainer.global_step)
        else:
            logger.log_hyperparams(settings)
            logger.log_metrics(final, trainer.global_step)
            logger.save()


class TensorBoard(TensorBoardLogger):
    """Writes event files, with hyperparameters and final metrics, directly into the run's folder.

    Args:
        save_dir: the run's folder; passed in when a run is built.
    """

    def __init__(self, save_dir: str | Path) -> None:
        super().__init__(save_dir, name="", version="", default_hp_metric=False)
        self.writer: Any = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `SummaryWriter`, which writes each event at once."""
        if self.writer is None:
            self.writer = compat.summary_writer(self.log_dir, EventFile)
        return self.writer

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write all scalars as one event, which takes a tenth of the time of one event each."""
        compat.event_writer(self.experiment).event_writer.add_scalars(metrics, step)

    @override
    @rank_zero_only
    def save(self) -> None:
        """Do nothing: Lightning's own method would write `hparams.yaml`."""

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Keep the file open after training, for the final metrics. After a failure there are none, so close it."""
        if status != "success":
            self.experiment.close()

    @override
    @rank_zero_only
    def log_hyperparams(self, params: Any, metrics: dict[str, Any] | None = None, step: int | None = None) -> None:
        """Write hyperparameters; if final metrics come with them, they are the last in the file, so close it."""
        super().log_hyperparams(params, metrics, step)
        if metrics:
            self.experiment.close()


class MLflow(MLFlowLogger):
    """Writes to an MLflow server, or to a database in the folder of runs.

    Args:
        save_dir: the run's folder, which gives the run its name; passed in when a run is built.
        tracking_uri: URI of the server; if None, `runs/mlflow.db` is the database, and files are in `runs/mlflow`.
        experiment_name: name of the experiment to which the runs belong.
    """

    def __init__(
        self,
        save_dir: str | Path,
        tracking_uri: str | None = None,
        experiment_name: str = "litmlp",
    ) -> None:
        files = None
        if tracking_uri is None:
            runs().mkdir(parents=True, exist_ok=True)
            tracking_uri, files = f"sqlite:///{runs() / 'mlflow.db'}", (runs() / "mlflow").as_uri()
        name = display(Path(save_dir))
        super().__init__(experiment_name, name, tracking_uri, artifact_location=files)


def _flat(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}/")
        else:
            yield f"{path}{name}", value
