import numpy as np
import pytest
from matplotlib.colors import to_rgb

from litmlp.playground import planar_plots as planar
from litmlp.plots.style import COLOURS, to_image

EXTENT = (-1.0, 1.0, -1.0, 1.0)


def points(labels: np.ndarray) -> planar.Points:
    places = np.array([[-0.5, -0.5], [0.5, 0.5]])
    return {"train": (places, labels), "test": (places, labels)}


def test_regions_have_their_classes_colours():
    probability = np.zeros((2, 2, 2))
    probability[0], probability[1] = [1, 0], [0.5, 0.5]  # sure below, unsure above
    figure = planar.regions(probability, EXTENT, points(np.array([0, 1])), ["a", "b"], "epoch 3")
    image = figure.axes[0].images[0]
    assert image.origin == "lower"
    np.testing.assert_allclose(image.get_array()[1], 1)  # white where nothing is known
    blue = np.array(to_rgb(COLOURS[0]))
    np.testing.assert_allclose(image.get_array()[0, 0], 1 - 0.55 * (1 - blue))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b"]


def test_a_surface_and_its_points_share_a_scale():
    value = np.array([[0.0, 1.0], [2.0, 3.0]])
    figure = planar.surface(value, EXTENT, points(np.array([-1.0, 9.0])), "height", "epoch 3")
    drawn = [figure.axes[0].images[0], *figure.axes[0].collections[-2:]]
    limits = {artist.get_clim() for artist in drawn}
    (low, high), middle = limits.pop(), np.median([0, 1, 2, 3, -1, 9, -1, 9])
    assert not limits
    assert (low + high) / 2 == pytest.approx(middle)
    assert high == pytest.approx(9)


def test_errors_are_predicted_less_true():
    figure = planar.errors(np.array([1.0, 3.0]), EXTENT, points(np.array([0.0, 5.0])), "height", "epoch 3")
    assert figure.axes[0].collections[0].get_array().tolist() == [1, -2]
    assert figure.texts[0].get_text() == "epoch 3: test RMSE 1.58"  # sqrt(5 / 2)


def test_each_unit_is_drawn_on_its_own_scale_with_the_highest_x2_on_top():
    maps = np.zeros((20, 20, 3))
    maps[0, 0, 0], maps[0, 0, 1] = 5.0, -0.1  # at the lowest x1 and x2
    tiles = planar._tiled(maps, columns=2)
    assert tiles.shape == (41, 41)
    assert tiles[19, 0] == 1
    assert tiles[19, 21] == -1
    assert np.nansum(np.abs(tiles)) == 2  # the third unit gives nothing
    assert np.isnan(tiles[20]).all()
    assert np.isnan(tiles[21:, 21:]).all()


@pytest.mark.parametrize("num_units", [1, 2, 8, 24])
def test_any_number_of_units_can_be_drawn(num_units: int):
    maps = np.random.default_rng(0).normal(size=(8, 8, num_units))
    image = to_image(planar.units({"first": maps, "second": maps[..., :1]}, "epoch 3"))
    assert image.shape[1:] == (480, 3)
    assert image.std() > 10
