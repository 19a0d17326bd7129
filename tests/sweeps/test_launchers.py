"""The same sweep wherever its jobs run."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import slurm
from litmlp.files import read_json
from sweeping import ONE_BY_ONE, SEARCH, TINY, contents, outcomes, process, rows

pytestmark = pytest.mark.slow

GRID = [*TINY, "trainer.max_epochs=3", "optimizer.lr=1e-3,1e-2", "seed=0,1"]
LAUNCHERS = {"joblib": "hydra_plugins.hydra_joblib_launcher", "ray": "ray", "submitit_local": "submitit"}


def finished(folder: Path, *arguments: str, timeout: float = 200) -> str:
    one = process("-m", *arguments, f"hydra.sweep.dir={folder}")
    said, _ = one.communicate(timeout=timeout)
    assert one.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the grid, one job after another."""
    folder = tmp_path_factory.mktemp("sweeps") / "plain"
    finished(folder, *GRID, ONE_BY_ONE)
    return folder


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_changes_no_result(launcher: str, plain: Path, tmp_path: Path):
    pytest.importorskip(LAUNCHERS[launcher], reason="it is not installed: pip install -e '.[dev]'")
    folder = tmp_path / "sweep"
    said = finished(folder, *GRID, f"hydra/launcher={launcher}", "hydra.sweeper.n_jobs=2")
    assert "4 jobs: 4 completed" in said
    assert outcomes(folder) == outcomes(plain)
    for number in range(4):
        theirs = read_json(folder / str(number) / "metrics.json")
        ours = read_json(plain / str(number) / "metrics.json")
        assert theirs | {"fit_seconds": 0} == ours | {"fit_seconds": 0}
    before = contents(folder)
    again = finished(folder, *GRID, ONE_BY_ONE)
    assert "4 of them are done" in again
    assert {name: before[name] for name in before if name[0].isdecimal()} == {
        name: content for name, content in contents(folder).items() if name[0].isdecimal()
    }


@pytest.mark.parametrize("launcher", ["joblib"])
def test_a_search_side_by_side_does_all_its_trials(launcher: str, tmp_path: Path):
    folder = tmp_path / "sweep"
    arguments = [*TINY, *SEARCH, "hydra.sweeper.n_trials=6", f"hydra/launcher={launcher}", "hydra.sweeper.n_jobs=2"]
    finished(folder, *arguments)
    found = outcomes(folder)
    assert [status for status, _, _ in found.values()] == ["completed"] * 6
    assert len({tuple(overrides) for _, overrides, _ in found.values()}) == 6
    assert sorted(row["number"] for row in rows(folder)) == list("012345")


def test_slurm_starts_a_job_again_that_ran_out_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("submitit", reason="it is not installed: pip install -e '.[dev]'")
    arguments = [*TINY, "trainer.max_epochs=400", "~callbacks.early_stopping", "seed=0,1"]
    finished(tmp_path / "plain", *arguments, ONE_BY_ONE)
    folder = tmp_path / "sweep"
    environment = slurm.install(tmp_path / "slurm")
    monkeypatch.setattr(slurm, "FOLDER", Path(environment["STAND_IN"]))
    launched = ["-m", *arguments, "hydra/launcher=submitit_slurm", f"hydra.sweep.dir={folder}"]
    with process(*launched, environment=environment) as sweep:
        assert sweep.stdout is not None
        while not (folder / "0/checkpoints/last.ckpt").is_file() and sweep.poll() is None:
            time.sleep(0.05)
        slurm.end_of_time(next(iter(slurm.jobs())))
        said = sweep.stdout.read()
    assert (sweep.returncode, "2 jobs: 2 completed" in said) == (0, True), said
    assert [job["starts"] for job in slurm.jobs().values()] == [2, 1]
    assert outcomes(folder) == outcomes(tmp_path / "plain")


# What a cluster does to a job: it starts a pickled function, may kill it at any time, and starts it again.
PICKLED = """
import cloudpickle
from pathlib import Path
from litmlp.commands import train
from litmlp.sweeps import sweeper

def launch(self, job, numbers):
    Path("job.pickle").write_bytes(cloudpickle.dumps((job, self.config)))
    raise SystemExit(0)

sweeper.ResumableSweeper._launch = launch
train.main()
"""
STARTED = """
import pickle, sys
from pathlib import Path
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict
from litmlp.callbacks import StopOnNaN, best_and_last
best_and_last.FRACTION_OF_TIME = float("inf")  # last.ckpt is written after each epoch
job, config = pickle.loads(Path("job.pickle").read_bytes())
with open_dict(config):
    config.hydra.sweep.subdir = "0"
HydraConfig.instance().set_config(config)
original = StopOnNaN.on_train_epoch_end
def told(self, trainer, task):
    print(trainer.current_epoch, flush=True)
    original(self, trainer, task)
    if sys.argv[1:] == [str(trainer.current_epoch)]:
        sys.stdin.read()
StopOnNaN.on_train_epoch_end = told
job(config)
"""


def test_a_job_that_a_cluster_starts_again_goes_on_from_its_last_checkpoint(tmp_path: Path):
    arguments = [*TINY, "trainer.max_epochs=4", "seed=0"]
    finished(tmp_path / "whole", *arguments)
    made = subprocess.run(
        [sys.executable, "-c", PICKLED, "-m", *arguments, "hydra.sweep.dir=sweep"], capture_output=True, text=True
    )
    assert (tmp_path / "job.pickle").is_file(), made
    command = [sys.executable, "-c", STARTED]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "2"], **pipes) as first:
        assert first.stdout is not None
        assert [first.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
        first.send_signal(signal.SIGKILL)
    assert [status for status, _, _ in outcomes(tmp_path / "sweep").values()] == ["running"]
    second = subprocess.run(command, capture_output=True, text=True, input="", timeout=100)
    assert second.returncode == 0, second.stderr
    assert second.stdout.split() == ["2", "3"]
    assert outcomes(tmp_path / "sweep") == outcomes(tmp_path / "whole")
    third = subprocess.run(command, capture_output=True, text=True, input="", timeout=100)
    assert (third.returncode, third.stdout) == (0, "")
