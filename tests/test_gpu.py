"""Training on a GPU: `pytest -m gpu`, on a machine that has one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import polars as pl
import pytest
import torch
from torch import Tensor

from conftest import compose_config
from litmlp import checkpoint
from litmlp.callbacks import Callback, best_and_last
from litmlp.commands.predict import predict
from litmlp.commands.train import train
from litmlp.data import Batch
from litmlp.entry_points import MODULES
from litmlp.paths import ROOT
from litmlp.tasks import ClassificationTask
from litmlp.training import loop

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]

PENGUINS = ["data=penguins", "data.batch_size=16", "network.hidden_sizes=[8]", "network/embedding=none"]
PENGUINS += ["trainer=gpu", "threads=1", "optimizer.lr=0.01"]  # 14 steps an epoch
SHORT = [*PENGUINS, "trainer.max_epochs=3", "network.dropout=0.3"]
LONG = [*PENGUINS, "trainer.max_epochs=20"]
FAIR = 0.9  # accuracy; the largest class has 44 % of the rows


class BreakOff(Callback):
    """Raises once so many batches have been trained on."""

    once_a_round = True

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready >= self.after:
            raise ZeroDivisionError


def trained(folder: Path, *overrides: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last checkpoint and the reported metrics of a run."""
    metrics = train(compose_config(*overrides), folder)
    return checkpoint.read(folder / "checkpoints/last.ckpt"), metrics | {"fit_seconds": 0}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Weights, optimizer and counters agree to the bit."""
    for part in ("state_dict", "optimizer_states"):
        assert_equal_tensors(one[part], other[part])
    for part in ("epoch", "global_step", "loops", "lr_schedulers"):
        assert one[part] == other[part], part


def assert_equal_tensors(one: Any, other: Any) -> None:
    if isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_tensors(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal_tensors(*pair)
    else:
        assert one == other


def without_gpu(module: str, *arguments: str) -> None:
    """Run a command as on a machine that has no GPU."""
    command = [sys.executable, "-m", MODULES[module], *arguments]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr


def test_penguins_are_learned_on_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, original = set(), ClassificationTask.training_step

    def step(task: ClassificationTask, batch: Batch, batch_idx: int) -> Tensor:
        seen.update(tensor.device.type for tensor in (batch.numeric, batch.categorical, batch.target))
        seen.update(parameter.device.type for parameter in task.parameters())
        return original(task, batch, batch_idx)

    monkeypatch.setattr(ClassificationTask, "training_step", step)
    _, metrics = trained(tmp_path / "run", *LONG)
    assert seen == {"cuda"}
    assert metrics["test/accuracy"] > FAIR


def test_a_gpu_learns_what_a_cpu_learns(tmp_path: Path) -> None:
    """But for the order of sums, whose rounding plain gradient descent does not drive apart in a few steps."""
    overrides = [*PENGUINS, "trainer.max_epochs=3", "optimizer=sgd"]
    on_gpu, _ = trained(tmp_path / "gpu", *overrides)
    without_gpu("train", *overrides, "trainer=cpu", f"hydra.run.dir={tmp_path / 'cpu'}")
    on_cpu = checkpoint.read(tmp_path / "cpu/checkpoints/last.ckpt")
    torch.testing.assert_close(on_gpu["state_dict"], on_cpu["state_dict"], rtol=1e-3, atol=1e-4)


def test_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    one, metrics = trained(tmp_path / "one", *SHORT)
    other, expected = trained(tmp_path / "other", *SHORT)
    assert_same(one, other)
    assert metrics == pytest.approx(expected)


def test_where_rows_are_kept_changes_nothing(tmp_path: Path) -> None:
    kept, metrics = trained(tmp_path / "kept", *SHORT, "data_on_device=true")
    moved, expected = trained(tmp_path / "moved", *SHORT, "data_on_device=false")
    assert_same(kept, moved)
    assert metrics == pytest.approx(expected)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data_on_device=false"],
        ["scheduler=one_cycle", "optimizer=sgd"],
        ["trainer.gradient_clip_val=0.01"],
        ["trainer.precision=bf16-mixed"],
        ["trainer.val_check_interval=0.5"],
    ],
    ids=lambda overrides: overrides[0] if overrides else "default",
)
def test_rounds_equal_single_steps_to_the_bit(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STEPS_A_ROUND", 4)
    in_rounds, metrics = trained(tmp_path / "rounds", *SHORT, *overrides)
    monkeypatch.setattr(loop, "reason_for_single_steps", lambda trainer: "the test asks for it")
    single, expected = trained(tmp_path / "single", *SHORT, *overrides)
    assert_same(in_rounds, single)
    assert metrics == pytest.approx(expected)


@pytest.mark.parametrize(
    ("seconds", "after", "steps"),
    [(0.0, 6, 4), (0.0, 19, 18), (60.0, 19, 14)],
    ids=["within the first epoch", "within the second", "between them"],
)
@pytest.mark.parametrize("kept", ["true", "false"])
def test_a_resumed_run_is_a_run_never_stopped(
    kept: str, seconds: float, after: int, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STEPS_A_ROUND", 4)
    monkeypatch.setattr(best_and_last, "SECONDS_WITHIN_EPOCH", seconds)
    monkeypatch.setattr(best_and_last, "FRACTION_OF_TIME", 1e9)
    config = compose_config(*SHORT, f"data_on_device={kept}")
    expected = train(config, tmp_path / "whole")
    config["callbacks"]["break_off"] = {"_target_": f"{__name__}.BreakOff", "after": after}
    with pytest.raises(ZeroDivisionError):
        train(config, tmp_path / "stopped")
    del config["callbacks"]["break_off"]
    assert checkpoint.read(tmp_path / "stopped/checkpoints/last.ckpt")["global_step"] == steps
    metrics = train(config, tmp_path / "stopped", resume=True)
    whole, resumed = (checkpoint.read(tmp_path / run / "checkpoints/last.ckpt") for run in ("whole", "stopped"))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert_equal_tensors(resumed[part], whole[part])
    assert metrics | {"fit_seconds": 0} == pytest.approx(expected | {"fit_seconds": 0})


def test_a_run_of_a_gpu_is_evaluated_and_predicts_on_the_cpu(tmp_path: Path) -> None:
    _, metrics = trained(tmp_path / "run", *LONG)
    rows = ROOT / "data/penguins.csv"
    without_gpu("evaluate", f"checkpoint={tmp_path / 'run'}", f"output={tmp_path / 'metrics.json'}")
    without_gpu(
        "predict", f"checkpoint={tmp_path / 'run'}", f"data.path={rows}", f"output={tmp_path / 'table.parquet'}"
    )
    expected = {name: value for name, value in metrics.items() if name.startswith("test/")}
    assert json.loads((tmp_path / "metrics.json").read_text()) == pytest.approx(expected, rel=1e-3)
    on_cpu, on_gpu = pl.read_parquet(tmp_path / "table.parquet"), predict(str(tmp_path / "run"), rows)
    assert on_cpu.columns == on_gpu.columns
    probabilities = on_gpu.columns[1:]
    difference = on_cpu.select(probabilities).to_numpy() - on_gpu.select(probabilities).to_numpy()
    assert abs(difference).max() < 1e-4


@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step")  # float16 may skip the first step
@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.precision=bf16-mixed"],
        ["trainer.precision=bf16-mixed", "optimizer.fused=false"],
        ["trainer.precision=16-mixed", "optimizer.fused=false"],
    ],
    ids=["bf16", "bf16, not fused", "16, not fused"],
)
def test_half_precision_learns_and_keeps_whole_weights(overrides: list[str], tmp_path: Path) -> None:
    last, metrics = trained(tmp_path / "run", *LONG, *overrides)
    assert metrics["test/accuracy"] > FAIR
    assert {tensor.dtype for tensor in last["state_dict"].values()} == {torch.float32}


def test_rows_that_come_back_from_a_gpu_can_be_read_at_once() -> None:
    """The GPU is kept busy, so that a copy that is only on its way holds what the memory held before."""
    first, second = (
        Batch(torch.full((64, 2), value), torch.zeros(64, 0, dtype=torch.int64)).to(torch.device("cuda"))
        for value in (1.0, 2.0)
    )
    first.to(torch.device("cpu"))
    torch.cuda.synchronize()
    torch.cuda._sleep(500_000_000)  # cycles
    assert second.to(torch.device("cpu")).numeric.unique().tolist() == [2.0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # of the compiler, about this GPU
def test_a_compiled_network_learns_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch.compiler.reset()
    short = [*PENGUINS, "trainer.max_epochs=3"]
    plain, expected = trained(tmp_path / "plain", *short)
    compiled, metrics = trained(tmp_path / "compiled", *short, "compile=true")
    torch.compiler.reset()
    assert list((tmp_path / "cache").iterdir())  # it was compiled
    assert plain["state_dict"].keys() == compiled["state_dict"].keys()
    for name in ("val/loss", "test/loss"):
        assert metrics[name] == pytest.approx(expected[name], rel=1e-3)
