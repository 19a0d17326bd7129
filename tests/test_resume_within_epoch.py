"""A run that breaks off within an epoch goes on from there, to the bit as if it had not."""

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch

from conftest import UNDRAWN, compose_config
from litmlp import build, checkpoint
from litmlp.callbacks import Callback, best_and_last
from litmlp.commands.evaluate import evaluate
from litmlp.commands.train import train
from litmlp.training import loop

PENGUINS = ["data=penguins", "data.batch_size=16", "network.dropout=0.3", "trainer.max_epochs=3", *UNDRAWN]
SETTINGS = {
    "default": [],
    "weighted": ["task.class_weights=balanced"],
    "one_cycle": ["scheduler=one_cycle", "optimizer=sgd"],
    "limited": ["trainer.limit_train_batches=12"],
    "validated twice": ["trainer.val_check_interval=0.5"],
    "accumulated": ["trainer.accumulate_grad_batches=3"],
}


class BreakOff(Callback):
    """Raises once so many batches have been trained on; may want to see each."""

    def __init__(self, after: int, once_a_round: bool = True) -> None:
        self.after, self.once_a_round, self.seen = after, once_a_round, 0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready >= self.after:
            raise ZeroDivisionError


@pytest.fixture(autouse=True)
def _written_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STEPS_A_ROUND", 4)
    monkeypatch.setattr(best_and_last, "SECONDS_WITHIN_EPOCH", 0.0)
    monkeypatch.setattr(best_and_last, "FRACTION_OF_TIME", 1e9)


def break_off(folder: Path, config: dict[str, Any], after: int, **options: Any) -> dict[str, Any]:
    config["callbacks"] |= {"break_off": {"_target_": f"{__name__}.BreakOff", "after": after, **options}}
    with pytest.raises(ZeroDivisionError):
        train(config, folder)
    del config["callbacks"]["break_off"]
    return checkpoint.read(folder / "checkpoints/last.ckpt")


@pytest.mark.parametrize("after", [6, 12, 19])  # of 14 in an epoch: within the first and the second
@pytest.mark.parametrize("name", SETTINGS)
def test_equals_a_run_that_never_stopped(name: str, after: int, tmp_path: Path) -> None:
    config = compose_config(*PENGUINS, *SETTINGS[name])
    expected = train(config, tmp_path / "whole")
    broken = break_off(tmp_path / "broken", config, after)
    assert broken["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"] not in (0, 14)
    metrics = train(config, tmp_path / "broken", resume=True)
    assert metrics | {"fit_seconds": 0} == expected | {"fit_seconds": 0}
    first, second = (checkpoint.read(tmp_path / run / "checkpoints/last.ckpt") for run in ("whole", "broken"))
    for name, tensor in first["state_dict"].items():
        assert torch.equal(tensor, second["state_dict"][name]), name
    assert first["global_step"] == second["global_step"]
    assert first["lr_schedulers"] == second["lr_schedulers"]


def test_training_metrics_of_the_broken_epoch_count_all_of_its_steps(tmp_path: Path) -> None:
    config = compose_config(*PENGUINS, "logger=csv")
    train(config, tmp_path / "whole")
    break_off(tmp_path / "broken", config, 6)
    train(config, tmp_path / "broken", resume=True)
    losses = []
    for run in ("whole", "broken"):
        rows = [
            row
            for path in (tmp_path / run).glob("csv/*/metrics.csv")
            for row in csv.DictReader(path.read_text().splitlines())
        ]
        losses.append([row["train/loss"] for row in rows if row["epoch"] == "0" and row["train/loss"]])
    assert losses[0] == losses[1]
    assert len(losses[0]) == 1


def test_the_best_weights_come_without_what_a_later_moment_is_resumed_from(tmp_path: Path) -> None:
    config = compose_config(*PENGUINS)
    last = break_off(tmp_path / "broken", config, 19)
    path = tmp_path / "broken/checkpoints/best.ckpt"
    best = checkpoint.read(path)
    assert last["seen"][0] is not None
    assert not {"seen", "loops", "optimizer_states"} & best.keys()
    data = build.data(config)
    task = build.task(config, checkpoint.load(path).data.spec)
    (scores,) = build.trainer(config, str(tmp_path)).test(task, data, ckpt_path=path, weights_only=True, verbose=False)
    assert scores == pytest.approx(evaluate(str(path)))


def test_a_short_epoch_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_and_last, "SECONDS_WITHIN_EPOCH", 60.0)
    broken = break_off(tmp_path / "broken", compose_config(*PENGUINS), 19)
    assert broken["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"] == 14
    assert broken["epoch"] == 1
