import numpy as np

from litmlp.playground import function_plots as function


def test_the_error_is_that_of_the_function_without_noise():
    x = np.linspace(0, 1, 5)
    figure = function.fit(x, x + 0.5, x, (x, x + 9), "epoch 3")
    assert figure.texts[0].get_text() == "epoch 3: RMSE 0.5"
    truth, network = figure.axes[0].get_lines()
    assert (truth.get_ydata().tolist(), network.get_ydata().tolist()) == (x.tolist(), (x + 0.5).tolist())


def test_the_largest_pieces_are_drawn_and_the_others_together():
    x = np.linspace(0, 1, 5)
    sizes = np.arange(1, 31)
    parts = x[:, None] * sizes
    figure = function.pieces(x, parts, parts.sum(axis=1), "epoch 3")
    lines = figure.axes[0].get_lines()
    ends = [line.get_ydata()[-1] for line in lines if len(line.get_ydata())]
    assert sorted(ends[:24]) == list(range(7, 31))
    assert ends[24:] == [sum(range(1, 7)), sum(range(1, 31))]
    assert figure.texts[0].get_text() == "epoch 3: the 24 largest of 30 units"
