"""What a run writes only if it is asked to: histograms, the projector's points, the loss of each step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import SLOPE, SMALL, UNDRAWN
from litmlp import checkpoint
from litmlp.callbacks import Distributions, StepLoss
from litmlp.commands.train import train
from litmlp.networks.hidden import input_of

Config = Callable[..., dict[str, Any]]
PENGUINS = ["data=penguins", "trainer.max_epochs=3", *UNDRAWN]


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0}).Reload()


def test_histograms_are_of_weights_gradients_and_units(tmp_path: Path, config: Config):
    metrics = train(
        config(*PENGUINS, "callbacks=[default,distributions]", "callbacks.distributions.every=2"), tmp_path / "run"
    )
    found = events(tmp_path / "run")
    task = checkpoint.load(tmp_path / "run/checkpoints/last.ckpt").task
    parameters = dict(task.network.named_parameters())
    names = set(found.Tags()["histograms"])
    assert names == {f"{kind}/{name}" for kind in ("weights", "gradients") for name in parameters} | {
        "activations/layers.2"
    }
    steps = metrics["steps"] // 3
    assert [event.step for event in found.Histograms("weights/layers.0.weight")] == [steps, 3 * steps]
    last = found.Histograms("weights/layers.0.weight")[-1].histogram_value
    weights = parameters["layers.0.weight"].detach()
    assert last.num == weights.numel()
    assert last.sum == pytest.approx(float(weights.sum()), rel=1e-4)
    assert (last.min, last.max) == (pytest.approx(float(weights.min())), pytest.approx(float(weights.max())))


def test_the_projector_has_the_last_hidden_layer_and_the_classes(tmp_path: Path, config: Config):
    train(config(*PENGUINS, "callbacks=[default,embeddings]", "callbacks.embeddings.num_rows=20"), tmp_path / "run")
    (points,) = (np.loadtxt(path, delimiter="\t") for path in (tmp_path / "run").rglob("tensors.tsv"))
    (labels,) = (path.read_text().split("\n") for path in (tmp_path / "run").rglob("metadata.tsv"))
    assert (tmp_path / "run/projector_config.pbtxt").is_file()
    task, data, _ = checkpoint.load(tmp_path / "run/checkpoints/best.ckpt")
    data.setup()
    val = data.tables["val"]
    rows = torch.linspace(0, len(val.numeric) - 1, 20, dtype=torch.float64).round().long()
    with torch.no_grad(), input_of(task.network.layers[-1]) as inputs:
        task.forward(val.rows(rows))
    np.testing.assert_allclose(points, inputs[0], atol=1e-5)
    assert val.target is not None
    assert labels[:20] == [data.target.classes[index] for index in val.target[rows].tolist()]


def test_the_labels_of_numbers_are_in_their_own_units(tmp_path: Path, config: Config):
    overrides = [*SLOPE, "trainer.max_epochs=1", *SMALL]
    train(config(*overrides, "callbacks=[default,embeddings]"), tmp_path / "run")
    (labels,) = (path.read_text().split() for path in (tmp_path / "run").rglob("metadata.tsv"))
    data = checkpoint.load(tmp_path / "run/checkpoints/best.ckpt").data
    values = data.read().collect()["value"].to_numpy()
    _, places = data.parted(data.read())
    np.testing.assert_allclose(np.array(labels, dtype=float), values[places["val"]], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("every", [1, 4])
def test_each_steps_loss_is_logged(every: int, tmp_path: Path, config: Config):
    overrides = ["callbacks=[default,step_loss]", f"callbacks.step_loss.every={every}", "network.dropout=0"]
    metrics = train(config(*PENGUINS, *overrides, "data.batch_size=220"), tmp_path / "run")
    assert metrics["steps"] == 3  # one a round of all rows, so that a step's loss is the epoch's
    found = events(tmp_path / "run")
    steps = found.Scalars("train/step_loss") if every == 1 else []
    epochs = [event.value for event in found.Scalars("train/loss")]
    assert [event.value for event in steps] == (pytest.approx(epochs) if every == 1 else [])


@pytest.mark.parametrize("kind", [Distributions, StepLoss])
def test_every_is_one_or_more(kind: type):
    with pytest.raises(ValueError, match=r"every must be 1 .* or more, not 0"):
        kind(every=0)
