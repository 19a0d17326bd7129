import errno
import itertools
import math
import os
import shutil
import signal
from collections import namedtuple
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from omegaconf.errors import ConfigKeyError

from litmlp.callbacks import StopOnNaN, best_and_last
from litmlp.commands import train
from litmlp.errors import Interrupted
from litmlp.files import write_json
from litmlp.sweeps import folder as sweep_folder
from litmlp.sweeps import job
from sweeping import ONE_BY_ONE, SEARCH, contents, outcomes, records, rows, sweep

Usage = namedtuple("Usage", "total used free")


def fails(monkeypatch: pytest.MonkeyPatch, seed: int, error: BaseException) -> None:
    """Let the run with a seed fail."""
    original = train.train

    def failing(config: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        if config["seed"] == seed:
            raise error
        return original(config, *arguments, **options)

    monkeypatch.setattr(train, "train", failing)


@pytest.mark.parametrize("axes", [{}, {"a": ["1"]}, {"a": ["1", "2"], "b": ["x", "y", "z"], "c": ["4", "5"]}])
def test_jobs_are_numbered_as_itertools_has_combinations(axes: dict[str, list[str]]):
    expected = [
        [f"{key}={text}" for key, text in zip(axes, texts, strict=True)] for texts in itertools.product(*axes.values())
    ]
    assert job.count(axes) == len(expected)
    assert [job.grid_overrides(axes, number) for number in range(len(expected))] == expected


def test_no_job_begins_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "sweep"
    with monkeypatch.context() as patch:
        patch.setattr(
            sweep_folder.shutil, "disk_usage", lambda path: Usage(10**12, 10**12, sweep_folder.FREE_BYTES - 1)
        )
        said = sweep(folder, "seed=0,1")
    assert "2 not begun" in said.out
    assert records(folder) == {}
    assert sweep(folder, "seed=0,1").code == 0
    assert [status for status, _, _ in outcomes(folder).values()] == ["completed"] * 2


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep_folder.shutil, "disk_usage", lambda path: Usage(10**12, 10**12, 0))
    said = sweep(tmp_path / "sweep", "seed=0,1")
    assert said.code != 0
    assert "disk" in said.out + said.err


@pytest.mark.parametrize("is_search", [False, True])
def test_a_disk_that_fills_up_fails_no_job(is_search: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "sweep"
    arguments = [*SEARCH, "hydra.sweeper.n_trials=2", "seed=0,1"] if is_search else ["seed=0,1"]
    assert sweep(tmp_path / "whole", *arguments).code == 0
    with monkeypatch.context() as patch:
        error = RuntimeError("while writing")
        error.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fails(patch, 1, error)
        with suppress(RuntimeError):
            sweep(folder, *arguments)
    assert records(folder)[0 if is_search else 1]["status"] == "running"
    assert sweep(folder, *arguments).code == 0
    assert outcomes(folder) == outcomes(tmp_path / "whole")


@pytest.mark.parametrize("is_search", [False, True])
def test_a_stopped_job_goes_on_from_its_last_checkpoint(
    is_search: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    arguments = [
        ONE_BY_ONE,
        "trainer.max_epochs=4",
        *([*SEARCH, "hydra.sweeper.n_trials=2"] if is_search else ["seed=0,1"]),
    ]
    assert sweep(tmp_path / "whole", *arguments).code == 0
    original, epochs, stops = StopOnNaN.on_train_epoch_end, [], [Interrupted(signal.SIGTERM)]

    def stop(self, trainer, task) -> None:
        original(self, trainer, task)
        epochs.append(trainer.current_epoch)
        if trainer.current_epoch == 2 and stops:
            raise stops.pop()

    monkeypatch.setattr(best_and_last, "FRACTION_OF_TIME", math.inf)  # last.ckpt is written after each epoch
    monkeypatch.setattr(StopOnNaN, "on_train_epoch_end", stop)
    folder = tmp_path / "sweep"
    said = sweep(folder, *arguments)
    assert said.code == 128 + signal.SIGTERM
    assert said.err == "litmlp-train: stopped by SIGTERM\n"
    assert "stopped: type the same command again, or litmlp-train resume=" in said.out
    assert records(folder)[0]["status"] == "running"
    assert sweep(folder, *arguments).code == 0
    assert epochs == [0, 1, 2, 2, 3, 0, 1, 2, 3]
    assert outcomes(folder) == outcomes(tmp_path / "whole")


def test_a_signal_that_a_library_turns_into_an_error_stops_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original, stops = job.Job._composed, [Interrupted(signal.SIGINT)]

    def composed(self: job.Job, overrides: Any) -> Any:
        if stops:
            try:
                raise stops.pop()
            except Interrupted as stop:  # as OmegaConf does, whose clean-up fails where it is interrupted
                raise ConfigKeyError("'NoneType' object has no attribute '_invalidate_flags_cache'") from stop
        return original(self, overrides)

    monkeypatch.setattr(job.Job, "_composed", composed)
    said = sweep(tmp_path / "sweep", "seed=0,1")
    assert [status for status, _, _ in outcomes(tmp_path / "sweep").values()] == ["running"]
    assert said.code == 128 + signal.SIGINT


def test_of_the_runs_of_a_trial_those_that_are_complete_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "sweep"
    arguments = [*SEARCH, "hydra.sweeper.n_trials=1", "seed=0,1,2"]
    with monkeypatch.context() as patch:
        fails(patch, 1, Interrupted(signal.SIGINT))
        assert sweep(folder, *arguments).code == 128 + signal.SIGINT
    assert not (folder / "0/2").exists()
    before = contents(folder / "0/0")
    assert sweep(folder, *arguments).code == 0
    assert contents(folder / "0/0") == before
    assert (folder / "0/2/metrics.json").is_file()


def test_a_failed_run_fails_its_trial_and_the_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "sweep"
    fails(monkeypatch, 1, RuntimeError("no luck"))
    assert sweep(folder, *SEARCH, "hydra.sweeper.n_trials=2", "seed=0,1").code == 1
    assert [job["status"] for job in records(folder).values()] == ["failed", "failed"]
    assert [job["error"] for job in records(folder).values()] == ["no luck", "no luck"]
    assert "RuntimeError: no luck" in records(folder)[0]["traceback"]


def test_an_objective_that_is_not_finite_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original = train.train

    def diverged(config: dict[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
        found = original(config, folder, **options) | {"objective": math.nan}
        write_json(folder / "metrics.json", found)
        return found

    monkeypatch.setattr(train, "train", diverged)
    assert sweep(tmp_path / "sweep", "seed=0,1").code == 1
    assert [row["error"] for row in rows(tmp_path / "sweep")] == ["the objective is not a finite number"] * 2


def test_a_job_that_another_process_has_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from litmlp import run_folder
    from litmlp.sweeps import sweeper

    folder = tmp_path / "sweep"
    assert sweep(folder, "seed=0,1").code == 0
    record = (folder / "1/job.json").read_bytes()
    shutil.rmtree(folder / "1")
    looks = []

    class Elsewhere:
        def __enter__(self) -> None:
            raise run_folder.Busy("another process has it")

        def __exit__(self, *error: Any) -> None: ...

    original = run_folder.claimed
    monkeypatch.setattr(run_folder, "claimed", lambda path: Elsewhere() if path.name == "1" else original(path))

    def ends_meanwhile(seconds: float) -> None:
        looks.append(seconds)
        (folder / "1").mkdir(exist_ok=True)
        (folder / "1/job.json").write_bytes(record)

    (folder / "1").mkdir()
    (folder / "1/.lock").touch()
    monkeypatch.setattr(sweeper.time, "sleep", ends_meanwhile)
    assert sweep(folder, "seed=0,1").code == 0
    assert len(looks) == 1
    assert [path.name for path in (folder / "1").iterdir() if path.suffix == ".json"] == ["job.json"]


@pytest.mark.slow
def test_fifty_jobs_do_not_pile_up_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original, resident = train.train, []

    def measured(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE"))
        return result

    monkeypatch.setattr(train, "train", measured)
    assert sweep(tmp_path / "sweep", "seed=range(0,50)").code == 0
    assert len(resident) == 50
    assert resident[-1] < 1.03 * resident[9], [size >> 20 for size in resident]
