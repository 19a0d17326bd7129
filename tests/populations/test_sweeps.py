"""Sweeps whose runs are trained together."""

import shutil
import signal
import time
from pathlib import Path

import pytest

from litmlp.files import read_json, read_yaml
from populations.training import TOGETHER
from sweeping import ONE_BY_ONE, SEARCH, TINY, command, contents, metrics, outcomes, process, records, sweep

TOGETHER_BY = "hydra/launcher=population"
PRUNED = ["hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1"]
GRID = ["optimizer.lr=1e-3,1e-2", "seed=0,1", "trainer.max_epochs=2"]


def log(folder: Path) -> str:
    return (folder / "train.log").read_text()


def assert_close(folder: Path, other: Path) -> None:
    """Fail unless two sweeps have the same jobs, statuses and values, and scores that differ by rounding only."""
    found, expected = outcomes(folder), outcomes(other)
    assert found.keys() == expected.keys()
    for number, (status, overrides, score) in found.items():
        assert (status, overrides) == expected[number][:2]
        assert score == pytest.approx(expected[number][2], rel=1e-4)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("populations") / "grid"
    said = sweep(folder, *GRID, TOGETHER_BY)
    assert said.code == 0, said
    return folder


def test_a_grid_ends_as_one_by_one(grid: Path, tmp_path: Path):
    assert sweep(tmp_path / "basic", *GRID, ONE_BY_ONE).code == 0
    assert_close(grid, tmp_path / "basic")
    assert all(TOGETHER.format(3) in log(grid / str(number)) for number in range(4))
    names = {name for name in contents(tmp_path / "basic") if "events" not in name}
    assert {name for name in contents(grid) if "events" not in name} == names


def test_the_number_of_members_is_that_of_jobs_at_once(tmp_path: Path):
    assert sweep(tmp_path / "sweep", *GRID, TOGETHER_BY, "hydra.sweeper.n_jobs=2").code == 0
    assert all(TOGETHER.format(1) in log(tmp_path / f"sweep/{number}") for number in range(4))


def test_the_same_command_again_with_another_launcher_does_nothing(grid: Path):
    before = contents(grid)
    for launcher in (TOGETHER_BY, ONE_BY_ONE):
        said = sweep(grid, *GRID, launcher)
        assert said.code == 0
        assert "4 of them are done" in said.out
        assert contents(grid) == before


def test_a_member_is_gone_on_with_evaluated_and_used_like_any_run(grid: Path, tmp_path: Path):
    run = shutil.copytree(grid / "3", tmp_path / "run")
    assert command(f"checkpoint={run}", name="evaluate").code == 0
    assert command(f"resume={run}", "trainer.max_epochs=4").code == 0
    assert metrics(run)["epochs"] == 4
    predicted = command(f"checkpoint={run}", "data.path=tests/slope.csv", "output=out.csv", name="predict")
    assert predicted.code == 0, predicted
    assert (tmp_path / "out.csv").is_file()


def test_a_job_that_fails_leaves_the_others_alone(tmp_path: Path):
    arguments = ["optimizer=sgd", "optimizer.lr=1e-3,1e30,1e-2", "trainer.max_epochs=3"]
    said = sweep(tmp_path / "sweep", *arguments, TOGETHER_BY)
    assert said.code == 1
    assert [job["status"] for job in records(tmp_path / "sweep").values()] == ["completed", "failed", "completed"]
    assert sweep(tmp_path / "basic", *arguments, ONE_BY_ONE).code == 1
    for number in (0, 2):
        expected = metrics(tmp_path / f"basic/{number}")["val/loss"]
        assert metrics(tmp_path / f"sweep/{number}")["val/loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "more",
    [
        ["seed=0,1"],
        pytest.param(
            ["hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1"], marks=pytest.mark.slow
        ),
    ],
)
def test_a_search_draws_shapes_once_a_group(more: list[str], tmp_path: Path):
    sizes = "network.hidden_sizes=choice([2],[3],[4],[5],[6],[7],[8])"
    arguments = [*SEARCH, sizes, "hydra.sweeper.n_trials=8", "trainer.max_epochs=2", *more, TOGETHER_BY]
    said = sweep(tmp_path / "sweep", *arguments, "hydra.sweeper.n_jobs=4")
    assert said.code == 0, said
    assert read_yaml(tmp_path / "sweep/sweep.yaml")["members"] == 4
    drawn = [dict(text.split("=") for text in job["overrides"]) for job in records(tmp_path / "sweep").values()]
    shapes = [values["++network.hidden_sizes"] for values in drawn]
    assert (len({*shapes[:4]}), len({*shapes[4:]})) == (1, 1)
    assert len({values["++optimizer.lr"] for values in drawn}) == 8
    # The size of the groups stays that of the first command.
    again = sweep(
        tmp_path / "sweep", *[a.replace("trials=8", "trials=10") for a in arguments], "hydra.sweeper.n_jobs=3"
    )
    assert again.code == 0, again
    assert read_yaml(tmp_path / "sweep/sweep.yaml")["members"] == 4
    assert len(records(tmp_path / "sweep")) == 10


@pytest.mark.slow
def test_processes_of_another_launcher_train_runs_together(tmp_path: Path):
    arguments = ["-m", *TINY, "optimizer.lr=1e-3,1e-2", "seed=0,1,2", "trainer.max_epochs=2"]
    more = ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2", "hydra.sweeper.members=auto"]
    one = process(*arguments, *more, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    said, _ = one.communicate(timeout=200)
    assert one.returncode == 0, said
    assert sweep(tmp_path / "basic", *arguments[1 + len(TINY) :], ONE_BY_ONE).code == 0
    assert_close(tmp_path / "sweep", tmp_path / "basic")
    assert all(TOGETHER.format(2) in log(tmp_path / f"sweep/{number}") for number in range(6))
    assert len({read_json(tmp_path / f"sweep/{number}/status.json")["pid"] for number in range(6)}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_population_that_is_stopped_goes_on(number: signal.Signals, tmp_path: Path):
    grid = ["optimizer.lr=1e-3,1e-2", "seed=0,1,2", "trainer.max_epochs=80", "data.batch_size=8", TOGETHER_BY]
    assert sweep(tmp_path / "whole", *grid).code == 0
    folder = tmp_path / "stopped"
    for epochs in (2, 20):
        one = process("-m", *TINY, *grid, f"hydra.sweep.dir={folder}")
        while one.poll() is None and not has_trained(folder, epochs):
            time.sleep(0.01)
        one.send_signal(number)
        said, _ = one.communicate(timeout=100)
        assert one.returncode in (-number, 128 + number), said
    assert sweep(folder, *grid).code == 0
    assert_close(folder, tmp_path / "whole")


def has_trained(folder: Path, epochs: int) -> bool:
    """Tell whether a run of a sweep has logged so many epochs, by the size of its events."""
    sizes = [file.stat().st_size for file in folder.glob("*/events.out.tfevents.*")]
    return max(sizes, default=0) > 300 * epochs
