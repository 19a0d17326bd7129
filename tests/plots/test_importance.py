import numpy as np

from litmlp.plots.importance import importances


def test_columns_come_in_the_order_of_their_importance():
    increases = np.array([[0.1, 0.3], [2.0, 4.0], [-0.1, 0.1]])
    figure = importances(["a", "b", "c"], increases, "rows")
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    widths = [round(bar.get_width(), 6) for bar in axes.patches]
    assert dict(zip(names, widths, strict=True)) == {"c": 0.0, "a": 0.2, "b": 3.0}
    assert names == ["c", "a", "b"]  # from below


def test_of_many_columns_the_most_important_are_drawn():
    figure = importances([str(i) for i in range(50)], np.arange(50.0)[:, None], "rows")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [str(i) for i in range(30, 50)]
    assert figure.texts[0].get_text() == "rows, 30 columns left out"
