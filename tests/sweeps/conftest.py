"""Finished sweeps that several tests look at."""

from pathlib import Path

import pytest

from sweeping import SEARCH, sweep


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished grid of four jobs."""
    folder = tmp_path_factory.mktemp("sweeps") / "grid"
    said = sweep(folder, "optimizer.lr=1e-3,1e-2", "seed=0,1")
    assert said.code == 0, said
    return folder


@pytest.fixture(scope="session")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished search of three trials, two seeds each."""
    folder = tmp_path_factory.mktemp("sweeps") / "search"
    said = sweep(folder, *SEARCH, "hydra.sweeper.n_trials=3", "seed=0,1")
    assert said.code == 0, said
    return folder
