from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as L
import pytest
import torch

from conftest import SMALL, compose_config
from litmlp import build, checkpoint
from litmlp.callbacks import BestAndLast, best_and_last
from litmlp.callbacks.base import pause
from litmlp.commands.train import quiet_libraries, train

PENGUINS = ["data=penguins", *SMALL, "logger=none"]


class Scripted(L.Callback):
    """Scores epochs as told, notes what is on disk, and may raise."""

    def __init__(self, folder: Path, scores: list[float], fails_in: int | None = None) -> None:
        self.folder, self.scores, self.fails_in = folder, scores, fails_in
        self.weights: list[dict[str, torch.Tensor]] = []
        self.on_disk: list[tuple[int | None, int | None]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch == self.fails_in:
            raise ZeroDivisionError
        trainer.callback_metrics["val/loss"] = torch.tensor(self.scores[trainer.current_epoch])
        self.weights.append({name: value.clone() for name, value in pl_module.state_dict().items()})
        self.on_disk.append((epoch_of(self.folder, "best"), epoch_of(self.folder, "last")))


def epoch_of(folder: Path, name: str) -> int | None:
    path = folder / "checkpoints" / f"{name}.ckpt"
    return checkpoint.read(path)["epoch"] if path.exists() else None


def fit(folder: Path, scores: list[float], fails_in: int | None = None, **options: Any) -> Scripted:
    config = compose_config(*PENGUINS, f"trainer.max_epochs={len(scores)}", "callbacks=none")
    config["trainer"] |= {"enable_progress_bar": False, "enable_checkpointing": False}
    data = build.data(config)
    data.setup()
    task, trainer = build.task(config, data.spec), build.trainer(config, str(folder))
    task.save_hyperparameters(checkpoint.description(config), logger=False)
    scripted = Scripted(folder, scores, fails_in)
    trainer.callbacks += [scripted, BestAndLast("val/loss", **{"mode": "min", **options})]
    quiet_libraries()
    trainer.fit(task, datamodule=data)
    return scripted


@pytest.mark.parametrize("share", [1e9, 1e-9], ids=["at every epoch", "once"])
@pytest.mark.parametrize(("mode", "best"), [("min", 1), ("max", 2)])
def test_the_best_and_the_last_are_kept_however_seldom_they_are_written(
    mode: str, best: int, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best_and_last, "FRACTION_OF_TIME", share)
    scripted = fit(tmp_path, [3.0, 1.0, 5.0, 2.0], mode=mode)
    kept = checkpoint.read(tmp_path / "checkpoints/best.ckpt")["state_dict"]
    for name, value in scripted.weights[best].items():
        assert torch.equal(kept[name], value), name
    assert not all(torch.equal(kept[name], value) for name, value in scripted.weights[3].items())
    last = checkpoint.read(tmp_path / "checkpoints/last.ckpt")
    assert last["epoch"] == 4
    for name, value in scripted.weights[3].items():
        assert torch.equal(last["state_dict"][name], value), name
    assert last["callbacks"]["BestAndLast"]["best_epoch"] == best


def test_writing_that_would_take_too_long_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_and_last, "FRACTION_OF_TIME", 1e-9)
    assert fit(tmp_path, [4.0, 3.0, 2.0, 1.0]).on_disk == [(None, None), (0, 1), (0, 1), (0, 1)]


def test_writing_that_takes_no_time_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_and_last, "FRACTION_OF_TIME", 1e9)
    assert fit(tmp_path, [4.0, 3.0, 5.0, 1.0]).on_disk == [(None, None), (0, 1), (1, 2), (1, 3)]


def test_best_weights_outlive_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_and_last, "FRACTION_OF_TIME", 1e-9)
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, [4.0, 3.0, 2.0, 1.0], fails_in=3)
    assert epoch_of(tmp_path, "best") == 2
    assert epoch_of(tmp_path, "last") == 1


def test_an_epoch_without_a_score_is_not_the_best(tmp_path: Path) -> None:
    fit(tmp_path, [4.0, float("nan"), 2.0])
    assert epoch_of(tmp_path, "best") == 2


def test_what_this_process_has_written_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose_config(*PENGUINS, "trainer.max_epochs=8", "optimizer.lr=2")  # the last weights are not the best
    read = checkpoint.read
    with monkeypatch.context() as patch:
        patch.setattr("litmlp.checkpoint.read", None)
        metrics = train(config, tmp_path / "a")
    monkeypatch.setattr("litmlp.commands.train._written", lambda *_: None)
    again = train(config, tmp_path / "b")
    assert {**metrics, "fit_seconds": 0} == {**again, "fit_seconds": 0}
    last, best = (read(tmp_path / f"a/checkpoints/{name}.ckpt") for name in ("last", "best"))
    assert (last["epoch"], last["global_step"]) == (metrics["epochs"], metrics["steps"])
    assert round(last["callbacks"]["Timer"]["time_elapsed"]["train"], 3) == metrics["fit_seconds"]
    assert best["epoch"] + 1 < last["epoch"]


def test_side_by_side_runs_share_the_time_for_writing() -> None:
    assert pause(SimpleNamespace(fit_loop=SimpleNamespace()), 1.0, 0.01) == 100
    assert pause(SimpleNamespace(fit_loop=SimpleNamespace(side_by_side=3)), 1.0, 0.01) == 300
