"""Trains runs one after another and together, and compares them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from conftest import compose_config
from litmlp.commands.train import train
from litmlp.populations.together import Work, train_together

SMALL = ["network=mlp", "network.hidden_sizes=[8,8]", "network/embedding=none", "threads=1", "trainer.accelerator=cpu"]
PENGUINS = ["data=penguins", *SMALL, "data.batch_size=16", "logger=none", "trainer.max_epochs=4"]  # 56 steps
ALONE = "this run is trained alone: "
TOGETHER = "steps are taken together with those of {} other runs"


class Ran(NamedTuple):
    """A run's metrics, its last checkpoint, and what it logged."""

    metrics: dict[str, Any]
    state: dict[str, Any]
    log: str


def configs(*overrides: str, members: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    return [compose_config(*overrides, *member) for member in members]


def alone(config: dict[str, Any], folder: Path) -> Ran:
    return ran(folder, train(config, folder, columns=()))


def together(given: Sequence[dict[str, Any]], folder: Path, most: int = 64, **arguments: Any) -> list[Ran]:
    metrics: list[Any] = [None] * len(given)

    def run(number: int) -> None:
        metrics[number] = train(given[number], folder / str(number), columns=(), **arguments)

    train_together([Work(partial(run, number)) for number in range(len(given))], most)
    return [ran(folder / str(number), one) for number, one in enumerate(metrics)]


def ran(folder: Path, metrics: dict[str, Any]) -> Ran:
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return Ran(metrics, state, (folder / "train.log").read_text())


def assert_same(one: Ran, other: Ran, relative: float, name: str = "") -> None:
    """Fail unless two runs have the same weights, states of optimizers and schedules, counters and metrics."""
    tolerance = {"rtol": relative, "atol": relative, "msg": lambda text: f"{name}: {text}"}
    assert one.state["state_dict"].keys() == other.state["state_dict"].keys()
    for key, weight in one.state["state_dict"].items():
        torch.testing.assert_close(weight, other.state["state_dict"][key], **tolerance)
    (states,), (others,) = one.state["optimizer_states"], other.state["optimizer_states"]
    assert states["param_groups"] == others["param_groups"]
    assert states["state"].keys() == others["state"].keys()
    for number, values in states["state"].items():
        for key, value in values.items():
            torch.testing.assert_close(value, others["state"][number][key], check_dtype=False, **tolerance)
    assert one.state["epoch"] == other.state["epoch"]
    assert one.state["global_step"] == other.state["global_step"]
    assert one.state["loops"] == other.state["loops"]
    for schedule, another in zip(one.state["lr_schedulers"], other.state["lr_schedulers"], strict=True):
        assert schedule.keys() == another.keys()
        torch.testing.assert_close(schedule["_last_lr"], another["_last_lr"], **tolerance)
    for key in one.metrics.keys() - {"fit_seconds"}:
        torch.testing.assert_close(one.metrics[key], other.metrics[key], check_dtype=False, **tolerance)
