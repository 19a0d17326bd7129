import numpy as np
import pytest

from litmlp.plots import regression


def test_points_and_error_are_those_given():
    predicted, true = np.array([1.0, 2.0, 5.0]), np.array([1.0, 4.0, 5.0])
    figure = regression.predicted_against_true(predicted, true, "price", "test rows")
    (axes,) = figure.axes
    assert axes.collections[0].get_offsets().tolist() == [[1, 1], [4, 2], [5, 5]]
    assert figure.texts[0].get_text() == "test rows: RMSE 1.15"  # sqrt(4 / 3)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true price", "predicted price")
    assert axes.get_xlim() == axes.get_ylim()


def test_the_line_among_residuals_is_their_median():
    true = np.zeros(400)
    predicted = np.repeat([1.0, 2.0, 3.0, 4.0], 100)
    true[200:] = 10  # errors 1, 2, -7, -6
    (axes,) = regression.residuals(predicted, true, "y", "").axes
    line = axes.get_lines()[-1]
    medians = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert medians == {1: 1, 2: 2, 3: -7, 4: -6}


@pytest.mark.parametrize("num_rows", [1, 5])
def test_few_rows_and_equal_ones_can_be_drawn(num_rows: int):
    values = np.ones(num_rows)
    for draw in (regression.predicted_against_true, regression.residuals, regression.residual_histogram):
        draw(values, values, "y", "").canvas.draw()


def test_the_histogram_counts_all_rows_but_those_far_off():
    errors = np.random.default_rng(0).normal(size=1000)
    (axes,) = regression.residual_histogram(errors, np.zeros(1000), "y", "").axes
    (bars,) = axes.patches
    assert bars.get_data().values.sum() >= 996
    mean, deviation = errors.mean(), errors.std()
    label = axes.get_legend().get_texts()[0].get_text()
    assert label == f"normal, mean {mean:.3g}, deviation {deviation:.3g}"
    x, y = axes.get_lines()[0].get_data()
    width = np.diff(bars.get_data().edges)[0]
    assert np.trapezoid(y, x) == pytest.approx(1000 * width, rel=0.01)  # the area of all bars
