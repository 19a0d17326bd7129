import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import SLOPE, SMALL, UNDRAWN, compose_config
from litmlp import checkpoint, cli
from litmlp.callbacks import StopOnNaN
from litmlp.commands.evaluate import evaluate
from litmlp.commands.train import _seed_everything, main, summary, train
from litmlp.errors import InputError, Interrupted, TrainingDiverged
from litmlp.files import read_json
from litmlp.model import measure
from litmlp.tasks.calibration import temperature_of

PENGUINS = ["data=penguins", "network.dropout=0.2", "trainer.max_epochs=6", *UNDRAWN]


def weights(folder: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    return checkpoint.read(folder / "checkpoints" / name)["state_dict"]


def assert_same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def reported(folder: Path) -> dict[str, float]:
    metrics = read_json(folder / "metrics.json")
    return {name: value for name, value in metrics.items() if name != "fit_seconds"}


def stop_in_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next run be interrupted as a signal would, at the end of an epoch's steps."""
    original = StopOnNaN.on_train_epoch_end

    def stop(self, trainer, task) -> None:
        original(self, trainer, task)
        if trainer.current_epoch == epoch:
            raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(StopOnNaN, "on_train_epoch_end", stop)


def test_a_runs_folder_explains_itself(penguins_run: Path):
    names = {path.name for path in penguins_run.iterdir()}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    files = {".lock", "columns.json", "config.yaml", "metrics.json", "status.json", "train.log"}
    assert names - events == {"checkpoints", "plots", *files}
    assert {path.name for path in (penguins_run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert json.loads((penguins_run / "status.json").read_text())["status"] == "completed"
    expected = compose_config("data=penguins", "trainer.max_epochs=4", *SMALL)
    assert OmegaConf.to_container(OmegaConf.load(penguins_run / "config.yaml")) == expected


def test_metrics_are_flat_and_of_the_best_checkpoint(penguins_run: Path):
    metrics = reported(penguins_run)
    task, data, _ = checkpoint.load(penguins_run / "checkpoints/best.ckpt")
    data.setup()
    assert metrics["val/loss"] == metrics["objective"] == measure(task, data, "val")["val/loss"]
    assert metrics["test/accuracy"] == measure(task, data, "test")["test/accuracy"]
    assert (metrics["epochs"], metrics["steps"]) == (4, 4 * 7)  # 220 rows in batches of 32
    # 5 numbers; 3 islands and 2 sexes with 2 codes more each, embedded in 4 and 3; 8 units; 3 classes.
    assert metrics["parameters"] == 5 * 4 + 4 * 3 + (5 + 4 + 3) * 8 + 8 + 8 * 3 + 3


def test_the_best_checkpoint_is_the_best_epoch(tmp_path: Path):
    train(compose_config(*PENGUINS, "logger=csv", "optimizer.lr=0.03"), tmp_path / "run")
    (table,) = (tmp_path / "run").glob("csv/*/metrics.csv")
    header, *lines = (line.split(",") for line in table.read_text().splitlines())
    losses = [float(line[header.index("val/loss")]) for line in lines if line[header.index("val/loss")]]
    assert len(losses) == 6
    assert reported(tmp_path / "run")["objective"] == pytest.approx(min(losses), rel=1e-5)


def test_same_seed_gives_the_same_bits_and_another_does_not(tmp_path: Path):
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        train(compose_config(*PENGUINS, f"seed={seed}", "trainer.max_epochs=2"), tmp_path / name)
    assert_same_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert reported(tmp_path / "a") == reported(tmp_path / "b")
    assert reported(tmp_path / "a") != reported(tmp_path / "c")


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["scheduler=none", "optimizer=sgd"],
        ["scheduler=one_cycle"],
        ["scheduler=plateau", "scheduler.patience=0", "optimizer=adam"],
        ["trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.5"],
    ],
    ids=lambda overrides: overrides[0] if overrides else "default",
)
def test_a_resumed_run_is_a_run_never_stopped(overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = compose_config(*PENGUINS, *overrides)
    train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_in_epoch(3, patch)
        with pytest.raises(Interrupted):
            train(config, tmp_path / "stopped")
    assert json.loads((tmp_path / "stopped/status.json").read_text())["status"] == "interrupted"
    train(config, tmp_path / "stopped", resume=True)
    for name in ("best.ckpt", "last.ckpt"):
        assert_same_weights(weights(tmp_path / "whole", name), weights(tmp_path / "stopped", name))
    assert reported(tmp_path / "whole") == reported(tmp_path / "stopped")


def test_a_run_stopped_before_its_first_checkpoint_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = compose_config(*PENGUINS)
    with monkeypatch.context() as patch:
        stop_in_epoch(0, patch)
        with pytest.raises(Interrupted):
            train(config, tmp_path / "stopped")
    train(config, tmp_path / "stopped", resume=True)
    train(config, tmp_path / "whole")
    assert reported(tmp_path / "whole") == reported(tmp_path / "stopped")


def test_a_finished_run_can_be_trained_further(tmp_path: Path):
    train(compose_config(*PENGUINS, "trainer.max_epochs=3", "scheduler=none"), tmp_path / "run")
    train(compose_config(*PENGUINS, "scheduler=none"), tmp_path / "run", resume=True)
    train(compose_config(*PENGUINS, "scheduler=none"), tmp_path / "whole")
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "run"))


def test_init_from_starts_a_new_run_from_weights(penguins_run: Path, tmp_path: Path):
    config = compose_config("data=penguins", *SMALL, f"init_from={penguins_run}", "optimizer.lr=1e-12")
    config["trainer"]["max_epochs"] = 1
    train(config, tmp_path / "run")
    before = weights(penguins_run, "best.ckpt")
    for name, tensor in weights(tmp_path / "run").items():
        torch.testing.assert_close(tensor, before[name], atol=1e-6, rtol=0)


def test_a_run_from_weights_stopped_before_its_first_checkpoint_starts_from_them_again(
    penguins_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = compose_config(*PENGUINS, "network.dropout=0", f"init_from={penguins_run}")
    train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_in_epoch(0, patch)
        with pytest.raises(Interrupted):
            train(config, tmp_path / "stopped")
    train(config, tmp_path / "stopped", resume=True)
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert OmegaConf.load(tmp_path / "stopped/config.yaml").init_from == str(penguins_run)


def test_init_from_weights_that_do_not_fit_is_one_sentence(penguins_run: Path, tmp_path: Path):
    config = compose_config("data=penguins", "network.hidden_sizes=[9]", f"init_from={penguins_run}")
    with pytest.raises(InputError, match="do not fit this network"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def poison(self, batch, batch_idx):
        loss = self.step(batch, "train")
        return loss * math.nan if self.current_epoch == 2 else loss

    monkeypatch.setattr("litmlp.tasks.ClassificationTask.training_step", poison)
    with pytest.raises(TrainingDiverged, match=r"the loss became nan in epoch 2: lower optimizer\.lr"):
        train(compose_config(*PENGUINS), tmp_path / "run")
    assert json.loads((tmp_path / "run/status.json").read_text())["status"] == "failed"
    for name in ("best.ckpt", "last.ckpt"):
        assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run", name).values())


def test_without_checkpoints_the_final_weights_are_tested(tmp_path: Path):
    metrics = train(
        compose_config(
            "data=penguins", "trainer.max_epochs=6", *SMALL, "callbacks=none", "trainer.enable_progress_bar=false"
        ),
        tmp_path / "run",
    )
    assert metrics["epochs"] == 6
    assert 0 < metrics["objective"] < 2


def test_linear_regression_finds_the_slope(tmp_path: Path):
    overrides = [*SLOPE, "data.batch_size=8", "network=linear", "optimizer=sgd", "optimizer.lr=0.05"]
    train(compose_config(*overrides, "threads=1"), tmp_path / "run")
    state = weights(tmp_path / "run")
    _, data, _ = checkpoint.load(tmp_path / "run/checkpoints/last.ckpt")
    units = data.target.scaling.std / torch.tensor([column.scaling.std for column in data.inputs.columns])
    slopes = state["network.layers.0.weight"] * units
    torch.testing.assert_close(slopes, torch.full((1, 2), 0.1).double(), atol=1e-4, rtol=0)


def test_events_hold_curves_and_one_hparams_entry_with_final_metrics(penguins_run: Path):
    (path,) = penguins_run.glob("events.out.tfevents.*")
    events = EventAccumulator(str(path)).Reload()
    tags = set(events.Tags()["scalars"])
    names = {"loss", "accuracy", "balanced_accuracy", "f1", "auroc", "log_loss"}
    assert {f"{stage}/{name}" for stage in ("train", "val", "val_best", "test") for name in names} <= tags
    assert "hp_metric" not in tags
    assert [event.step for event in events.Scalars("val/loss")] == [6, 13, 20, 27]
    metrics = reported(penguins_run)
    assert events.Scalars("val_best/loss")[0].value == pytest.approx(metrics["val/loss"])
    assert events.Scalars("test/accuracy")[0].value == pytest.approx(metrics["test/accuracy"])
    (session,) = (content for tag, content in events.summary_metadata.items() if tag == "_hparams_/session_start_info")
    from tensorboard.plugins.hparams import plugin_data_pb2

    hparams = plugin_data_pb2.HParamsPluginData.FromString(session.plugin_data.content).session_start_info.hparams
    assert hparams["optimizer/lr"].number_value == 1e-3
    assert hparams["seed"].number_value == 42


@pytest.mark.slow
def test_two_processes_train_one_run(tmp_path: Path):
    overrides = ["data=penguins", "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=3"]
    folder = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "litmlp.commands.train",
        *overrides,
        "hydra.run.dir=run",
        "network.hidden_sizes=[8]",
    ]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, timeout=200)
    metrics = reported(folder)
    assert (metrics["epochs"], metrics["steps"]) == (3, 3 * 4)  # 110 rows each, in batches of 32
    task, data, _ = checkpoint.load(folder / "checkpoints/best.ckpt")
    data.setup()
    assert metrics["val/loss"] == measure(task, data, "val")["val/loss"]
    val = data.tables["val"].rows(slice(None))  # the temperature is fitted to the rows of both processes
    fitted = temperature_of(task.forward(val).detach(), val.target)
    assert float(task.temperature) == pytest.approx(fitted, rel=1e-4)
    scalars = defaultdict(list)
    for path in folder.glob("events.out.tfevents.*"):
        events = EventAccumulator(str(path)).Reload()
        for tag in events.Tags()["scalars"]:
            scalars[tag] += [event.value for event in events.Scalars(tag)]
    assert len(scalars["val/loss"]) == 3
    assert min(scalars["val/loss"]) == pytest.approx(metrics["objective"], rel=1e-5)


def test_steps_that_end_within_the_first_epoch_are_enough(tmp_path: Path):
    metrics = train(compose_config(*PENGUINS, "trainer.max_steps=3"), tmp_path / "run")
    assert metrics["steps"] == 3
    assert math.isfinite(metrics["objective"])


def test_max_time_ends_training(tmp_path: Path):
    overrides = ["trainer.max_epochs=100000", "trainer.max_time=00:00:00:01", "scheduler=none", "optimizer.lr=0.01"]
    metrics = train(compose_config(*PENGUINS, *overrides), tmp_path / "run")
    assert 0 < metrics["epochs"] < 100000
    assert metrics["test/accuracy"] > 0.5


def run_until_first_checkpoint(folder: Path, *overrides: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "litmlp.commands.train", *overrides, f"hydra.run.dir={folder}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (folder / "checkpoints/last.ckpt").exists():
        time.sleep(0.01)
    return process


LONG = ["data=penguins", "network.dropout=0.2", "network.hidden_sizes=[8]", "trainer.max_epochs=150", "threads=1"]
LONG += ["callbacks.early_stopping.patience=1000"]


@pytest.mark.slow
def test_sigterm_stops_cleanly_and_the_same_folder_goes_on(tmp_path: Path):
    process = run_until_first_checkpoint(tmp_path / "run", *LONG)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.strip() == "litmlp-train: stopped by SIGTERM"
    assert out.splitlines()[-1] == "interrupted: continue with litmlp-train resume=run"
    assert json.loads((tmp_path / "run/status.json").read_text())["status"] == "interrupted"
    resume = [sys.executable, "-m", "litmlp.commands.train", "resume=run"]
    out = subprocess.run(resume, check=True, capture_output=True, text=True, timeout=200).stdout
    assert out.splitlines()[-1] == "run"
    train(compose_config(*LONG), tmp_path / "whole")
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "run"))


@pytest.mark.slow
def test_kill_at_random_moments_loses_nothing(tmp_path: Path):
    import random

    train(compose_config(*LONG), tmp_path / "whole")
    generator = random.Random(0)
    process = run_until_first_checkpoint(tmp_path / "run", *LONG)
    for _ in range(5):
        time.sleep(generator.random())
        process.kill()
        process.communicate()
        process = subprocess.Popen([sys.executable, "-m", "litmlp.commands.train", "resume=run"])
        time.sleep(5 * generator.random())
    assert process.wait(timeout=200) == 0
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "run"))
    assert reported(tmp_path / "whole") == reported(tmp_path / "run")


def test_resume_takes_new_values_and_refuses_new_parts(penguins_run: Path):
    config = OmegaConf.create(compose_config("data=california"))
    config.resume = str(penguins_run)
    continued = cli.resumed(config, penguins_run, [f"resume={penguins_run}", "++trainer.max_epochs=9"])
    assert continued == OmegaConf.to_container(OmegaConf.load(penguins_run / "config.yaml")) | {
        "trainer": continued["trainer"]
    }
    assert continued["trainer"]["max_epochs"] == 9
    for override in ("data=adult", "++network.hidden_sizes=[9]", "++optimizer.lr=1", "seed=3"):
        with pytest.raises(InputError, match="cannot change when a run is resumed"):
            cli.resumed(config, penguins_run, [override])


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
@pytest.mark.parametrize("content", [b"", b"half of a checkpoint", None])
def test_a_run_whose_checkpoints_are_lost_or_damaged_says_so_and_starts_again(
    name: str, content: bytes | None, tmp_path: Path
):
    config = compose_config(*PENGUINS, "trainer.max_epochs=2", "scheduler=none")
    train(config, tmp_path / "run")
    expected = reported(tmp_path / "run")
    file = tmp_path / "run/checkpoints" / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    if (name, content) != ("last.ckpt", None):
        with pytest.raises(InputError, match=rf"{name}' is .*: remove 'run/checkpoints', and it starts again"):
            train(config, tmp_path / "run", resume=True)
        shutil.rmtree(file.parent)
    train(config, tmp_path / "run", resume=True)
    assert reported(tmp_path / "run") == expected


def test_a_run_whose_metrics_are_lost_measures_them_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arguments = ["litmlp-train", *PENGUINS, "trainer.max_epochs=2", "hydra.run.dir=0"]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    expected = reported(tmp_path / "0")
    (tmp_path / "0/metrics.json").write_text("")
    monkeypatch.setattr(sys, "argv", ["litmlp-train", "resume=0"])
    main()
    assert reported(tmp_path / "0") == expected


def test_what_the_trainer_refuses_when_it_begins_is_one_sentence(tmp_path: Path):
    config = compose_config("data=penguins", "trainer.limit_train_batches=0.1")  # of 7 batches
    with pytest.raises(InputError, match=r"Try at least `limit_train_batches=0.14"):
        train(config, tmp_path / "run")


def test_resume_of_a_folder_that_is_no_run_is_one_sentence(tmp_path: Path):
    config = OmegaConf.create({"resume": "somewhere"})
    with pytest.raises(InputError, match=r"'somewhere' is no run's folder"):
        cli.resumed(config, tmp_path, [])


def test_the_summary_shows_validation_and_test_side_by_side():
    metrics = {"val/rmse": 1.25, "test/rmse": 1.5, "epochs": 3, "steps": 9, "fit_seconds": 0.5}
    header, row = summary(metrics).split("\n")[1:3]
    assert header.split() == ["val", "test"]
    assert row.split() == ["rmse", "1.2500", "1.5000"]


def test_a_run_in_doubles_is_measured_and_drawn(tmp_path: Path):
    small = ["network.hidden_sizes=[4]", "trainer.accelerator=cpu", "trainer.max_epochs=2", "threads=1"]
    config = compose_config("data=penguins", "trainer.precision=64-true", *small)
    metrics = train(config, tmp_path / "run")
    assert 0 <= metrics["test/accuracy"] <= 1
    assert (tmp_path / "run/plots/classification-confusion.png").is_file()
    assert evaluate(str(tmp_path / "run"))["test/loss"] == pytest.approx(metrics["test/loss"], rel=1e-5)


def test_all_generators_are_seeded_as_lightning_seeds_them():
    def drawn() -> tuple[Any, ...]:
        settings = [os.environ[name] for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")]
        return random.random(), np.random.rand(), float(torch.rand(())), *settings

    seed_everything(7, verbose=False)
    expected = drawn()
    _seed_everything(8)
    assert drawn() != expected
    _seed_everything(7)
    assert drawn() == expected
