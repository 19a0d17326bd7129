import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from conftest import SLOPE, SMALL
from litmlp import checkpoint
from litmlp.callbacks import diagnostics
from litmlp.callbacks.diagnostics import dead_units, norm
from litmlp.commands.train import train
from litmlp.networks.hidden import outputs_of


def test_the_norm_is_of_all_numbers_together():
    assert norm([torch.tensor([3.0]), torch.tensor([[4.0, 12.0]])]) == 13


def test_units_that_are_zero_for_all_rows_are_dead():
    network = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 2), nn.Tanh())
    with torch.no_grad():
        network[0].weight[:] = torch.tensor([[1.0], [-1.0], [1.0], [0.0]])
        network[0].bias[:] = torch.tensor([0.0, 0.0, -5.0, -1.0])  # alive, alive, dead in reach, dead
    task = nn.Module()
    task.network = network
    task.forward = network.forward
    rows = torch.tensor([[-2.0], [2.0]])
    assert dead_units(task, rows) == {"dead/1": torch.tensor(0.5)}
    assert task.training
    task.network = nn.Sequential(nn.Linear(1, 4), nn.Tanh())
    assert dead_units(task, rows) == {}


def test_outputs_are_kept_while_the_context_is_open():
    layer = nn.Linear(2, 3)
    rows = torch.ones(4, 2)
    with outputs_of({"it": layer}) as outputs:
        expected = layer(rows)
    layer(torch.zeros(4, 2))
    assert torch.equal(outputs["it"], expected)


@pytest.fixture
def folder(tmp_path: Path, config: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three epochs at a rate of next to nothing, so that weights stay as they began."""
    monkeypatch.setattr(diagnostics, "FRACTION_OF_TIME", math.inf)
    overrides = [*SLOPE, "trainer.max_epochs=3", "network.activation=ReLU", *SMALL]
    train(config(*overrides, "optimizer.lr=1e-9", "optimizer.weight_decay=0"), tmp_path / "run")
    return tmp_path / "run"


def scalars(folder: Path, name: str) -> list[float]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def test_each_is_logged_once_an_epoch(folder: Path):
    names = ["train/gradient_norm", "train/weight_norm", "dead/layers.2", "train/epoch_seconds"]
    assert [len(scalars(folder, name)) for name in names] == [3] * 4


def test_short_epochs_are_logged_as_often_as_there_is_time_for(
    tmp_path: Path, config: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(diagnostics, "FRACTION_OF_TIME", 1e-9)
    train(config(*SLOPE, "trainer.max_epochs=3", *SMALL), tmp_path / "run")
    assert len(scalars(tmp_path / "run", "train/loss")) == 3
    assert len(scalars(tmp_path / "run", "train/gradient_norm")) == 1


def test_rows_and_seconds_belong_together(folder: Path):
    data = checkpoint.load(folder / "checkpoints/best.ckpt").data
    data.setup()
    rows = len(data.tables["train"].numeric)
    seconds, rates = scalars(folder, "train/epoch_seconds"), scalars(folder, "train/rows_per_second")
    assert [time * rate for time, rate in zip(seconds, rates, strict=True)] == pytest.approx([rows] * 3, rel=1e-3)


def test_the_weights_are_those_of_the_checkpoint(folder: Path):
    task = checkpoint.load(folder / "checkpoints/best.ckpt").task
    flat = nn.utils.parameters_to_vector(task.network.parameters()).detach()
    assert scalars(folder, "train/weight_norm") == pytest.approx([float(flat.norm())] * 3, rel=1e-5)


def test_the_gradient_is_that_of_the_last_batch(folder: Path):
    task, data, _ = checkpoint.load(folder / "checkpoints/best.ckpt")
    data.setup()
    rows = data.tables["train"]
    losses = [task.step(rows.rows(torch.tensor([row])), "train") for row in range(len(rows.numeric))]
    longest = max(float(norm(list(torch.autograd.grad(loss, list(task.network.parameters()))))) for loss in losses)
    assert all(0 < logged <= longest for logged in scalars(folder, "train/gradient_norm"))  # a mean is no longer
