import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from litmlp import machine
from litmlp.errors import InputError

SCRIPT = (
    "import os, sys, pathlib; from litmlp.machine import divide\n"
    "divide(int(sys.argv[1]), pathlib.Path('.'))\n"
    "divide(int(sys.argv[1]), pathlib.Path('.'))\n"  # as for the process's next job
    "print(os.environ.get('OMP_NUM_THREADS'), os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True)\n"
    "sys.stdin.read()\n"
)


class Worker:
    """A process that takes its share, and keeps it until it is ended."""

    def __init__(self, side_by_side: int, gpus: str | None = None) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(side_by_side)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment if gpus is None else {**environment, "CUDA_VISIBLE_DEVICES": gpus},
        )
        assert self.process.stdout is not None
        self.threads, self.gpu = self.process.stdout.readline().split()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        monkeypatch.setenv(name, "unset")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return monkeypatch


@pytest.mark.parametrize(("cores", "jobs", "threads"), [(16, 4, "4"), (16, 5, "3"), (2, 2, "1"), (2, 8, "1")])
def test_cores_are_shared_out(cores: int, jobs: int, threads: str, environment: pytest.MonkeyPatch, tmp_path: Path):
    environment.setattr(machine, "cores", lambda: cores)
    machine.divide(jobs, tmp_path)
    assert os.environ["OMP_NUM_THREADS"] == os.environ["POLARS_MAX_THREADS"] == threads


def test_a_job_alone_has_all_of_the_machine(environment: pytest.MonkeyPatch, tmp_path: Path):
    environment.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    machine.divide(1, tmp_path)
    assert os.environ["OMP_NUM_THREADS"] == "unset"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_processes_side_by_side_have_different_gpus(tmp_path: Path):
    workers = [Worker(2, "3,5") for _ in range(2)]
    assert {worker.gpu for worker in workers} == {"3", "5"}
    workers[0].end()
    after = Worker(2, "3,5")
    assert after.gpu == workers[0].gpu
    for worker in (workers[1], after):
        worker.end()


def test_more_processes_than_gpus_take_turns(tmp_path: Path):
    workers = [Worker(3, "0,1") for _ in range(3)]
    assert [worker.gpu for worker in workers] == ["0", "1", "0"]
    for worker in workers:
        worker.end()


@pytest.mark.parametrize("gpus", ["", "2"])
def test_a_single_gpu_is_shared_by_all(gpus: str, environment: pytest.MonkeyPatch, tmp_path: Path):
    environment.setenv("CUDA_VISIBLE_DEVICES", gpus)
    machine.divide(2, tmp_path)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpus
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("given", "expected"), [("", []), ("0", ["0"]), ("0, GPU-a1", ["0", "GPU-a1"])])
def test_gpus_are_those_that_are_visible(given: str, expected: list[str], environment: pytest.MonkeyPatch):
    environment.setenv("CUDA_VISIBLE_DEVICES", given)
    assert machine.gpus() == expected


def test_what_is_made_is_refused_before_it_takes_memory():
    with (
        pytest.raises(InputError, match="network would take 20 TB of memory or more, but 1 GB are free"),
        machine.fitting_memory("network", copies=5, available=10**9),
    ):
        torch.nn.Linear(10**6, 10**6)


def test_sizes_add_up():
    layer = 4 * (100 * 100 + 100)  # bytes
    for number_that_fits in (1, 3):
        with machine.fitting_memory("network", copies=1, available=number_that_fits * layer):
            for _ in range(number_that_fits):
                torch.nn.Linear(100, 100)
            with pytest.raises(InputError):
                torch.nn.Linear(100, 100)


def test_what_fits_is_made_as_without_a_look_at_memory():
    torch.manual_seed(0)
    with machine.fitting_memory("network", copies=5):
        watched = torch.nn.Linear(3, 2)
    torch.manual_seed(0)
    torch.testing.assert_close(watched.weight, torch.nn.Linear(3, 2).weight, rtol=0, atol=0)


def test_a_container_may_have_less_than_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(machine, "LIMITS", (tmp_path / "memory.max", tmp_path / "none", tmp_path / "absent"))
    assert machine.available_memory() == 1000


def test_without_proc_all_memory_counts_as_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "absent")
    assert machine.available_memory() > 10**8
