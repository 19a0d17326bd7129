"""The door from Python does what the commands do, and leaves Python as it was."""

import os
import random
import re
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from lightning.pytorch.callbacks import Callback
from polars.testing import assert_frame_equal

import litmlp
from conftest import SLOPE, UNDRAWN, compose_config
from litmlp.commands import predict
from litmlp.commands.train import train
from litmlp.files import read_json
from litmlp.paths import CONF, ROOT
from test_advice import DRAWN

PENGUINS = ["data=penguins", "trainer.max_epochs=3", *UNDRAWN]
ROWS = pl.read_csv(ROOT / "data/penguins.csv", null_values="NA")


def test_importing_it_imports_nothing_that_takes_time():
    code = "import sys, litmlp; dir(litmlp); heavy = {'torch', 'polars', 'hydra', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{code}; print(heavy)"], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_it_says_it_has_it_has():
    assert {*litmlp.__all__} <= {*dir(litmlp)}
    assert all(callable(getattr(litmlp, name)) for name in litmlp.__all__)
    with pytest.raises(AttributeError, match="module 'litmlp' has no attribute 'trian'"):
        litmlp.trian  # noqa: B018


def test_it_composes_what_the_command_does():
    assert litmlp.compose(*PENGUINS, "optimizer.lr=0.01") == compose_config(*PENGUINS, "optimizer.lr=0.01")


def test_a_run_is_that_of_the_command(tmp_path: Path):
    run = litmlp.train(*PENGUINS, folder=tmp_path / "run")
    expected = train(compose_config(*PENGUINS), tmp_path / "other")
    assert {**run.metrics, "fit_seconds": 0} == {**expected, "fit_seconds": 0}
    assert run.metrics == read_json(run.folder / "metrics.json")
    assert run.config == compose_config(*PENGUINS)


def test_the_folder_is_the_one_that_the_config_names(tmp_path: Path):
    run = litmlp.train(*PENGUINS, f"hydra.run.dir={tmp_path / 'named'}")
    assert run.folder == tmp_path / "named"
    again = litmlp.train(f"resume={run.folder}", "trainer.max_epochs=5")
    assert (again.folder, again.metrics["epochs"]) == (run.folder, 5)


@pytest.mark.parametrize("form", ["file", "polars", "pandas", "dict"])
def test_a_model_predicts_what_the_command_writes(form: str, penguins_run: Path, tmp_path: Path):
    rows: dict[str, Any] = {
        **{"file": str(ROOT / "data/penguins.csv"), "polars": ROWS, "dict": ROWS.to_dict(as_series=False)},
        "pandas": pd.DataFrame(ROWS.to_dict(as_series=False)),
    }
    for path in (penguins_run, penguins_run / "checkpoints/best.ckpt"):
        model = litmlp.load(path)
        expected = predict.predict(str(path), ROOT / "data/penguins.csv", ["island"])
        assert_frame_equal(model.predict(rows[form], keep=["island"]), expected)
    assert (model.targets, model.classes) == (["species"], ["Adelie", "Chinstrap", "Gentoo"])
    assert "species" not in model.columns


def test_a_model_is_measured_on_rows_with_targets(penguins_run: Path):
    model = litmlp.load(penguins_run)
    found = model.evaluate(ROWS)
    right = model.predict(ROWS)["prediction"] == ROWS["species"]
    assert found["accuracy"] == pytest.approx(right.mean())


def test_a_frame_is_trained_on(tmp_path: Path):
    given = ["data.target=species", *PENGUINS[1:]]
    run = litmlp.train(*given, frame=ROWS, folder=tmp_path / "frame")
    assert run.config["task"]["_target_"] == "litmlp.tasks.ClassificationTask"
    of_file = litmlp.train("data=table", "data.path=data/penguins.csv", *given, folder=tmp_path / "file")
    assert {**run.metrics, "fit_seconds": 0} == {**of_file.metrics, "fit_seconds": 0}
    assert_frame_equal(run.load().predict(ROWS), of_file.load().predict(ROWS))


def test_compose_refuses_what_training_would():
    for override, said in (
        ("trainer.max_epoch=1", "there is no config key 'trainer.max_epoch': did you mean 'max_epochs'?"),
        ("trainr.max_epochs=1", "there is no config key 'trainr': did you mean 'trainer'?"),
        ("seed=-1", "seed is -1: "),
    ):
        with pytest.raises(litmlp.InputError, match=re.escape(said)):
            litmlp.compose("data=penguins", override)


def test_a_run_that_learned_from_a_frame_is_resumed_with_it(tmp_path: Path):
    given = ["data.target=species", *PENGUINS[2:]]
    whole = litmlp.train(*given, "scheduler=none", "trainer.max_epochs=4", frame=ROWS, folder=tmp_path / "whole")
    part = litmlp.train(*given, "scheduler=none", "trainer.max_epochs=2", frame=ROWS, folder=tmp_path / "part")
    with pytest.raises(litmlp.InputError, match=r"or give a frame from Python"):
        litmlp.train(f"resume={part.folder}", "trainer.max_epochs=4")
    with pytest.raises(litmlp.InputError, match="a run is resumed in its own folder: leave folder out"):
        litmlp.train(f"resume={part.folder}", frame=ROWS, folder=tmp_path / "other")
    resumed = litmlp.train(f"resume={part.folder}", "trainer.max_epochs=4", frame=ROWS)
    assert {**resumed.metrics, "fit_seconds": 0} == {**whole.metrics, "fit_seconds": 0}
    assert_frame_equal(resumed.load().predict(ROWS), whole.load().predict(ROWS))


def test_runs_in_threads_are_those_of_one_thread(tmp_path: Path):
    def loss(seed: int, name: str) -> float:
        given = ["data.target=species", *PENGUINS[1:], f"seed={seed}"]
        return litmlp.train(*given, frame=ROWS, folder=tmp_path / f"{name}{seed}").metrics["val/loss"]

    alone = [loss(seed, "alone") for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(loss, range(3), ["together"] * 3)) == alone


def test_a_home_folder_is_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert litmlp.train(*PENGUINS, folder="~/a").folder == tmp_path / "home/a"
    assert litmlp.train(*PENGUINS, "hydra.run.dir=~/b").folder == tmp_path / "home/b"
    assert litmlp.load("~/a").classes == litmlp.load("~/b").classes
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


class Interrupts(Callback):
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_reaches_the_caller_and_the_run_can_be_resumed(tmp_path: Path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            litmlp.train(*PENGUINS, folder=tmp_path / "run", callbacks=Interrupts())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert litmlp.train(f"resume={tmp_path / 'run'}").metrics["epochs"] == 3


def test_gradients_and_a_terminal_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = litmlp.train(*PENGUINS, folder=tmp_path / "expected").metrics
    monkeypatch.setattr(sys, "stderr", None)
    for number, context in enumerate((torch.no_grad(), torch.inference_mode())):
        with context:
            found = litmlp.train(*PENGUINS, folder=tmp_path / str(number))
        assert found.metrics["val/loss"] == expected["val/loss"]


def test_files_for_other_splits_of_a_frame_are_refused_and_a_column_splits_it(tmp_path: Path):
    given, key = ["data.target=species", *PENGUINS[1:]], "data.test_path=data/penguins.csv"
    said = "data.test_path names a file, but the rows do not come from files: leave it out"
    with pytest.raises(litmlp.InputError, match=said):
        litmlp.train(*given, key, frame=ROWS, folder=tmp_path / "run")
    rows = ROWS.with_columns(part=pl.Series([("train", "val", "test")[i % 3] for i in range(len(ROWS))]))
    run = litmlp.train(*given, "data.split_column=part", frame=rows, folder=tmp_path / "run")
    assert "115 train, 115 val, 114 test rows" in (run.folder / "train.log").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sep": ";"}, "there is no key 'sep' in read_options: known are "),
        ({"delimiter": 3}, "read_options.delimiter is 3, but should be of type str | None: correct the value"),
        (["delimiter=;"], "read_options are ['delimiter=;']: give a dict, such as {'delimiter': ';'}"),
    ],
)
def test_options_that_cannot_be_are_refused(options: Any, said: str, penguins_run: Path):
    with pytest.raises(litmlp.InputError, match=re.escape(said)):
        litmlp.load(penguins_run).predict(ROWS, read_options=options)


def test_a_run_can_be_loaded_and_one_without_weights_is_told_apart(tmp_path: Path, penguins_run: Path):
    run = litmlp.train(*PENGUINS, folder=tmp_path / "run")
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert_frame_equal(litmlp.load(run).predict(ROWS), run.load().predict(ROWS))
    assert torch.equal(torch.rand(1), expected)
    (run.folder / "checkpoints/best.ckpt").unlink()
    with pytest.raises(litmlp.InputError, match=r"no checkpoints/best\.ckpt yet: resume it, or choose another run"):
        litmlp.load(run.folder)


class Steps(Callback):
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.steps = trainer.global_step


def test_callbacks_can_be_given(tmp_path: Path):
    steps = Steps()
    run = litmlp.train(*PENGUINS, folder=tmp_path / "run", callbacks=[steps])
    assert steps.steps == run.metrics["steps"]
    with pytest.raises(litmlp.InputError, match=r"callbacks hold .*: give objects of Lightning's Callback"):
        litmlp.train(*PENGUINS, folder=tmp_path / "other", callbacks=[Steps])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data=penguin"], "data has no option 'penguin': did you mean 'penguins'?"),
        (["optimizer.lr=-1"], "optimizer.lr is -1: a learning rate is above 0"),
        (["sed=1"], "there is no config key 'sed': did you mean 'seed'?"),
        (["-m", "seed=1,2"], "'-m' is for the command line: give overrides, such as data=penguins"),
        ([["seed=1"]], "['seed=1'] is no override: give texts, such as 'data=penguins', one by one"),
        (["seed=1,2"], "seed is given several values"),
        (["data=table", "data.target=y"], "no data.path is given: add data.path=..."),
    ],
)
def test_a_mistake_is_the_commands_sentence(overrides: list[str], said: str, tmp_path: Path):
    with pytest.raises(litmlp.InputError) as error:
        litmlp.train(*overrides, folder=tmp_path / "run")
    assert str(error.value).startswith(said)
    assert not (tmp_path / "run").exists()


def test_a_frame_for_what_is_no_table_is_refused(tmp_path: Path):
    with pytest.raises(litmlp.InputError, match="a frame is given, but data is no table: leave one of them out"):
        litmlp.train(*SLOPE, *DRAWN.split(), frame=ROWS, folder=tmp_path / "run")


def test_python_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)

    def state() -> list[Any]:
        draws = [random.random(), float(np.random.rand()), torch.rand(1).item()]
        return [*draws, torch.get_num_threads(), torch.get_float32_matmul_precision(), list(warnings.filters)]

    def seeded() -> None:
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)

    seeded()
    expected = state()
    seeded()
    run = litmlp.train(*PENGUINS, "threads=2", "matmul_precision=medium", folder=tmp_path / "run")
    assert state() == expected
    assert run.metrics["steps"] > 0
    assert not GlobalHydra.instance().is_initialized()


def test_it_works_within_a_program_that_uses_hydra():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        before = compose("train", ["data=penguins"]).data.target
        assert litmlp.compose("data=adult")["data"]["target"] != before
        assert compose("train", ["data=penguins"]).data.target == before
