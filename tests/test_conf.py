"""Every option of every group is found, composed, built and trained for a step."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from conftest import NO_PLOTS, compose_config
from litmlp.commands.train import train
from litmlp.paths import CONF

GROUPS = {path.parent for path in CONF.rglob("*.yaml")} - {CONF}
OPTIONS = sorted(
    (str(group.relative_to(CONF)), path.stem)
    for group in GROUPS
    for path in group.glob("*.yaml")
    if not group.is_relative_to(CONF / "hydra")
)
BESIDE = {  # what an option needs beside the defaults
    ("logger", "mlflow"): ["logger.mlflow.tracking_uri=sqlite:///mlflow.db"],
    ("data", "table"): ["data.path=data/penguins.csv", "data.target=species"],
    ("task", "auto"): ["data=penguins"],
    ("task", "classification"): ["data=penguins"],
    ("task/loss", "brier"): ["data=penguins"],
    ("task/loss", "cross_entropy"): ["data=penguins"],
    ("sweep", "classification"): ["data=penguins"],
}

UNDRAWN = {"optimizer", "scheduler", "network", "task/loss", "trainer"}  # what is drawn does not depend on these


def test_every_group_of_the_design_is_there():
    names = {group for group, _ in OPTIONS}
    assert names >= {
        *("data", "network", "task", "optimizer", "scheduler"),
        *("trainer", "callbacks", "logger", "experiment", "sweep"),
    }


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_option_trains_a_step(group: str, option: str, tmp_path: Path):
    if (group, option) == ("trainer", "gpu") and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    if (group, option) == ("trainer", "ddp"):
        pytest.skip("several processes have a test of their own, in test_train.py")
    small = [] if group == "network" else ["network.hidden_sizes=[4]"]
    if group in UNDRAWN:
        small += NO_PLOTS
    experiment, _, folder = group.partition("/") if group.startswith("experiment") else (group, "", "")
    named = f"{experiment}={folder}/{option}" if folder else f"{group}={option}"
    overrides = [named, *BESIDE.get((group, option), []), *small]
    short = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1"]
    config = compose_config(*overrides, *short, "threads=1")
    if (group, option) == ("logger", "wandb") and find_spec("wandb") is None:
        pytest.skip("wandb is not installed: it is an extra")
    metrics = train(config, tmp_path / "run")
    assert metrics["steps"] == 1
    assert metrics["objective"] == metrics[compose_config(*overrides)["monitor"]]


def test_the_data_picks_the_task_and_the_command_line_overrules():
    assert compose_config("data=adult")["task"]["_target_"].endswith("ClassificationTask")
    assert compose_config("data=diamonds")["task"]["_target_"].endswith("RegressionTask")
    assert compose_config("data=adult", "task=regression")["task"]["_target_"].endswith("RegressionTask")


def test_monitor_and_mode_are_named_once():
    config = compose_config("scheduler=plateau", "monitor=val/r2", "mode=max")
    users = [config["scheduler"], *(config["callbacks"][name] for name in ("checkpoint", "early_stopping", "progress"))]
    assert [(user["monitor"], user["mode"]) for user in users] == [("val/r2", "max")] * len(users)


def test_no_job_config_needs_hydra_to_run():
    texts = {path: path.read_text() for path in CONF.rglob("*.yaml") if CONF / "hydra" not in path.parents}
    assert not [path for path, text in texts.items() if "${hydra:" in text]
