import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from conftest import SLOPE, SMALL
from litmlp import loggers
from litmlp.commands.train import train
from litmlp.errors import InputError

Config = Callable[..., dict[str, Any]]
SHORT = [*SLOPE, "trainer.max_epochs=2", *SMALL]


def test_csv_holds_each_epoch_and_the_final_metrics(tmp_path: Path, config: Config):
    metrics = train(config(*SHORT, "logger=csv"), tmp_path / "run")
    with (tmp_path / "run/csv/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["val/loss"]) for row in rows if row["val/loss"]]
    assert len(losses) == 2
    assert [float(row["test/rmse"]) for row in rows if row["test/rmse"]] == [pytest.approx(metrics["test/rmse"])]


def test_mlflow_has_settings_metrics_and_plots(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loggers, "runs", lambda: tmp_path / "runs")
    metrics = train(config(*SHORT, "logger=mlflow"), tmp_path / "run")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs/mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("litmlp").experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["optimizer/lr"] == "0.001"
    assert run.data.metrics["test/rmse"] == pytest.approx(metrics["test/rmse"])
    assert len(client.get_metric_history(run.info.run_id, "val/loss")) == 2
    plots = list((tmp_path / "runs/mlflow").rglob("*.png"))
    assert {path.parent.name for path in plots} == {"regression", "importance"}


def test_a_missing_package_is_one_sentence(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", False)
    with pytest.raises(
        InputError,
        match=r"wandb cannot be built, for wandb is not installed: pip install .*wandb",
    ):
        train(config(*SHORT, "logger=wandb"), tmp_path / "run")
