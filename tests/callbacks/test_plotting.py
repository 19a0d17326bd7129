"""When plots are drawn, of what rows, and what they are made of."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import SLOPE, SMALL
from litmlp import build, checkpoint
from litmlp.callbacks import ClassificationPlots, Plotting, plotting
from litmlp.callbacks.permutation_importance import permutation_importance
from litmlp.callbacks.plotting import sampled_rows
from litmlp.commands.train import train

Config = Callable[..., dict[str, Any]]


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()


def images(folder: Path) -> set[str]:
    return set(events(folder).Tags()["images"])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["data=penguins"],
            {
                *("importance/columns", "classification/confusion", "classification/roc"),
                *("classification/precision_recall", "classification/calibration"),
            },
        ),
        (SLOPE, {"importance/columns", "regression/predicted", "regression/residuals", "regression/histogram"}),
    ],
)
def test_a_run_draws_what_fits_it(overrides: list[str], expected: set[str], tmp_path: Path, config: Config):
    train(config(*overrides, "trainer.max_epochs=2", *SMALL), tmp_path / "run")
    assert images(tmp_path / "run") == expected
    files = {path.name for path in (tmp_path / "run/plots").iterdir()}
    assert files == {f"{tag.replace('/', '-')}.png" for tag in expected}
    for path in (tmp_path / "run/plots").iterdir():
        image = np.asarray(Image.open(path))
        assert image.shape[1:] == (480, 3)
        assert image.std() > 10  # something is drawn


def test_several_targets_have_their_own_plots(tmp_path: Path, config: Config):
    table = ["data=table", "data.path=data/penguins.csv", "data.target=[body_mass_g,bill_length_mm]"]
    train(config(*table, "task=regression", "trainer.max_epochs=1", *SMALL), tmp_path / "run")
    assert images(tmp_path / "run") >= {"regression/predicted_body_mass_g", "regression/histogram_bill_length_mm"}


def test_a_sweep_draws_nothing(tmp_path: Path, config: Config):
    train(config("data=penguins", "trainer.max_epochs=1", *SMALL), tmp_path / "run", columns=())
    assert images(tmp_path / "run") == set()
    assert not (tmp_path / "run/plots").exists()
    assert "graph" not in {name for name, there in events(tmp_path / "run").Tags().items() if there is True}


def test_without_loggers_the_files_are_there(tmp_path: Path, config: Config):
    train(config(*SLOPE, "trainer.max_epochs=1", "logger=none", *SMALL), tmp_path / "run")
    assert len(list((tmp_path / "run/plots").iterdir())) == 4


def test_plots_change_nothing(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ClassificationPlots, "min_seconds", 1e9)
    overrides = ["data=penguins", "trainer.max_epochs=6", "network.dropout=0.2", *SMALL]
    drawn = train(config(*overrides), tmp_path / "drawn")
    plain = train(config(*overrides, "callbacks=none"), tmp_path / "plain")
    last = (checkpoint.read(tmp_path / "drawn/checkpoints/last.ckpt"))["state_dict"]
    shown = events(tmp_path / "drawn").Images("classification/confusion")
    assert len(shown) == 5  # epochs 2 to 5, and the best weights
    assert {k: v for k, v in drawn.items() if k.startswith("val/")} != {}
    again = train(config(*overrides, "~callbacks.classification_plots"), tmp_path / "again")
    assert {**drawn, "fit_seconds": 0} == {**again, "fit_seconds": 0}
    others = checkpoint.read(tmp_path / "again/checkpoints/last.ckpt")["state_dict"]
    assert all(torch.equal(last[name], others[name]) for name in last)
    assert plain["steps"] == drawn["steps"]


def test_a_run_outlives_plots_that_fail(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(ClassificationPlots, "min_seconds", 1e9)
    monkeypatch.setattr(ClassificationPlots, "draw", lambda *_: 1 / 0)
    overrides = ["data=penguins", "trainer.max_epochs=4", *SMALL]
    assert train(config(*overrides), tmp_path / "run")["epochs"] == 4
    said = [record.getMessage() for record in caplog.records if "plots" in record.getMessage()]
    assert said == ["no plots by ClassificationPlots: ZeroDivisionError: division by zero"] * 2  # on the way, and last
    assert images(tmp_path / "run") == {"importance/columns"}


class Recorded(Plotting):
    """Takes a second for its plots, of which there are two."""

    fraction_of_time = 0.1

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.clock = clock
        self.drawn: list[tuple[int, str, int]] = []
        self.epoch = 0

    def fits(self, task: Any, data: Any) -> bool:
        return True

    def draw(self, task: Any, data: Any, split: str, title: str) -> Iterator[tuple[str, Any]]:
        for number in range(2):
            self.drawn.append((self.epoch, split, number))
            self.clock[0] += 1.0
            yield f"a/{number}", None


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recorded]:
    """Trains for epochs of some seconds by a clock of its own, with a plot of a second, and returns the plots."""
    clock = [0.0]
    monkeypatch.setattr(plotting, "perf_counter", lambda: clock[0])
    monkeypatch.setattr("litmlp.plots.style.to_image", lambda figure: figure)
    monkeypatch.setattr("litmlp.plots.style.write", lambda image, path: path.write_bytes(b""))
    monkeypatch.setattr("litmlp.loggers.show", lambda *_: None)

    def run(folder: Path, max_epochs: int, seconds: float) -> Recorded:
        callback = Recorded(clock)
        trainer = SimpleNamespace(
            **{"max_epochs": max_epochs, "is_global_zero": True, "loggers": [1], "callbacks": [callback]},
            **{"datamodule": SimpleNamespace(tables={"test": SimpleNamespace(numeric=[1])}), "current_epoch": 0},
            default_root_dir=str(folder),
        )
        for epoch in range(max_epochs):
            clock[0] += seconds
            callback.epoch, trainer.current_epoch = epoch + 1, epoch
            callback.on_train_epoch_end(trainer, torch.nn.Module())
        callback.epoch = -1
        callback.finish(trainer, torch.nn.Module(), trainer.datamodule)
        return callback

    return run


def test_plots_keep_to_their_share_of_the_time(recorded: Callable[..., Recorded], tmp_path: Path):
    callback = recorded(tmp_path, max_epochs=101, seconds=1.0)
    on_the_way = [epoch for epoch, split, _ in callback.drawn if split == "val"]
    assert 7 <= len(on_the_way) <= 10  # of a second each, in a tenth of 100 seconds
    assert on_the_way[0] == 2
    gaps = np.diff([*on_the_way, 101])
    assert (np.diff(gaps) >= -1).all()  # rounded, they lie the farther apart the later it is
    assert callback.drawn[-2:] == [(-1, "test", 0), (-1, "test", 1)]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["a-0.png", "a-1.png"]


def test_a_short_run_has_only_the_last_plots(recorded: Callable[..., Recorded], tmp_path: Path):
    assert {split for _, split, _ in recorded(tmp_path, max_epochs=60, seconds=0.01).drawn} == {"test"}


def test_a_long_run_has_no_more_than_a_dozen_moments(recorded: Callable[..., Recorded], tmp_path: Path):
    drawn = recorded(tmp_path, max_epochs=1000, seconds=60.0).drawn
    assert sum(split == "val" for _, split, _ in drawn) == plotting.MAX_DRAWINGS


def test_rows_are_spread_over_the_split(slope_run: Path):
    data = checkpoint.load(slope_run / "checkpoints/best.ckpt").data
    data.setup()
    table = data.tables["train"]
    last = len(table.numeric) - 1
    some = sampled_rows(data, "train", torch.device("cpu"), 3)
    assert torch.equal(some.numeric, table.numeric[[0, round(last / 2), last]])
    assert len(sampled_rows(data, "train", torch.device("cpu")).numeric) == last + 1


def test_importance_is_what_shuffling_costs(config: Config):
    made = config(*SLOPE, "network=linear")
    data = build.data(made)
    data.setup()
    task = build.task(made, data.spec).eval()
    with torch.no_grad():
        task.network.layers[0].weight[:] = torch.tensor([[2.0, 0.0]])
        batch = data.tables["val"]
        batch = batch._replace(target=task.network(batch.numeric, batch.categorical))  # fits exactly
    found = permutation_importance(task, data.inputs.positions_by_name(), batch, seed=3)
    generator = torch.Generator().manual_seed(3)
    orders = [torch.randperm(len(batch.numeric), generator=generator) for _ in range(3)]
    x1 = batch.numeric[:, 0]
    costs = [float((2 * (x1[order] - x1)).square().mean()) for order in orders]
    np.testing.assert_allclose(found, [costs, [0, 0, 0]], rtol=1e-5)


def test_importance_shuffles_all_cells_of_a_column(penguins_run: Path):
    task, data, _ = checkpoint.load(penguins_run / "checkpoints/best.ckpt")
    data.setup()
    columns = data.inputs.columns
    assert {column.kind for column in columns} == {"numeric", "categorical"}
    found = permutation_importance(task, data.inputs.positions_by_name(), data.tables["val"])
    assert found.shape == (len(columns), 3)
    assert (found != 0).any(axis=1).all()


def test_a_job_of_a_sweep_draws_what_is_asked_for(tmp_path: Path, config: Config):
    asked = ["callbacks.regression_plots.in_sweeps=true", "trainer.max_epochs=1"]
    train(config(*SLOPE, *asked, *SMALL), tmp_path / "run", columns=())
    names = {path.stem for path in (tmp_path / "run/plots").iterdir()}
    assert names == {"regression-predicted", "regression-residuals", "regression-histogram"}


def test_a_plot_says_whose_weights_it_shows(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch):
    titles = []

    def draw(self, task: Any, data: Any, split: str, title: str):
        titles.append(title)
        return iter(())

    monkeypatch.setattr(ClassificationPlots, "draw", draw)
    for callbacks in ("default", "classification_plots"):
        short = ["data=penguins", "trainer.max_epochs=1", f"callbacks={callbacks}", *SMALL]
        train(config(*short), tmp_path / callbacks)
    assert titles == ["test rows, best weights", "test rows, last weights"]
