import io
from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from litmlp.data.scaling import SCALINGS, QuantileScaling, RobustScaling, Scaling, StandardScaling, scaling_named

BENT_1 = 1 / sqrt(1 + 1 / 9)
OUTERMOST = norm.ppf(1 - 0.5 / 1001)
DRAW = {
    "lognormal": lambda generator, n: generator.lognormal(size=n),
    "normal": lambda generator, n: generator.normal(-40, 3, n),
    "exponential": lambda generator, n: generator.exponential(9, n),
    "integer": lambda generator, n: generator.integers(-50, 50, n).astype(float),
    "huge offset": lambda generator, n: 1e9 + generator.normal(size=n),
}
CONTINUOUS = pytest.mark.parametrize("shape", sorted(DRAW.keys() - {"integer"}))


@pytest.fixture(params=DRAW)
def shape(request: pytest.FixtureRequest) -> str:
    return request.param


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def drawn(shape: str = "lognormal", num_rows: int = 500, seed: int = 0) -> np.ndarray:
    return DRAW[shape](np.random.default_rng(seed), num_rows)


def fitted(scaling: type[Scaling], values: np.ndarray) -> Scaling:
    scale = scaling()
    scale.fit(values)
    return scale


def by_scikit_learn(oracle: Any, train: np.ndarray, other: np.ndarray) -> np.ndarray:
    return oracle.fit(train[:, None]).transform(other[:, None])[:, 0]


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_standard_equals_scikit_learn(shape: str) -> None:
    train, other = drawn(shape), drawn(shape, seed=1)
    expected = by_scikit_learn(StandardScaler(), train, other)
    assert_allclose(fitted(StandardScaling, train).apply(other), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("constant", [7.0, 0.0, -3.0, 0.1, 1e9 + 0.1])
def test_standard_only_shifts_a_constant_column(constant: float) -> None:
    scale = fitted(StandardScaling, column(*[constant] * 7))
    assert_allclose(scale.apply(column(constant, constant + 1)), [0, 1], atol=1e-6)


def test_robust_by_hand() -> None:
    scale = fitted(RobustScaling, column(0, 1, 2, 3, 100))  # median 2, quartiles 1 and 3
    z = [-1, -0.5, 0, 0.5, 49]
    assert_allclose(scale.apply(column(0, 1, 2, 3, 100)), [v / sqrt(1 + v * v / 9) for v in z], rtol=1e-6)


def test_robust_bends_what_scikit_learn_gives(shape: str) -> None:
    train, other = drawn(shape), drawn(shape, seed=1)
    z = by_scikit_learn(RobustScaler(), train, other)
    assert_allclose(fitted(RobustScaling, train).apply(other), 3 * np.sin(np.arctan(z / 3)), rtol=1e-6, atol=1e-6)


def test_robust_takes_half_the_range_where_quartiles_coincide() -> None:
    scale = fitted(RobustScaling, column(1, 5, 5, 5, 5, 5, 5, 5, 9))
    assert_allclose(scale.apply(column(1, 5, 9)), [-BENT_1, 0, BENT_1], rtol=1e-6)


@pytest.mark.parametrize("constant", [7.0, 0.1, 0.0])
def test_robust_only_shifts_and_bends_a_constant_column(constant: float) -> None:
    scale = fitted(RobustScaling, column(*[constant] * 7))
    assert_allclose(scale.apply(column(constant, constant + 1)), [0, BENT_1], rtol=1e-6)


def test_robust_is_bounded_by_3_and_keeps_order() -> None:
    scaled = fitted(RobustScaling, drawn()).apply(np.linspace(-100, 100, 1001))
    assert np.abs(scaled).max() < 3
    assert (np.diff(scaled) > 0).all()


def quantile_transformer() -> QuantileTransformer:
    return QuantileTransformer(n_quantiles=1001, output_distribution="normal", subsample=None)


def test_quantile_nearly_equals_scikit_learn(shape: str) -> None:
    train, other = drawn(shape, 3000), drawn(shape, 3000, seed=1)
    expected = by_scikit_learn(quantile_transformer(), train, other)
    inside = np.abs(expected) < 2.5
    assert inside.mean() > 0.97
    assert_allclose(fitted(QuantileScaling, train).apply(other)[inside], expected[inside], atol=0.01)


@CONTINUOUS
def test_quantile_is_linear_between_the_normal_scores_of_scikit_learns_quantiles(shape: str) -> None:
    train, other = drawn(shape, 3000), drawn(shape, 3000, seed=1)
    oracle = quantile_transformer().fit(train[:, None])
    scores = norm.ppf(oracle.references_).clip(-OUTERMOST, OUTERMOST)
    expected = np.interp(other, oracle.quantiles_[:, 0], scores)
    assert_allclose(fitted(QuantileScaling, train).apply(other), expected, rtol=1e-5, atol=1e-5)


@CONTINUOUS
def test_quantile_makes_any_continuous_column_normal(shape: str) -> None:
    scaled = fitted(QuantileScaling, drawn(shape, 5000)).apply(drawn(shape, 5000))
    shares = [(scaled < z).mean() for z in (-2, -1, 0, 1, 2)]
    assert_allclose(shares, norm.cdf([-2, -1, 0, 1, 2]), atol=2e-3)


def test_quantile_keeps_order() -> None:
    values = np.sort(drawn(num_rows=300))
    assert (np.diff(fitted(QuantileScaling, values).apply(values))[1:-1] > 0).all()


def test_quantile_clips_values_outside_the_training_range() -> None:
    scaled = fitted(QuantileScaling, column(*range(10))).apply(column(-1e9, 0, 9, 1e9))
    assert_allclose(scaled, [-OUTERMOST, -OUTERMOST, OUTERMOST, OUTERMOST], rtol=1e-6)


def test_quantile_gives_ties_the_middle_of_their_stretch() -> None:
    scaled = fitted(QuantileScaling, column(*[0] * 1000, *[1] * 2000, *[2] * 1000)).apply(column(0, 1, 2))
    assert_allclose(scaled, norm.ppf([0.125, 0.5, 0.875]), atol=0.005)


def test_quantile_places_two_values_by_their_shares() -> None:
    scaled = fitted(QuantileScaling, column(*[0] * 800, *[1] * 200)).apply(column(0, 1))
    assert_allclose(scaled, norm.ppf([0.4, 0.9]), atol=0.01)


def test_quantile_makes_a_constant_column_0() -> None:
    assert fitted(QuantileScaling, column(7, 7, 7)).apply(column(7, 8, -1e9)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
class TestEveryScaling:
    def test_scaling_does_not_depend_on_the_unit(self, scaling: type[Scaling], shape: str) -> None:
        values = drawn(shape)
        assert_allclose(
            fitted(scaling, 1024 * values + 512).apply(1024 * values + 512),
            fitted(scaling, values).apply(values),
            rtol=1e-5,
            atol=1e-5,
        )

    def test_scaling_does_not_depend_on_the_order_of_rows(self, scaling: type[Scaling]) -> None:
        values = drawn()
        assert_allclose(fitted(scaling, values[::-1]).apply(values), fitted(scaling, values).apply(values), rtol=1e-5)

    def test_each_row_is_scaled_by_itself(self, scaling: type[Scaling]) -> None:
        scale, other = fitted(scaling, drawn()), drawn(num_rows=20, seed=1)
        assert_array_equal(np.concatenate([scale.apply(other[[i]]) for i in range(20)]), scale.apply(other))

    def test_values_are_left_as_they_are(self, scaling: type[Scaling]) -> None:
        values = drawn()
        fitted(scaling, values).apply(values)
        assert_array_equal(values, drawn())

    def test_scaled_values_have_single_precision(self, scaling: type[Scaling]) -> None:
        assert fitted(scaling, drawn()).apply(drawn()).dtype == np.float32

    def test_column_without_values_scales_anything_to_something_finite(self, scaling: type[Scaling]) -> None:
        assert np.isfinite(fitted(scaling, column()).apply(column(-5, 0, 5))).all()

    def test_state_loaded_from_a_file_scales_the_same(self, scaling: type[Scaling], shape: str) -> None:
        loaded, original, other = scaling(), fitted(scaling, drawn(shape)), drawn(shape, seed=1)
        loaded.load_state_dict(saved_and_loaded(original.state_dict()))
        assert_array_equal(loaded.apply(other), original.apply(other))


def test_each_name_gives_a_new_scaling() -> None:
    assert scaling_named("robust") is not scaling_named("robust")


def test_unknown_scaling_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"scaling is 'robost': did you mean 'robust'\?"):
        scaling_named("robost")


ENDS = [0.0, -0.0, 5e-324, -1e-310, 1e-300, 1.0, -1.0, 2.0**63, 1e300, -1e308, 1.7976931348623157e308]


@pytest.mark.parametrize("name", SCALINGS)
def test_any_numbers_become_finite_ones_in_the_same_order(name: str) -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        values = generator.choice(generator.choice(ENDS, 3), 30) * generator.choice([1, 0.999, 0.5], 30)
        scaling = scaling_named(name)
        scaling.fit(values)
        scaled = scaling.apply(np.sort([*values, *ENDS, -1.7976931348623157e308]))
        assert np.isfinite(scaled).all()
        assert (np.diff(scaled) >= -1e-6).all()


@pytest.mark.parametrize(("name", "key"), [("standard", "std"), ("robust", "spread")])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_state_that_divides_by_nothing_is_refused(name: str, key: str, value: float) -> None:
    scaling = scaling_named(name)
    scaling.fit(np.array([1.0, 2.0, 4.0]))
    with pytest.raises(ValueError, match="above 0"):
        scaling_named(name).load_state_dict(scaling.state_dict() | {key: value})
