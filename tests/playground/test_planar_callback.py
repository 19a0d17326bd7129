"""What a network makes of the plane: which plots a run draws, and of what numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import SMALL, compose_config
from litmlp import checkpoint
from litmlp.commands.train import train
from litmlp.playground.planar_callback import batch_at, grid, points_of, predicted_at, unit_maps


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "bumps"
    train(compose_config("data=bumps", "data.num_samples=100", "trainer.max_epochs=2", *SMALL), folder)
    return folder


@pytest.fixture
def loaded(run: Path) -> checkpoint.Loaded:
    loaded = checkpoint.load(run / "checkpoints/best.ckpt")
    loaded.data.setup()
    return loaded


def plots(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "plots").iterdir() if path.name.startswith("planar")}


def test_a_run_draws_the_surface_its_errors_and_the_units(run: Path):
    assert plots(run) == {"planar-surface", "planar-errors", "planar-units"}


def test_a_job_of_a_sweep_draws_regions_and_units_if_asked_to(tmp_path: Path, config: Callable[..., dict[str, Any]]):
    asked = ["callbacks.planar_plots.in_sweeps=true", "data.num_samples=100", "trainer.max_epochs=1"]
    train(config("data=circle", *asked, *SMALL), tmp_path / "run", columns=())
    assert plots(tmp_path / "run") == {"planar-regions", "planar-units"}


def test_places_of_the_plane_are_encoded_as_rows_are(loaded: checkpoint.Loaded):
    task, data, _ = loaded
    points, extent = points_of(data)
    test = data.tables["test"]
    with torch.no_grad():
        np.testing.assert_allclose(predicted_at(task, data, points["test"][0]), task.predict(task.forward(test)))
    assert test.target is not None
    np.testing.assert_allclose(task.predict(test.target)[:, 0], points["test"][1], atol=1e-6)
    assert len(points["train"][0]) == len(data.tables["train"].numeric)
    places = grid(extent, 5)
    assert places[0].tolist() == [extent[0], extent[2]]
    assert places[1].tolist() == [pytest.approx(0.75 * extent[0] + 0.25 * extent[1]), extent[2]]


def test_maps_of_units_are_what_the_units_give(loaded: checkpoint.Loaded):
    task, data, _ = loaded
    _, extent = points_of(data)
    ((label, maps),) = unit_maps(task, data, extent).items()
    assert label == "hidden layer 1 (layers.2), 8 units"
    assert maps.shape == (32, 32, 8)
    numeric = batch_at(task, data, grid(extent, 32)).numeric
    with torch.no_grad():
        expected = task.network.layers[:2](numeric)
    np.testing.assert_allclose(maps.reshape(-1, 8), expected, atol=1e-6)
