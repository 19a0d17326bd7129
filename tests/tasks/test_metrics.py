import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from litmlp.tasks.metrics import LogLoss, MeanAUROC, RowMean, area_under_roc


def test_area_by_hand():
    # Pairs (positive, negative): 0.8 > 0.3, 0.8 > 0.5, 0.5 > 0.3, and 0.5 against 0.5 counts half: 3.5 of 4.
    area = area_under_roc(torch.tensor([0.8, 0.5, 0.3, 0.5]), torch.tensor([True, True, False, False]))
    assert area.item() == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("num_levels", [3, 1000])
def test_area_equals_scikit_learns_with_and_without_ties(num_levels: int):
    generator = np.random.default_rng(0)
    score, is_positive = generator.integers(num_levels, size=200) / 7, generator.random(200) < 0.3
    area = area_under_roc(torch.tensor(score), torch.tensor(is_positive))
    assert area.item() == pytest.approx(roc_auc_score(is_positive, score))


def test_classes_that_do_not_occur_are_left_out_of_the_mean():
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    metric = MeanAUROC()
    metric.update(probabilities, torch.tensor([0, 1, 1]))
    assert metric.compute().item() == pytest.approx(1.0)  # classes 0 and 1 are both ordered rightly


def test_a_single_class_has_no_area():
    metric = MeanAUROC()
    metric.update(torch.tensor([[0.6, 0.4], [0.2, 0.8]]), torch.tensor([1, 1]))
    assert math.isnan(metric.compute().item())


def test_log_loss_by_hand():
    metric = LogLoss()
    metric.update(torch.tensor([[0.25, 0.75]]), torch.tensor([0]))
    metric.update(torch.tensor([[0.5, 0.5]]), torch.tensor([1]))
    assert metric.compute().item() == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_mean_of_rows_by_hand():
    metric = RowMean()
    metric.update(torch.tensor(2.0), 3)
    metric.update(torch.tensor(7.0), torch.tensor(0.5))
    assert metric.compute().item() == pytest.approx((2 * 3 + 7 * 0.5) / 3.5)


def test_rows_without_weight_leave_the_mean():
    metric = RowMean()
    metric.update(torch.tensor(2.0), 3)
    metric.update(torch.tensor(1e6), 0)
    assert metric.compute().item() == 2


def test_mean_with_a_part_that_is_nan_is_nan():
    metric = RowMean()
    metric.update(torch.tensor(2.0), 3)
    metric.update(torch.tensor(math.nan), 1)
    assert math.isnan(metric.compute().item())


def test_log_loss_weighs_each_row_the_same_whatever_its_batch():
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(10, 3, generator=generator, dtype=torch.float64).softmax(dim=1)
    target = torch.randint(3, (10,), generator=generator)
    metric = LogLoss()
    for rows in torch.arange(10).split(4):
        metric.update(probability[rows], target[rows])
    assert metric.compute().item() == pytest.approx(log_loss(target, probability), rel=1e-5)
