"""What a run makes of the machine: threads, a compiler, the precision of products."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import UNDRAWN, compose_config
from litmlp import build, checkpoint
from litmlp.commands.evaluate import evaluate
from litmlp.commands.train import train
from litmlp.config_check import check
from litmlp.data import Batch
from litmlp.errors import InputError
from litmlp.machine import KEPT, KEPT_BETWEEN_STEPS, PRODUCTS_FOR_THREADS, threads
from litmlp.tasks import ClassificationTask

PENGUINS = ["data=penguins", *UNDRAWN]


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pretend that this process may use five cores of a larger machine, and that nobody says how many."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 4, 6, 7}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    return 5


@pytest.fixture
def _precision_as_before() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def _compiler_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    torch.compiler.reset()
    yield
    torch.compiler.reset()


SMALLEST_SHARED = -(-PRODUCTS_FOR_THREADS // 120)  # rows a batch, for 60 + 60 weights
LARGE = nn.Linear(PRODUCTS_FOR_THREADS, 1, device="meta")


@pytest.mark.parametrize("given", [1, 3, 200])
@pytest.mark.parametrize("batch_size", [1, 10**9])
def test_a_number_of_threads_is_taken_as_it_is(given: int, batch_size: int, cores: int) -> None:
    assert threads(given, LARGE, batch_size) == given


def test_a_run_takes_its_number_of_threads(tmp_path: Path) -> None:
    train(compose_config(*PENGUINS, "trainer.max_epochs=1", "threads=2"), tmp_path / "run")
    assert torch.get_num_threads() == 2


COUNT_FAULTS = """
from resource import RUSAGE_SELF, getrusage
import sys, torch
from litmlp.machine import keep_freed_memory
keep_freed_memory(int(sys.argv[1]))
before = []
for _ in range(20):
    before.append(getrusage(RUSAGE_SELF).ru_minflt)
    step = [torch.ones(2**20) for _ in range(10)]  # 4 MB each
    del step
print(before[-1] - before[-11])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
@pytest.mark.parametrize("kept", [KEPT, KEPT_BETWEEN_STEPS])
def test_steps_take_the_memory_of_the_one_before_and_nothing_else_does(kept: int) -> None:
    done = subprocess.run([sys.executable, "-c", COUNT_FAULTS, str(kept)], capture_output=True, check=True, timeout=200)
    pages = 10 * 10 * 2**22 // os.sysconf("SC_PAGE_SIZE")  # of ten steps
    assert (int(done.stdout) < pages / 100) == (kept == KEPT_BETWEEN_STEPS)
    assert (int(done.stdout) > pages / 2) == (kept == KEPT)


def test_short_steps_get_one_thread_and_long_ones_all_cores(cores: int) -> None:
    network = nn.Sequential(nn.Linear(10, 6), nn.ReLU(), nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 10)))
    assert threads("auto", network, 1) == 1
    assert threads("auto", network, SMALLEST_SHARED - 1) == 1
    assert threads("auto", network, SMALLEST_SHARED) == cores


def test_embeddings_multiply_nothing(cores: int) -> None:
    config = compose_config(*PENGUINS)
    data = build.data(config)
    data.setup()
    network: Any = build.task(config, data.spec).network
    assert network.embeddings  # beside (5 + 4 + 3) * 8 + 8 * 3 = 120 weights of layers
    assert threads("auto", network, SMALLEST_SHARED - 1) == 1
    assert threads("auto", network, SMALLEST_SHARED) == cores
    assert threads("auto", nn.Embedding(PRODUCTS_FOR_THREADS, 9, device="meta"), 1000) == 1


def test_those_who_start_several_runs_say_how_many_threads(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for said in ("3", "3,2", " 3 , 1"):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert threads("auto", LARGE, 1) == 3
    assert threads("auto", nn.Linear(2, 2), 1) == 1


@pytest.mark.parametrize("nonsense", ["", "many", ",2", "0", "-2", "2.5", "\N{SUPERSCRIPT TWO}"])
def test_nonsense_in_the_environment_is_ignored(nonsense: str, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
    assert threads("auto", LARGE, 1) == cores


@pytest.mark.parametrize(("count", "expected"), [(7, 7), (None, 1)])
def test_where_no_share_of_the_cores_is_known_all_count(
    count: int | None, expected: int, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert threads("auto", LARGE, 1) == expected


@pytest.mark.slow
@pytest.mark.usefixtures("_compiler_as_before")
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    config = compose_config(*PENGUINS, "trainer.max_epochs=4", "optimizer.lr=0.01")
    expected = train(config, tmp_path / "plain")
    compiled = train(config | {"compile": True}, tmp_path / "compiled_run")
    assert list((tmp_path / "compiled").glob("**/*.so"))  # of the fixture: it was compiled
    assert compiled | {"fit_seconds": 0} == pytest.approx(expected | {"fit_seconds": 0}, rel=1e-4)
    for name in ("best.ckpt", "last.ckpt"):
        one, other = (checkpoint.read(tmp_path / run / "checkpoints" / name) for run in ("plain", "compiled_run"))
        assert one.keys() == other.keys()
        torch.testing.assert_close(other["state_dict"], one["state_dict"], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("_compiler_as_before")
def test_a_compiled_networks_checkpoint_is_evaluated_without_compiling(tmp_path: Path) -> None:
    metrics = train(compose_config(*PENGUINS, "trainer.max_epochs=2", "compile=true"), tmp_path / "run")
    task, _, config = checkpoint.load(tmp_path / "run/checkpoints/best.ckpt")
    assert "compile" not in config
    assert task.network._compiled_call_impl is None
    expected = {name: value for name, value in metrics.items() if name.startswith("test/")}
    assert evaluate(str(tmp_path / "run")) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_without_a_compiler_compile_is_refused_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "litmlp.commands.train", *PENGUINS, "trainer.max_epochs=1", "compile=true"]
    environment = os.environ | {"CXX": "none", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    done = subprocess.run(
        [*command, f"hydra.run.dir={tmp_path / 'run'}"], capture_output=True, text=True, env=environment, timeout=200
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("litmlp-train: the network cannot be compiled here (")
    assert line.endswith("): leave compile=true out")
    assert "C++" in line
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("_precision_as_before")
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_precision_of_products_reaches_torch(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_float32_matmul_precision("high" if precision == "highest" else "highest")
    seen, original = set(), ClassificationTask.training_step

    def step(task: ClassificationTask, batch: Batch, batch_idx: int) -> Tensor:
        seen.add(torch.get_float32_matmul_precision())
        return original(task, batch, batch_idx)

    monkeypatch.setattr(ClassificationTask, "training_step", step)
    train(compose_config(*PENGUINS, "trainer.max_epochs=1", f"matmul_precision={precision}"), tmp_path / "run")
    assert seen == {precision}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("matmul_precision=low", "matmul_precision is 'low': use highest, high, medium"),
        ("matmul_precision=32", "matmul_precision is 32: use highest, high, medium"),
        ("matmul_precision=null", "matmul_precision is None: use"),
        ("matmul_precision=[high]", r"matmul_precision is \['high'\]: use"),
        ("compile=3", "compile is 3: use true or false"),
        ("compile=1", "compile is 1: use true or false"),
        ("compile=max-autotune", "compile is 'max-autotune': use true or false"),
        ("data_on_device=maybe", "data_on_device is 'maybe': use auto, true or false"),
        ("data_on_device=1", "data_on_device is 1: use auto, true or false"),
        ("data_on_device=3", "data_on_device is 3: use auto, true or false"),
        ("data_on_device=null", "data_on_device is None: use auto, true or false"),
    ],
)
def test_what_cannot_be_is_one_sentence(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check(compose_config("data=penguins", override))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["auto", "true", "false"])
def test_where_rows_are_kept_may_be_said_on_any_machine(value: str, tmp_path: Path, penguins_run: Path) -> None:
    train(compose_config(*PENGUINS, "trainer.max_epochs=4", f"data_on_device={value}"), tmp_path / "run")
    weights, expected = (checkpoint.read(run / "checkpoints/last.ckpt") for run in (tmp_path / "run", penguins_run))
    torch.testing.assert_close(weights["state_dict"], expected["state_dict"], rtol=0, atol=0)


def test_bfloat16_learns_and_keeps_whole_weights(tmp_path: Path) -> None:
    overrides = [*PENGUINS, "trainer.max_epochs=15", "optimizer.lr=0.02"]
    whole = train(compose_config(*overrides), tmp_path / "whole")
    half = train(compose_config(*overrides, "trainer.precision=bf16-mixed"), tmp_path / "half")
    assert half["val/loss"] != whole["val/loss"]
    assert half["val/loss"] == pytest.approx(whole["val/loss"], abs=0.03)
    assert half["test/accuracy"] > 0.9  # the largest class has 44 % of the rows
    state = checkpoint.read(tmp_path / "half/checkpoints/best.ckpt")["state_dict"]
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
