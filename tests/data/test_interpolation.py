import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from litmlp.data import interpolation
from litmlp.data.interpolation import PiecewiseLinear

random = np.random.default_rng(0)
KNOTS = {
    "normal": random.normal(size=1001),
    "heavy-tailed": random.standard_cauchy(1001) ** 3,
    "many magnitudes": np.exp(20 * random.normal(size=1001)),
    "integer": np.arange(-500.0, 501.0),
    "two-valued": np.array([0.0, 1.0]),
    "three of different distance": np.array([0.0, 1e-9, 1e9]),
    "huge offset": 1e9 + 1e-3 * random.normal(size=1001),
    "a cluster and an outlier": np.append(random.normal(size=50), 1e12),
}


@pytest.fixture(params=KNOTS.values(), ids=KNOTS)
def knots(request: pytest.FixtureRequest) -> np.ndarray:
    return np.unique(request.param)


def heights_at(knots: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).normal(size=len(knots))


def assert_equals_interp(knots: np.ndarray, values: np.ndarray) -> None:
    heights = heights_at(knots)
    assert_allclose(PiecewiseLinear(knots, heights)(values), np.interp(values, knots, heights), rtol=1e-6, atol=1e-6)


def test_it_goes_through_its_knots(knots: np.ndarray) -> None:
    heights = heights_at(knots)
    assert_array_equal(PiecewiseLinear(knots, heights)(knots), heights.astype(np.float32))


def test_it_equals_interp_between_all_knots(knots: np.ndarray) -> None:
    shares = np.random.default_rng(2).uniform(size=(20, len(knots) - 1))
    assert_equals_interp(knots, (knots[:-1] + shares * np.diff(knots)).ravel())


def test_it_equals_interp_over_the_whole_range(knots: np.ndarray) -> None:
    width = knots[-1] - knots[0]
    assert_equals_interp(knots, np.linspace(knots[0] - 0.1 * width, knots[-1] + 0.1 * width, 5000))


def test_it_equals_interp_right_beside_the_knots(knots: np.ndarray) -> None:
    assert_equals_interp(knots, np.concatenate([np.nextafter(knots, -np.inf), np.nextafter(knots, np.inf)]))


def test_it_is_constant_beyond_the_outer_knots(knots: np.ndarray) -> None:
    heights = heights_at(knots).astype(np.float32)
    beyond = PiecewiseLinear(knots, heights_at(knots))(np.array([-1e100, 1e100]))
    assert_array_equal(beyond, heights[[0, -1]])


def test_one_knot_makes_a_constant() -> None:
    constant = PiecewiseLinear(np.array([5.0]), np.array([0.25]))
    assert_array_equal(constant(np.array([-1e9, 4.0, 5.0, 6.0, 1e9])), np.full(5, 0.25))


def test_it_rises_where_its_heights_do(knots: np.ndarray) -> None:
    rising = PiecewiseLinear(knots, np.linspace(-3, 3, len(knots)))
    values = np.sort(np.random.default_rng(3).choice(knots, 5000) * np.random.default_rng(4).uniform(0.9, 1.1, 5000))
    assert (np.diff(rising(values)) >= 0).all()


def test_result_does_not_depend_on_where_rows_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    knots, values = np.unique(KNOTS["normal"]), np.random.default_rng(5).normal(size=103)
    function = PiecewiseLinear(knots, heights_at(knots))
    at_once = function(values)
    monkeypatch.setattr(interpolation, "VALUES_IN_CACHE", 10)
    assert_array_equal(function(values), at_once)


def test_no_values_give_no_values() -> None:
    assert PiecewiseLinear(np.array([0.0, 1.0]), np.array([0.0, 1.0]))(np.zeros(0)).shape == (0,)


def test_values_are_left_as_they_are() -> None:
    values = np.array([0.25, 2.0])
    PiecewiseLinear(np.array([0.0, 1.0]), np.array([0.0, 1.0]))(values)
    assert values.tolist() == [0.25, 2.0]
