import math
import shutil
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize_scalar
from torch.nn.functional import cross_entropy

from conftest import UNDRAWN, compose_config
from litmlp import checkpoint
from litmlp.commands.evaluate import evaluate
from litmlp.commands.train import train
from litmlp.files import read_json
from litmlp.model import load
from litmlp.tasks import calibration
from litmlp.tasks.calibration import LIMIT, PRIOR_ROWS, temperature_of, temperatures_of

SMOOTHED = ["data=penguins", "task.loss.label_smoothing=0.3", *UNDRAWN]


def drawn(rows: int, classes: int, temperature: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and classes that are drawn with the probabilities softmax(scores / temperature)."""
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(rows, classes, generator=generator)
    return scores, torch.multinomial((scores / temperature).softmax(dim=1), 1, generator=generator)[:, 0]


def oracle(scores: torch.Tensor, target: torch.Tensor, weight: np.ndarray) -> float:
    """The temperature by a minimiser that knows no derivatives, over log T."""
    z, rows = scores.double().numpy(), np.arange(len(target))

    def penalised(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        losses = np.logaddexp.reduce(inverse * z, axis=1) - inverse * z[rows, target.numpy()]
        return weight @ losses + PRIOR_ROWS * (inverse + log_temperature)

    return math.exp(minimize_scalar(penalised, (-1, 1), tol=1e-10).x)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 2.5, 20.0])
@pytest.mark.parametrize(("rows", "classes"), [(5, 2), (60, 3), (2000, 10)])
def test_is_the_minimum_that_another_minimiser_finds(rows: int, classes: int, temperature: float):
    scores, target = drawn(rows, classes, temperature)
    expected = oracle(scores, target, np.ones(rows))
    assert temperature_of(scores, target) == pytest.approx(expected, rel=1e-6)


def test_weighted_rows_have_the_minimum_that_another_minimiser_finds():
    scores, target = drawn(200, 3, 2.0)
    weight = torch.rand(200, generator=torch.Generator().manual_seed(1))
    in_rows = weight.double().numpy() * float(weight.sum()) / float(weight.square().sum())
    assert temperature_of(scores, target, weight) == pytest.approx(oracle(scores, target, in_rows), rel=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_finds_the_temperature_by_which_classes_were_drawn(classes: int, temperature: float):
    scores, target = drawn(100_000, classes, temperature)
    probability = (scores.double() / temperature).softmax(dim=1)
    variance = (probability * scores.square()).sum(1) - (probability * scores).sum(1).square()
    rows_used = min(100_000, calibration.MAX_SCORES // classes)
    # Fisher's information about 1 / T is the sum of the rows' variances of the score.
    standard_error = (rows_used / 2 * float(variance.mean())) ** -0.5  # at least half of that number is used
    assert abs(1 / temperature_of(scores, target) - 1 / temperature) < 4 * standard_error


def test_temperature_if_all_rows_are_right_by_hand():
    # 50 rows whose scores differ by 4: the derivative by b = 1 / T is 4 (1 - 1 / b) - 50 * 4 / (1 + exp(4 b)).
    scores, target = torch.tensor([[4.0, 0.0]] * 50), torch.zeros(50, dtype=torch.int64)
    b = brentq(lambda b: 4 * (1 - 1 / b) - 200 / (1 + math.exp(4 * b)), 1, 10)
    assert temperature_of(scores, target) == pytest.approx(1 / b, rel=1e-6)
    assert 0.5 < 1 / b < 1


@pytest.mark.parametrize("rows", [1, 10, 1000])
@pytest.mark.parametrize("gap", [0.0, 1e-3, 1.0, 30.0, 1e4])
def test_rows_that_are_all_right_lead_to_no_extreme(rows: int, gap: float):
    # Each row's log-loss is below log 2 at any T, so that together they can pay for PRIOR_ROWS * (b - log b - 1) only
    # as long as it is below rows * log 2.
    found = temperature_of(torch.tensor([[0.0, gap]] * rows), torch.ones(rows, dtype=torch.int64))
    assert PRIOR_ROWS * (1 / found + math.log(found) - 1) <= rows * math.log(2)
    assert found <= 1.0001


def test_without_evidence_it_is_1():
    equal, target = torch.zeros(20, 3), torch.arange(20) % 3
    assert temperature_of(equal, target) == 1
    scores, target = drawn(20, 3, 5.0)
    assert temperature_of(scores, target, torch.zeros(20)) == 1


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scores_of_any_size_have_a_temperature(scale: float):
    scores, target = drawn(500, 3, 1.0)
    assert 1 / LIMIT <= temperature_of(scale * scores, target) <= LIMIT


def test_a_row_of_weight_0_is_as_if_it_was_not_there_and_the_unit_of_weights_is_free():
    scores, target = drawn(60, 3, 2.0)
    weight = torch.tensor([1.0, 0.0, 1.0] * 20)
    expected = temperature_of(scores[weight > 0], target[weight > 0])
    assert temperature_of(scores, target, weight) == pytest.approx(expected, rel=1e-9)
    assert temperature_of(scores, target, 1e-6 * weight) == pytest.approx(expected, rel=1e-9)


def test_of_many_rows_evenly_spaced_ones_are_used(monkeypatch: pytest.MonkeyPatch):
    scores, target = drawn(100, 3, 2.0)
    monkeypatch.setattr(calibration, "MAX_SCORES", 110)
    assert temperature_of(scores, target) == temperature_of(scores[::3].clone(), target[::3])


def tables(rows: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tables whose fits take from one step to many, and end at any temperature or never."""
    drawings = [drawn(rows, classes, temperature, seed) for seed, temperature in enumerate([0.1, 1.0, 2.5, 20.0])]
    scores, target = (torch.stack(parts) for parts in zip(*drawings, strict=True))
    sizes = torch.tensor([1.0, 0.0, 1e-12, 1e4, 1e12])
    scores = torch.cat([scores, sizes[:, None, None] * scores[1], scores[1:2]])
    target = torch.cat([target, scores[4:9].argmax(dim=2), target[1:2]])
    scores[-1, 0] = torch.nan
    return scores, target


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (60, 2), (200, 5)])
def test_several_tables_have_the_temperature_of_each(rows: int, classes: int, weighted: bool):
    scores, target = tables(rows, classes)
    weight = torch.rand(len(scores), rows, generator=torch.Generator().manual_seed(1)) if weighted else None
    if weight is not None:
        weight[0] = 0
    found = temperatures_of(scores, target, weight)
    for table, temperature in enumerate(found):
        alone = temperature_of(scores[table], target[table], None if weight is None else weight[table])
        assert temperature == pytest.approx(alone, rel=1e-12)


def test_a_temperature_does_not_depend_on_the_other_tables():
    scores, target = tables(60, 3)
    found = temperatures_of(scores, target)
    for start in range(len(scores)):
        assert temperatures_of(scores[start:], target[start:]) == found[start:]


@pytest.fixture(scope="module")
def smoothed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "smoothed"
    train(compose_config(*SMOOTHED, "trainer.max_epochs=4", "scheduler=none"), folder)
    return folder


def validation_outputs(folder: Path) -> tuple[checkpoint.Loaded, torch.Tensor, torch.Tensor]:
    """What `best.ckpt` holds, and its outputs and the classes of the validation rows."""
    loaded = checkpoint.load(checkpoint.resolve(str(folder)))
    loaded.data.setup()
    rows = loaded.data.tables["val"].rows(slice(None))
    with torch.no_grad():
        return loaded, loaded.task.forward(rows), rows.target


def without_temperature(file: Path, older: Path) -> None:
    content = torch.load(file, weights_only=True)
    del content["state_dict"]["temperature"], content["hyper_parameters"]["task"]["calibration"]
    torch.save(content, older)


def test_the_best_checkpoint_holds_the_temperature_of_its_weights(smoothed_run: Path):
    loaded, scores, target = validation_outputs(smoothed_run)
    temperature = float(loaded.task.temperature)
    assert temperature == pytest.approx(temperature_of(scores, target), rel=1e-5)
    assert abs(temperature - 1) > 0.1
    metrics = read_json(smoothed_run / "metrics.json")
    assert metrics["val/log_loss"] == pytest.approx(float(cross_entropy(scores / temperature, target)), rel=1e-4)
    assert metrics["val/loss"] == pytest.approx(float(cross_entropy(scores, target, label_smoothing=0.3)), rel=1e-4)
    log = (smoothed_run / "train.log").read_text()
    assert f"temperature {temperature:.2f}, which was fitted to {len(target)} validation rows" in log


def test_predictions_and_evaluations_use_it(smoothed_run: Path):
    loaded, scores, _ = validation_outputs(smoothed_run)
    probability = (scores / loaded.task.temperature).softmax(dim=1)
    assert (
        evaluate(str(smoothed_run), "val")["val/log_loss"] == read_json(smoothed_run / "metrics.json")["val/log_loss"]
    )
    cells = load(smoothed_run).predict("data/penguins.csv").to_numpy()[:, 1:].astype(np.float32)
    found = {tuple(row) for row in cells.round(4).tolist()}
    assert {tuple(row) for row in probability.numpy().round(4).tolist()} <= found


def test_a_checkpoint_from_before_calibration_predicts_as_it_did(smoothed_run: Path, tmp_path: Path):
    _, scores, target = validation_outputs(smoothed_run)
    without_temperature(smoothed_run / "checkpoints/best.ckpt", tmp_path / "older.ckpt")
    measured = evaluate(str(tmp_path / "older.ckpt"), "val")
    assert measured["val/log_loss"] == pytest.approx(float(cross_entropy(scores, target)), rel=1e-5)


def test_a_run_from_before_calibration_can_be_resumed(smoothed_run: Path, tmp_path: Path):
    config = compose_config(*SMOOTHED, "trainer.max_epochs=6", "scheduler=none")
    shutil.copytree(smoothed_run, tmp_path / "older")
    for name in ("best.ckpt", "last.ckpt"):
        without_temperature(smoothed_run / "checkpoints" / name, tmp_path / "older/checkpoints" / name)
    train(config, tmp_path / "older", resume=True)
    train(config, tmp_path / "whole")
    older, whole = (
        checkpoint.read(tmp_path / name / "checkpoints/best.ckpt")["state_dict"] for name in ("older", "whole")
    )
    assert older.keys() == whole.keys()
    assert all(torch.equal(older[name], whole[name]) for name in whole)


@pytest.mark.filterwarnings("ignore:.*(does not have many workers|isinstance|Trying to infer)")
def test_validating_outside_training_does_not_fit_it(smoothed_run: Path):
    loaded, _, _ = validation_outputs(smoothed_run)
    loaded.task.temperature.fill_(3.0)
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)
    L.Trainer(accelerator="cpu", **quiet).validate(loaded.task, datamodule=loaded.data, verbose=False)
    assert loaded.task.temperature == 3


def test_without_calibration_a_run_from_calibrated_weights_has_temperature_1(smoothed_run: Path, tmp_path: Path):
    overrides = [*SMOOTHED, f"init_from={smoothed_run}", "task.calibration=none", "trainer.max_epochs=1"]
    train(compose_config(*overrides), tmp_path / "run")
    assert checkpoint.load(checkpoint.resolve(str(tmp_path / "run"))).task.temperature == 1
    assert "divided by the temperature" not in (tmp_path / "run/train.log").read_text()


@pytest.mark.parametrize("loss", ["task/loss=brier", "task.loss._target_=torch.nn.MultiMarginLoss"])
def test_outputs_that_were_trained_by_another_loss_are_calibrated_too(loss: str, tmp_path: Path):
    other = ["~task.loss.label_smoothing"] if "Margin" in loss else []
    train(compose_config("data=penguins", loss, *other, "trainer.max_epochs=4", *UNDRAWN), tmp_path / "run")
    loaded, scores, target = validation_outputs(tmp_path / "run")
    calibrated = float(cross_entropy(scores / loaded.task.temperature, target))
    assert calibrated < float(cross_entropy(scores, target))
    assert read_json(tmp_path / "run/metrics.json")["val/log_loss"] == pytest.approx(calibrated, rel=1e-4)
