from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from litmlp.plots import classification


def rows(num_classes: int, num_rows: int = 500, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(num_classes)
    true = generator.integers(0, num_classes, num_rows)
    scores = generator.normal(size=(num_rows, num_classes)).round(digits)  # so that some are equal
    scores[np.arange(num_rows), true] += 1
    probability = np.exp(scores)
    return probability / probability.sum(axis=1, keepdims=True), true


def legend(figure: Any) -> dict[str, str]:
    return dict(text.get_text().split(": ") for text in figure.axes[0].get_legend().get_texts())


@pytest.mark.parametrize("num_classes", [2, 4])
def test_confusion_counts_as_scikit_learn_does(num_classes: int):
    probability, true = rows(num_classes)
    names = [f"class {index}" for index in range(num_classes)]
    figure = classification.confusion(probability, true, names, "test rows")
    counts = confusion_matrix(true, probability.argmax(axis=1))
    shares = counts / counts.sum(axis=1, keepdims=True)
    (axes,) = figure.axes
    found = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    for row, column in np.ndindex(counts.shape):
        assert found[column, row] == f"{counts[row, column]}\n{shares[row, column]:.0%}"
    np.testing.assert_allclose(axes.images[0].get_array(), shares)
    assert figure.texts[0].get_text() == f"test rows: {np.trace(counts) / 500:.1%} right"
    assert [label.get_text() for label in axes.get_yticklabels()] == names


def test_areas_are_scikit_learns():
    probability, true = rows(3)
    names = ["a", "b", "c"]
    roc = legend(classification.roc(probability, true, names, ""))
    precision = legend(classification.precision_recall(probability, true, names, ""))
    for index, name in enumerate(names):
        assert roc[name] == f"{roc_auc_score(true == index, probability[:, index]):.3f}"
        assert precision[name] == f"{average_precision_score(true == index, probability[:, index]):.3f}"


def test_a_long_curve_is_drawn_with_fewer_points_but_measured_with_all():
    probability, true = rows(2, 20_000, digits=6)
    figure = classification.roc(probability, true, ["no", "yes"], "")
    curve = figure.axes[0].get_lines()[-1]
    assert 100 < len(curve.get_xdata()) < 1000
    assert (curve.get_xdata()[0], curve.get_xdata()[-1]) == (0, 1)
    assert legend(figure) == {"yes": f"{roc_auc_score(true, probability[:, 1]):.3f}"}


def test_of_many_classes_the_most_frequent_have_curves():
    true = np.concatenate([np.full(20 + index, index) for index in range(10)])
    shown = classification.shown_classes(true, [str(index) for index in range(11)])  # the last one never occurs
    assert [index for index, _ in shown] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert len({colour for _, colour in shown}) == 8
    assert classification.shown_classes(np.zeros(5, dtype=int), ["only", "never"]) == []


def test_calibration_by_hand():
    confidence = np.array([0.52, 0.52, 0.99, 0.99, 0.99, 0.99])
    probability = np.stack([confidence, 1 - confidence], axis=1)
    true = np.array([0, 1, 0, 0, 0, 1])
    found = classification.calibration_of(probability, true)
    np.testing.assert_allclose(found.confidence, [0.52, 0.99])
    np.testing.assert_allclose(found.accuracy, [0.5, 0.75])
    assert found.counts.tolist() == [2, 4]
    assert found.error == pytest.approx((2 * 0.02 + 4 * 0.24) / 6)


def test_probabilities_that_come_true_are_calibrated():
    generator = np.random.default_rng(0)
    positive = generator.uniform(size=200_000)
    probability = np.stack([1 - positive, positive], axis=1)
    true = (generator.uniform(size=200_000) < positive).astype(int)
    assert classification.calibration_of(probability, true).error < 0.005
    assert classification.calibration_of(probability, 1 - true).error > 0.3


def test_the_plot_tells_the_error_of_each_curve():
    probability, true = rows(3)
    sharper = probability**2 / (probability**2).sum(axis=1, keepdims=True)
    curves = {"as trained": sharper, "divided by 2.00": probability}
    figure = classification.calibration(curves, true, "test rows")
    errors = {label: f"{classification.calibration_of(values, true).error:.3f}" for label, values in curves.items()}
    assert legend(figure) == errors
    assert len(set(errors.values())) == 2
    points = figure.axes[0].collections[-1].get_offsets()  # of the last curve
    np.testing.assert_allclose(points[:, 1], classification.calibration_of(probability, true).accuracy)


@pytest.mark.parametrize(("right", "of"), [(0, 1), (3, 4), (50, 50), (700, 1000)])
def test_intervals_are_scipys(right: int, of: int):
    low, high = classification.interval(np.array([right / of]), np.array([of]))
    expected = binomtest(right, of).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose([low[0], high[0]], [expected.low, expected.high], atol=1e-4)


@pytest.mark.parametrize("num_classes", [2, 9, 25, 60])
def test_any_number_of_classes_can_be_drawn(num_classes: int):
    probability, true = rows(num_classes)
    names = [f"a class with a long name {index}" for index in range(num_classes)]
    for draw in (classification.confusion, classification.roc, classification.precision_recall):
        draw(probability, true, names, "").canvas.draw()
    classification.calibration({"as trained": probability}, true, "").canvas.draw()
