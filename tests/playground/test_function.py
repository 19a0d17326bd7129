from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from litmlp.data import NumericTarget
from litmlp.errors import InputError
from litmlp.playground import FunctionData
from litmlp.playground.function import NAMED

FORMULAS = {
    "line": lambda x: 0.5 * x + 1,
    "sine": np.sin,
    "steps": np.floor,
    "hill": lambda x: np.exp(-(x**2)),
    "zigzag": lambda x: np.abs(np.mod(x + 10, 2) - 1),
    "wiggle": lambda x: np.sin(2 * x) + 0.3 * x + 0.5 * np.cos(5 * x),
    "sin(3*x) + x^2": lambda x: np.sin(3 * x) + x**2,
    "2": lambda x: np.full_like(x, 2),
}


def drawn(**arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    frame = FunctionData(target_type=NumericTarget, **arguments).read().collect()
    return frame["x"].to_numpy(), frame["y"].to_numpy()


@pytest.mark.parametrize("function", FORMULAS)
def test_without_noise_the_value_is_the_function(function: str) -> None:
    x, y = drawn(function=function)
    assert_allclose(y, FORMULAS[function](x), rtol=1e-12, atol=1e-12)


def test_each_named_function_has_its_formula_here() -> None:
    assert set(NAMED) <= set(FORMULAS)


@pytest.mark.parametrize("function", NAMED)
def test_named_functions_are_finite_far_out(function: str) -> None:
    assert np.isfinite(drawn(function=function, low=-100, high=100)[1]).all()


def test_x_is_spread_evenly_between_low_and_high() -> None:
    x, _ = drawn(low=-1, high=4, num_samples=5000)
    assert x.min() >= -1
    assert x.max() <= 4
    shares = np.histogram(x, bins=10, range=(-1, 4))[0] / 5000
    assert_allclose(shares, 0.1, atol=0.02)


@pytest.mark.parametrize("function", ["sine", "100*sin(x)"])
def test_noise_is_a_share_of_the_functions_deviation(function: str) -> None:
    x, y = drawn(function=function, noise=0.3, num_samples=20000)
    _, exact = drawn(function=function, num_samples=20000)
    assert_array_equal(x, drawn(function=function, num_samples=20000)[0])
    residual = y - exact
    assert_allclose(residual.std(), 0.3 * exact.std(), rtol=0.03)
    assert abs(residual.mean()) < 5 * residual.std() / np.sqrt(20000)


def test_constant_function_still_gets_noise() -> None:
    _, y = drawn(function="2", noise=0.5, num_samples=20000)
    assert_allclose([y.mean(), y.std()], [2, 0.5], rtol=0.03)


@pytest.mark.parametrize("function", ["log(x)", "sqrt(x)", "1/x", "exp(1000*x)"])
def test_function_that_is_not_finite_everywhere_is_refused(function: str) -> None:
    with pytest.raises(ValueError, match=r"is not finite everywhere between -3\.0 and 3\.0"):
        drawn(function=function)


def test_function_finite_on_its_range_is_taken() -> None:
    x, y = drawn(function="log(x)", low=0.5)
    assert_allclose(y, np.log(x))


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, -2), (float("nan"), 1)])
def test_low_must_be_below_high(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=f"low={low} must be below high={high}"):
        drawn(low=low, high=high)


def test_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="'t'"):
        drawn(function="sin(t)")


def test_misspelt_name_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"there is no function 'wigle': did you mean 'wiggle'\?"):
        drawn(function="wigle")


def test_outliers_are_a_share_of_the_rows_and_lie_far_above() -> None:
    (x, plain), (same, moved) = drawn(function="sine", noise=0.1), drawn(function="sine", noise=0.1, outliers=0.2)
    assert (same == x).all()
    far = (moved - plain) / np.sin(x).std()
    assert ((far == 0) | ((far > 4.9) & (far < 10.1))).all()
    assert (far > 0).mean() == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("outliers", [-0.1, 1.1])
def test_outliers_are_a_share(outliers: float) -> None:
    with pytest.raises(ValueError, match=f"outliers={outliers} must be a fraction between 0 and 1"):
        drawn(outliers=outliers)
