import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from litmlp.tasks.metrics import LogLoss, MeanAUROC, area_under_roc


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
