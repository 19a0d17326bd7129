import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score
from torch import nn

from litmlp.data import Batch, ClassTarget, Spec
from litmlp.errors import InputError
from litmlp.networks import MLP
from litmlp.tasks import BrierLoss, ClassificationTask, metrics
from litmlp.tasks.calibration import temperature_of
from litmlp.tasks.classification import weights_of


class Echo(nn.Module):
    """A network whose output is its inputs."""

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        return numeric


def target_of(*classes: str, counts: list[int] | None = None) -> ClassTarget:
    target = ClassTarget(["label"])
    target.classes, target.counts = list(classes), counts or [1] * len(classes)
    return target


def batch_of(scores: torch.Tensor, labels: list[int]) -> Batch:
    return Batch(scores, torch.zeros(len(scores), 0, dtype=torch.int64), torch.tensor(labels))


def make_task(target: ClassTarget, **arguments) -> ClassificationTask:
    return ClassificationTask(Echo(), Spec([], {}, target), **arguments)


@pytest.mark.parametrize("rows_at_once", [7, 60])
@pytest.mark.parametrize("num_classes", [2, 4])
def test_metrics_equal_scikit_learns(num_classes: int, rows_at_once: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "ROWS_COUNTED_AT_ONCE", rows_at_once)
    generator = np.random.default_rng(0)
    labels = generator.choice(num_classes, size=60, p=np.arange(1, num_classes + 1) / sum(range(num_classes + 1)))
    scores = generator.normal(size=(60, num_classes)) + 1.5 * np.eye(num_classes)[labels]
    task = make_task(target_of(*"abcd"[:num_classes]))
    task.step(batch_of(torch.tensor(scores, dtype=torch.float32), labels.tolist()), "test")
    values = task.take_metrics("test")
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    guess = scores.argmax(axis=1)
    scored = probabilities[:, 1] if num_classes == 2 else probabilities
    oracle = {
        "accuracy": accuracy_score(labels, guess),
        "balanced_accuracy": balanced_accuracy_score(labels, guess),
        "f1": f1_score(labels, guess, average="macro"),
        "auroc": roc_auc_score(labels, scored, multi_class="ovr", average="macro"),
        "log_loss": log_loss(labels, probabilities),
        "loss": log_loss(labels, probabilities),
    }
    assert values.keys() == {f"test/{name}" for name in oracle}
    for name, expected in oracle.items():
        assert values[f"test/{name}"].item() == pytest.approx(expected, rel=1e-4), name


def test_prediction_by_hand():
    task = make_task(target_of("a", "b"))
    probability = task.predict(torch.tensor([[0.0, math.log(3)]]))
    torch.testing.assert_close(probability, torch.tensor([[0.25, 0.75]]))


def test_scores_are_divided_by_the_temperature():
    task = make_task(target_of("a", "b"))
    task.temperature.fill_(2)
    probability = task.predict(torch.tensor([[0.0, 2 * math.log(3)]]))
    torch.testing.assert_close(probability, torch.tensor([[0.25, 0.75]]))


def test_the_loss_is_of_the_scores_as_they_are_and_the_log_loss_of_the_probabilities():
    task = make_task(target_of("a", "b"))
    task.temperature.fill_(2)
    task.step(batch_of(torch.tensor([[0.0, 2 * math.log(3)]]), [1]), "val")
    values = task.take_metrics("val")
    assert values["val/loss"].item() == pytest.approx(math.log(10 / 9))
    assert values["val/log_loss"].item() == pytest.approx(math.log(4 / 3))


@pytest.mark.parametrize("class_weights", [None, [1.0, 7.0], [0.0, 1.0]])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 3.0, 0.5] * 10)])
def test_rows_count_with_their_own_weights_when_the_temperature_is_fitted(
    class_weights: list[float] | None, weight: torch.Tensor | None
):
    scores, labels = torch.randn(30, 2, generator=torch.Generator().manual_seed(0)), [0, 1, 1, 0, 0] * 6
    task = make_task(target_of("a", "b"), class_weights=class_weights)
    batch = batch_of(scores, labels)._replace(weight=weight)
    for rows in torch.arange(30).split(8):
        task.step(batch.rows(rows), "val")
    counts = torch.tensor([class_weights is None or class_weights[label] > 0 for label in labels])  # a row at all
    own = (torch.ones(30) if weight is None else weight) * counts
    assert task.fitted_temperature() == pytest.approx(temperature_of(scores, torch.tensor(labels), own), rel=1e-6)


def test_without_calibration_or_rows_the_temperature_is_1():
    calibrated, plain = (make_task(target_of("a", "b"), calibration=name) for name in ("temperature", "none"))
    assert calibrated.fitted_temperature() == 1
    for task in (calibrated, plain):
        task.step(batch_of(torch.tensor([[9.0, 0.0]]), [1]), "val")
    assert calibrated.fitted_temperature() > 1
    assert plain.fitted_temperature() == 1


def test_a_state_without_a_temperature_has_temperature_1():
    task = make_task(target_of("a", "b"))
    task.temperature.fill_(2)
    state = task.state_dict()
    del state["temperature"]
    task.load_state_dict(state)
    assert task.temperature == 1
    assert "temperature" not in state


def test_a_certain_mistake_has_a_finite_log_loss():
    task = make_task(target_of("a", "b"))
    task.step(batch_of(torch.tensor([[1000.0, 0.0], [0.0, 1.0]]), [1, 1]), "val")
    assert math.isfinite(task.take_metrics("val")["val/log_loss"])


def test_balanced_weights_by_hand():
    # 6 rows, 3 classes: 6 / (3 * count).
    weights = weights_of("balanced", target_of("a", "b", "c", counts=[1, 2, 3]))
    torch.testing.assert_close(weights, torch.tensor([2.0, 1.0, 2 / 3]))


def test_class_weights_weigh_the_loss_and_leave_the_metrics():
    scores, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), [0, 1]
    task = make_task(target_of("a", "b"), class_weights=[1.0, 3.0])
    losses = [math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))]
    task.step(batch_of(scores, labels), "val")
    values = task.take_metrics("val")
    assert values["val/loss"].item() == pytest.approx((losses[0] + 3 * losses[1]) / 4)
    assert values["val/log_loss"].item() == pytest.approx(sum(losses) / 2)


@pytest.mark.parametrize("class_weights", ["balanced", [0.5, 2.0, 3.0]])
def test_weighted_loss_equals_torchs_cross_entropy(class_weights: str | list[float]):
    torch.manual_seed(0)
    counts = [5, 2, 13]
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    scores = torch.randn(20, 3)
    each = torch.tensor([20 / (3 * count) for count in counts] if class_weights == "balanced" else class_weights)
    oracle = nn.CrossEntropyLoss(weight=each)(scores, torch.tensor(labels))
    task = make_task(target_of("a", "b", "c", counts=counts), class_weights=class_weights)
    torch.testing.assert_close(task.training_step(batch_of(scores, labels), 0), oracle)
    for rows in torch.arange(20).split(7):
        task.step(batch_of(scores, labels).rows(rows), "val")
    torch.testing.assert_close(task.take_metrics("val")["val/loss"], oracle)


def test_weights_of_class_and_row_are_multiplied():
    scores, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), [0, 1]
    task = make_task(target_of("a", "b"), class_weights=[1.0, 3.0])
    losses = [math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))]
    loss = task.training_step(batch_of(scores, labels)._replace(weight=torch.tensor([5.0, 2.0])), 0)
    assert loss.item() == pytest.approx((5 * losses[0] + 6 * losses[1]) / 11)


def test_label_smoothing_by_hand():
    task = make_task(target_of("a", "b"), loss=nn.CrossEntropyLoss(label_smoothing=0.2))
    loss = task.training_step(batch_of(torch.tensor([[1.0, 0.0]]), [0]), 0)
    expected = 0.9 * math.log(1 + math.exp(-1)) + 0.1 * math.log(1 + math.exp(1))
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("class_weights", ["ballanced", [1.0, 2.0, 3.0]])
def test_refuses_class_weights_that_do_not_fit(class_weights: str | list[float]):
    with pytest.raises(InputError, match="a number from 0 up for each of the classes a, b"):
        make_task(target_of("a", "b"), class_weights=class_weights)


def test_overfits_a_tiny_set():
    torch.manual_seed(0)
    spec = Spec(["x1", "x2"], {}, target_of("a", "b", "c"))
    task = ClassificationTask(MLP(spec, hidden_sizes=[64]), spec)
    batch = batch_of(torch.randn(12, 2), [0, 1, 2] * 4)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.01)
    for _ in range(500):
        optimizer.zero_grad()
        task.training_step(batch, 0).backward()
        optimizer.step()
    assert (task(batch).argmax(dim=1) == batch.target).all()


def test_brier_loss_is_scikit_learns_score():
    scores = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-3.0, 1.0, 5.0]])
    labels = torch.tensor([0, 2, 1])
    probability = scores.softmax(dim=1).numpy()
    expected = brier_score_loss(labels.numpy(), probability, labels=[0, 1, 2], scale_by_half=False)
    assert float(BrierLoss()(scores, labels)) == pytest.approx(expected)


def test_rows_of_the_brier_loss_can_be_weighted():
    task = make_task(target_of("a", "b"), loss=BrierLoss())
    scores, labels = torch.tensor([[0.0, 0.0], [1.0, -1.0]]), torch.tensor([0, 1])
    repeated = BrierLoss()(scores[[0, 1, 1]], labels[[0, 1, 1]])
    assert float(task.mean_loss(scores, labels, torch.tensor([1.0, 2.0]))) == pytest.approx(float(repeated))


def test_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction is 'sum': use mean or none"):
        BrierLoss(reduction="sum")
