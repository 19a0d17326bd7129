"""Shared by all tests: functions that compose configs, finished runs, and the time of the soak tests."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from litmlp import cli, paths
from litmlp.commands import evaluate, predict
from litmlp.commands.train import main, train
from soak.soaking import Soak

SMALL = ["network=mlp", "network.hidden_sizes=[8]", "network/embedding=none", "trainer.accelerator=cpu", "threads=1"]
# A table of 200 rows whose target is exactly (x1 + x2) / 10.
SLOPE = [
    *("data=table", "data.path=tests/slope.csv", "data.target=value", "task=regression"),
    *("data.batch_size=32", "data.scaling=standard"),
]
LONGEST = "test_readme.py"  # it begins first, or the other processes would wait for it at the end
NO_PLOTS = [f"~callbacks.{name}" for name in ("classification_plots", "regression_plots", "importance")]
UNDRAWN = [*SMALL, *NO_PLOTS]
COMMANDS = {"train": main, "evaluate": evaluate.main, "predict": predict.main}
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def _same_on_every_machine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    if request.node.get_closest_marker("gpu") is None:  # otherwise a GPU, if there is one, would evaluate CPU runs
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    # A command that a test calls lets Hydra set up logging for the whole process. This is undone for the next test.
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def compose_config(*overrides: str) -> dict[str, Any]:
    """The resolved config for overrides in the form in which a user types them."""
    typed = [cli.normalized(override, open_keys=True) for override in overrides]
    with initialize_config_dir(str(paths.CONF), version_base="1.3"):
        return cli.resolved(compose("train", typed))


def tracked() -> list[str]:
    """The paths of the project's files that git lists."""
    if not (paths.ROOT / ".git").exists():
        pytest.skip("git does not list the files of this copy: clone the project")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=paths.ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in names.split("\0") if (paths.ROOT / name).is_file()]


def copy_project(folder: Path) -> Path:
    """Copy the files that git lists, with their uncommitted changes, to a new folder."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.ROOT / name, folder / name)
    return folder


@pytest.fixture
def config() -> Callable[..., dict[str, Any]]:
    return compose_config


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail, and return its one-line error message."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [f"litmlp-{name}", *arguments])
        with pytest.raises(SystemExit) as end:
            COMMANDS[name]()
        lines = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == 2, lines
        assert len(lines) == 1, lines
        assert lines[0].startswith(f"litmlp-{name}: ")
        return lines[0]

    return run


@pytest.fixture(scope="session")
def penguins_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short, finished classification run."""
    folder = tmp_path_factory.mktemp("runs") / "penguins"
    train(compose_config("data=penguins", "trainer.max_epochs=4", *SMALL), folder)
    return folder


@pytest.fixture(scope="session")
def slope_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short, finished regression run."""
    folder = tmp_path_factory.mktemp("runs") / "slope"
    train(compose_config(*SLOPE, "trainer.max_epochs=4", *SMALL), folder)
    return folder


SOAK_MINUTES = float(os.environ.get("SOAK_MINUTES") or 3)  # of all soak tests together, on each worker
SOAK_SEED = int(os.environ.get("SOAK_SEED") or 0)
SHARES = pytest.StashKey[float]()


@pytest.hookimpl(trylast=True)  # after -m and -k have deselected tests, so that the rest share all of the time
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[SHARES] = sum(share_of(item) for item in items)
    items.sort(key=lambda item: item.path.name != LONGEST)


def share_of(item: pytest.Item) -> float:
    mark = item.get_closest_marker("soak")
    return 0.0 if mark is None else mark.kwargs.get("share", 1.0)


@pytest.fixture
def soak(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[Soak]:
    """The time budget of a soak test, in proportion to the `share` of its mark; its counts are printed at the end."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    seconds = 60 * SOAK_MINUTES * workers * share_of(request.node) / request.config.stash[SHARES]
    name = request.node.name.removeprefix("test_").replace("_", " ")
    budget = Soak(name, seconds, SOAK_SEED)
    yield budget
    record_property("soak", budget.summary())
    budget.finish()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = {value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "soak"}
    if lines:
        terminalreporter.section(f"soak, seed {SOAK_SEED}")
        terminalreporter.write_line("\n".join(sorted(lines)))
