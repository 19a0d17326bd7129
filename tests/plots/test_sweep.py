import pytest

from litmlp.plots.sweep import Axis


def test_an_axis_places_numbers_their_logarithms_or_names():
    assert Axis("a", ["1", "3", "2"]).positions == [1, 3, 2]
    assert Axis("a", ["0.001", "1", "0.1"]).positions == pytest.approx([-3, 0, -1])
    names = Axis("a", ["b", "a", "b"])
    assert (names.positions, names.labels) == ([1, 0, 1], [(0, "a"), (1, "b")])
