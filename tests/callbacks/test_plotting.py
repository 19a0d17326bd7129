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

from conftest import SMALL
from litmlp import build, checkpoint
from litmlp.callbacks import Plotting, plotting
from litmlp.callbacks.permutation_importance import permutation_importance
from litmlp.callbacks.plotting import some_rows
from litmlp.commands.train import train
from litmlp.playground import FunctionPlots, PlanarPlots
from litmlp.playground.planar_callback import grid, points_of, predicted_at, unit_maps

Config = Callable[..., dict[str, Any]]


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()


def images(folder: Path) -> set[str]:
    return set(events(folder).Tags()["images"])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["data=circle", "data.num_samples=100"],
            {
                *("planar/regions", "planar/units", "importance/columns", "classification/confusion"),
                *("classification/roc", "classification/precision_recall", "classification/calibration"),
            },
        ),
        (
            ["data=bumps", "data.num_samples=100"],
            {
                *("planar/surface", "planar/errors", "planar/units", "importance/columns"),
                *("regression/predicted", "regression/residuals", "regression/histogram"),
            },
        ),
        (
            ["data=function", "data.num_samples=100"],
            {
                *("function/fit", "function/pieces"),
                *("regression/predicted", "regression/residuals", "regression/histogram"),
            },
        ),
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
    train(config("data=circle", "data.num_samples=100", "trainer.max_epochs=1", *SMALL), tmp_path / "run", columns=())
    assert images(tmp_path / "run") == set()
    assert not (tmp_path / "run/plots").exists()
    assert "graph" not in {name for name, there in events(tmp_path / "run").Tags().items() if there is True}


def test_without_loggers_the_files_are_there(tmp_path: Path, config: Config):
    overrides = ["data=plane", "data.num_samples=100", "trainer.max_epochs=1", "logger=none"]
    train(config(*overrides, *SMALL), tmp_path / "run")
    assert len(list((tmp_path / "run/plots").iterdir())) == 7


def test_plots_change_nothing(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PlanarPlots, "least_seconds", 1e9)
    overrides = ["data=spiral", "data.num_samples=100", "trainer.max_epochs=6", "network.dropout=0.2", *SMALL]
    drawn = train(config(*overrides), tmp_path / "drawn")
    plain = train(config(*overrides, "callbacks=none"), tmp_path / "plain")
    last = (checkpoint.read(tmp_path / "drawn/checkpoints/last.ckpt"))["state_dict"]
    assert len(events(tmp_path / "drawn").Images("planar/regions")) == 5  # epochs 2 to 5, and the best weights
    assert {k: v for k, v in drawn.items() if k.startswith("val/")} != {}
    again = train(config(*overrides, "~callbacks.planar_plots"), tmp_path / "again")
    assert {**drawn, "fit_seconds": 0} == {**again, "fit_seconds": 0}
    others = checkpoint.read(tmp_path / "again/checkpoints/last.ckpt")["state_dict"]
    assert all(torch.equal(last[name], others[name]) for name in last)
    assert plain["steps"] == drawn["steps"]


def test_a_run_outlives_plots_that_fail(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(PlanarPlots, "draw", lambda *_: 1 / 0)
    overrides = ["data=circle", "data.num_samples=100", "trainer.max_epochs=4", *SMALL]
    assert train(config(*overrides), tmp_path / "run")["epochs"] == 4
    said = [record.getMessage() for record in caplog.records if "plots" in record.getMessage()]
    assert said == ["no plots by PlanarPlots: ZeroDivisionError: division by zero"] * 2  # on the way, and last
    assert images(tmp_path / "run") >= {"importance/columns", "classification/roc"}


class Recorded(Plotting):
    """Takes a second for its plots, of which there are two."""

    share_of_time = 0.1

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
    assert sum(split == "val" for _, split, _ in drawn) == plotting.MOST_MOMENTS


@pytest.fixture(scope="session")
def loaded(bumps_run: Path) -> checkpoint.Loaded:
    loaded = checkpoint.load(bumps_run / "checkpoints/best.ckpt")
    loaded.data.setup()
    return loaded


def test_rows_are_spread_over_the_split(loaded: checkpoint.Loaded):
    table = loaded.data.tables["train"]
    last = len(table.numeric) - 1
    some = some_rows(loaded.data, "train", torch.device("cpu"), 3)
    assert torch.equal(some.numeric, table.numeric[[0, round(last / 2), last]])
    assert len(some_rows(loaded.data, "train", torch.device("cpu")).numeric) == last + 1


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
    from litmlp.playground.planar_callback import batch_at

    numeric = batch_at(task, data, grid(extent, 32)).numeric
    with torch.no_grad():
        expected = task.network.layers[:2](numeric)
    np.testing.assert_allclose(maps.reshape(-1, 8), expected, atol=1e-6)


def test_the_pieces_of_a_curve_add_up_to_it(config: Config, monkeypatch: pytest.MonkeyPatch):
    made = config("data=function", "data.num_samples=100", *SMALL)
    data = build.data(made)
    data.setup()
    task = build.task(made, data.spec).eval()
    seen: dict[str, Any] = {}
    monkeypatch.setattr("litmlp.playground.function_plots.pieces", lambda x, *rest: seen.update(x=x, rest=rest))
    with torch.no_grad():
        assert [tag for tag, _ in FunctionPlots().draw(task, data, "val", "rows, now")] == [
            "function/fit",
            "function/pieces",
        ]
        parts, predicted, title = seen["rest"]
        constant = task.predict(task.network.layers[-1].bias[None])[0, 0]
    np.testing.assert_allclose(parts.sum(axis=1) + constant.numpy(), predicted, atol=1e-5)
    assert (parts.shape, title) == ((601, 8), "now")


def test_importance_is_what_shuffling_costs(config: Config):
    made = config("data=plane", "data.num_samples=200", "network=linear")
    data = build.data(made)
    data.setup()
    task = build.task(made, data.spec).eval()
    with torch.no_grad():
        task.network.layers[0].weight[:] = torch.tensor([[2.0, 0.0]])
        batch = data.tables["val"]
        batch = batch._replace(target=task.network(batch.numeric, batch.categorical))  # fits exactly
    found = permutation_importance(task, data.inputs.columns, batch, seed=3)
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
    found = permutation_importance(task, columns, data.tables["val"])
    assert found.shape == (len(columns), 3)
    assert (found != 0).any(axis=1).all()


def test_a_job_of_a_sweep_draws_what_is_asked_for(tmp_path: Path, config: Config):
    asked = ["callbacks.planar_plots.in_sweeps=true", "data.num_samples=100", "trainer.max_epochs=1"]
    train(config("data=circle", *asked, *SMALL), tmp_path / "run", columns=())
    names = {path.stem for path in (tmp_path / "run/plots").iterdir()}
    assert names == {"planar-regions", "planar-units"}


def test_a_plot_says_whose_weights_it_shows(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch):
    titles = []

    def draw(self, task: Any, data: Any, split: str, title: str):
        titles.append(title)
        return iter(())

    monkeypatch.setattr(PlanarPlots, "draw", draw)
    for callbacks in ("default", "planar_plots"):
        short = ["data=circle", "data.num_samples=100", "trainer.max_epochs=1", f"callbacks={callbacks}"]
        train(config(*short, *SMALL), tmp_path / callbacks)
    assert titles == ["test rows, best weights", "test rows, last weights"]
