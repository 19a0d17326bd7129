import math

import numpy as np
import pytest
import sklearn.metrics
import torch

from litmlp.data import ClassTarget, NumericTarget
from litmlp.tasks import ClassificationTask, RegressionTask
from litmlp.tasks.metrics import (
    Metric,
    area_under_roc,
    coefficient_of_determination,
    log_loss,
    mean_area_under_roc,
    of_all_processes,
    values_of,
)


def test_what_metrics_share_is_made_once():
    calls = []

    def both(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return prediction + target

    metrics = {
        "sum": Metric(torch.sum, "max", both),
        "mean": Metric(torch.mean, "max", both),
        "distance": Metric(torch.dist, "min"),
    }
    values = values_of(metrics, torch.tensor([1.0, 2.0]), torch.tensor([1.0, 5.0]))
    assert {name: value.item() for name, value in values.items()} == {"sum": 9, "mean": 4.5, "distance": 3}
    assert len(calls) == 1


def test_area_by_hand():
    # Pairs (positive, negative): 0.8 > 0.3, 0.8 > 0.5, 0.5 > 0.3, and 0.5 against 0.5 counts half: 3.5 of 4.
    area = area_under_roc(torch.tensor([0.8, 0.5, 0.3, 0.5]), torch.tensor([True, True, False, False]))
    assert area.item() == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("num_levels", [3, 1000])
def test_area_equals_scikit_learns_with_and_without_ties(num_levels: int):
    generator = np.random.default_rng(0)
    score, is_positive = generator.integers(num_levels, size=200) / 7, generator.random(200) < 0.3
    area = area_under_roc(torch.tensor(score), torch.tensor(is_positive))
    assert area.item() == pytest.approx(sklearn.metrics.roc_auc_score(is_positive, score))


def test_classes_that_do_not_occur_are_left_out_of_the_mean():
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    area = mean_area_under_roc(probabilities, torch.tensor([0, 1, 1]))
    assert area.item() == pytest.approx(1.0)  # classes 0 and 1 are both ordered rightly


def test_a_single_class_has_no_area():
    area = mean_area_under_roc(torch.tensor([[0.6, 0.4], [0.2, 0.8]]), torch.tensor([1, 1]))
    assert math.isnan(area.item())


def test_log_loss_by_hand():
    loss = log_loss(torch.tensor([[0.25, 0.75], [0.5, 0.5]]), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_log_loss_equals_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(10, 3, generator=generator, dtype=torch.float64).softmax(dim=1)
    target = torch.randint(3, (10,), generator=generator)
    assert log_loss(probability, target).item() == pytest.approx(sklearn.metrics.log_loss(target, probability))


def test_log_loss_of_an_impossible_class_is_finite():
    assert log_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([1])).isfinite()


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_coefficient_of_determination_equals_scikit_learns(offset: float):
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(50, 2, generator=generator) * torch.tensor([1.0, 30.0]) + offset
    prediction = target + torch.randn(50, 2, generator=generator)
    expected = sklearn.metrics.r2_score(target, prediction, multioutput="raw_values")
    assert coefficient_of_determination(prediction, target).tolist() == pytest.approx(expected.tolist(), rel=1e-3)


def test_a_target_that_does_not_vary_has_no_coefficient_of_determination():
    target = torch.full((4, 1), 2.0)
    assert not coefficient_of_determination(target + 1, target).isfinite()


def of_classes(rows: int, classes: int, dtype: torch.dtype, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Five tables of probabilities and classes."""
    generator = torch.Generator().manual_seed(rows)
    probability = torch.randn(5, rows, classes, generator=generator, dtype=dtype).softmax(dim=2)
    target = torch.randint(classes, (5, rows), generator=generator)
    if kind == "ties":
        probability = (4 * probability).round() / 4
    elif kind == "missing class":
        target[1:3] = 0
    elif kind == "nan":
        probability[2, 0], probability[4] = torch.nan, torch.nan
    return probability, target


@pytest.mark.parametrize("kind", ["plain", "ties", "missing class", "nan"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (60, 2), (60, 3), (1001, 5)])
def test_several_tables_of_classes_have_the_metrics_of_each(rows: int, classes: int, dtype: torch.dtype, kind: str):
    probability, target = of_classes(rows, classes, dtype, kind)
    metrics = ClassificationTask.build_metrics(ClassTarget.example(classes))
    together = values_of(metrics, probability, target)
    for table in range(5):
        for name, value in values_of(metrics, probability[table], target[table]).items():
            assert torch.equal(together[name][table].nan_to_num(-1), value.nan_to_num(-1)), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("outputs", [1, 3])
def test_several_tables_of_numbers_have_the_metrics_of_each(outputs: int, dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 5, 77, outputs, generator=generator, dtype=dtype)
    target[1], prediction[3, 0] = 2, torch.nan  # a target that does not vary, and a prediction that is no number
    metrics = RegressionTask.build_metrics(NumericTarget.example(outputs))
    together = values_of(metrics, prediction, target)
    for table in range(5):
        for name, value in values_of(metrics, prediction[table], target[table]).items():
            assert value.shape == (outputs,)
            assert torch.equal(together[name][table].nan_to_num(-1), value.nan_to_num(-1)), name


def test_tables_may_have_several_leading_dimensions():
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(2, 3, 20, 4, generator=generator).softmax(dim=3)
    target = torch.randint(4, (2, 3, 20), generator=generator)
    metrics = ClassificationTask.build_metrics(ClassTarget.example(4))
    for name, value in values_of(metrics, probability, target).items():
        flat = values_of(metrics, probability.flatten(0, 1), target.flatten(0, 1))[name]
        assert torch.equal(value, flat.view(2, 3)), name


def test_rows_of_a_single_process_are_all_rows():
    rows = torch.ones(3)
    assert of_all_processes(rows) is rows
