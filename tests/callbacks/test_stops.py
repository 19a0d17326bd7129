"""A run that a callback stopped, and that was killed before it was complete, ends as one that was never killed."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import optuna
import pytest

from conftest import SMALL, UNDRAWN, compose_config
from litmlp import model
from litmlp.callbacks import Pruning, best_and_last
from litmlp.commands.train import train
from litmlp.errors import Interrupted

STOPPED = ["callbacks.early_stopping.patience=2", "callbacks.early_stopping.min_delta=10"]  # after three epochs
Make = Callable[[], list[L.Callback]]


def config(*overrides: str) -> dict[str, Any]:
    return compose_config("data=penguins", *SMALL, *UNDRAWN, "trainer.max_epochs=9", *overrides)


def killed_while_it_is_tested(folder: Path, patch: pytest.MonkeyPatch, make: Make, *overrides: str) -> dict[str, Any]:
    """What a run reports that is killed once its training is over, and gone on with."""

    def stop(*_: Any) -> None:
        raise Interrupted(signal.SIGTERM)

    with patch.context() as once:
        once.setattr(model, "measure", stop)
        with pytest.raises(Interrupted):
            train(config(*overrides), folder, callbacks=make())
    return train(config(*overrides), folder, resume=True, callbacks=make())


def callbacks_of_a_trial(upper: float | None) -> Make:
    """Return what makes the callbacks of one trial, which ends with its fourth epoch if its loss is above `upper`."""
    if upper is None:
        return list
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=upper, n_warmup_steps=3))
    number = study.ask()._trial_id
    return lambda: [Pruning(optuna.trial.Trial(study, number), "val/loss")]


@pytest.mark.parametrize(("upper", "epochs"), [(None, 3), (-1.0, 4), (1e9, 9)])
def test_it_ends_alike(upper: float | None, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped early, pruned, or not stopped at all."""
    overrides = STOPPED if upper is None else []
    whole = train(config(*overrides), tmp_path / "whole", callbacks=callbacks_of_a_trial(upper)())
    found = killed_while_it_is_tested(tmp_path / "killed", monkeypatch, callbacks_of_a_trial(upper), *overrides)
    assert whole["epochs"] == epochs
    assert found | {"fit_seconds": 0} == whole | {"fit_seconds": 0}


class Dying(L.Callback):
    """Raises once an epoch was reported to the study, before its state is written."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise Interrupted(signal.SIGTERM)


def test_a_pruned_run_that_repeats_epochs_is_ended_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study knows of an epoch that the run's state, which is written seldom, has not reached."""
    whole = train(config(), tmp_path / "whole", callbacks=callbacks_of_a_trial(-1.0)())
    make = callbacks_of_a_trial(-1.0)
    with pytest.raises(Interrupted):
        train(config(), tmp_path / "killed", callbacks=[*make(), Dying(2)])
    monkeypatch.setattr(best_and_last, "FRACTION_OF_TIME", 1e-9)  # from here on its state is written at the end only
    with pytest.raises(Interrupted):
        train(config(), tmp_path / "killed", resume=True, callbacks=[*make(), Dying(3)])
    found = train(config(), tmp_path / "killed", resume=True, callbacks=make())
    assert found["epochs"] == 4
    assert found | {"fit_seconds": 0} == whole | {"fit_seconds": 0}
