from math import sqrt

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler
from torch import Tensor

from litmlp.data.scaling import SCALINGS, QuantileScaling, RobustScaling, Scaling, StandardScaling, scaling_named

BENT_1 = 1 / sqrt(1 + 1 / 9)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def fitted(scaling: type[Scaling], values: Tensor) -> Scaling:
    scale = scaling()
    scale.fit(values)
    return scale


def skewed(num_rows: int = 500, seed: int = 0) -> Tensor:
    generator = np.random.default_rng(seed)
    columns = [
        generator.lognormal(size=num_rows),
        generator.normal(-40, 3, num_rows),
        generator.exponential(9, num_rows),
    ]
    return torch.tensor(np.stack(columns, axis=1))


def with_gaps(values: Tensor) -> Tensor:
    gaps = torch.rand(values.shape, generator=torch.Generator().manual_seed(0)) < 0.1
    return values.masked_fill(gaps, float("nan"))


@pytest.mark.parametrize("values", [skewed(), with_gaps(skewed())], ids=["complete", "gaps"])
def test_standard_equals_scikit_learn(values: Tensor) -> None:
    oracle = StandardScaler().fit(values.numpy())
    other = skewed(seed=1)
    assert_allclose(fitted(StandardScaling, values).apply(other), oracle.transform(other.numpy()))


@pytest.mark.parametrize("constant", [7.0, 0.0, -3.0, 0.1])
def test_standard_only_shifts_a_constant_column(constant: float) -> None:
    scale = fitted(StandardScaling, column(*[constant] * 7))
    assert_allclose(scale.apply(column(constant, constant + 1)).flatten(), [0, 1], atol=1e-12)


def test_robust_by_hand() -> None:
    scale = fitted(RobustScaling, column(0, 1, 2, 3, 100))  # median 2, quartiles 1 and 3
    z = [-1, -0.5, 0, 0.5, 49]
    assert_allclose(scale.apply(column(0, 1, 2, 3, 100)).flatten(), [v / sqrt(1 + v * v / 9) for v in z])


@pytest.mark.parametrize("values", [skewed(), with_gaps(skewed())], ids=["complete", "gaps"])
def test_robust_bends_what_scikit_learn_gives(values: Tensor) -> None:
    z = RobustScaler().fit(values.numpy()).transform(skewed(seed=1).numpy())
    assert_allclose(fitted(RobustScaling, values).apply(skewed(seed=1)), 3 * np.sin(np.arctan(z / 3)), rtol=1e-9)


def test_robust_takes_half_the_range_where_quartiles_coincide() -> None:
    scale = fitted(RobustScaling, column(1, 5, 5, 5, 5, 5, 5, 5, 9))
    assert_allclose(scale.apply(column(1, 5, 9)).flatten(), [-BENT_1, 0, BENT_1])


@pytest.mark.parametrize("constant", [7.0, 0.1, 0.0])
def test_robust_only_shifts_and_bends_a_constant_column(constant: float) -> None:
    scale = fitted(RobustScaling, column(*[constant] * 7))
    assert_allclose(scale.apply(column(constant, constant + 1)).flatten(), [0, BENT_1])


def test_robust_is_bounded_by_3_and_keeps_order() -> None:
    scaled = fitted(RobustScaling, skewed()).apply(
        torch.linspace(-1e4, 1e4, 1001, dtype=torch.float64)[:, None].expand(-1, 3)
    )
    assert scaled.abs().max() < 3
    assert (scaled.diff(dim=0) > 0).all()


def test_quantile_equals_scikit_learn_between_the_edges() -> None:
    values, other = skewed(3000), skewed(3000, seed=1)
    oracle = QuantileTransformer(n_quantiles=1001, output_distribution="normal", subsample=None).fit(values.numpy())
    expected = oracle.transform(other.numpy())
    inside = np.abs(expected) < 3
    assert inside.mean() > 0.99
    assert_allclose(fitted(QuantileScaling, values).apply(other).numpy()[inside], expected[inside], atol=1e-6)


def test_quantile_makes_a_lognormal_column_normal() -> None:
    scaled = fitted(QuantileScaling, skewed(5000)).apply(skewed(5000))[:, 0]
    shares = [(scaled < z).double().mean().item() for z in (-2, -1, 0, 1, 2)]
    assert_allclose(shares, [0.0228, 0.1587, 0.5, 0.8413, 0.9772], atol=2e-3)


def test_quantile_keeps_order() -> None:
    values = skewed(300)[:, :1].sort(dim=0).values
    assert (fitted(QuantileScaling, values).apply(values).diff(dim=0)[1:-1] > 0).all()


def test_quantile_clips_values_outside_the_training_range() -> None:
    scaled = fitted(QuantileScaling, column(*range(10))).apply(column(-1e9, 0, 9, 1e9)).flatten()
    limit = norm.ppf(1 - 0.5 / 1001)
    assert_allclose(scaled, [-limit, -limit, limit, limit])


def test_quantile_gives_ties_the_middle_of_their_stretch() -> None:
    scaled = fitted(QuantileScaling, column(*[0] * 10, *[1] * 20, *[2] * 10)).apply(column(1))
    assert_allclose(scaled, 0, atol=1e-6)


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
class TestEveryScaling:
    def test_missing_stays_missing_and_leaves_others_alone(self, scaling: type[Scaling]) -> None:
        values = with_gaps(skewed())
        scaled = fitted(scaling, values).apply(values)
        assert torch.equal(scaled.isnan(), values.isnan())

    def test_columns_do_not_mix(self, scaling: type[Scaling]) -> None:
        values = skewed()
        together = fitted(scaling, values).apply(values)
        apart = [fitted(scaling, values[:, [i]]).apply(values[:, [i]]) for i in range(3)]
        assert_allclose(together, torch.cat(apart, dim=1), rtol=1e-12)

    def test_scaling_does_not_depend_on_the_unit(self, scaling: type[Scaling]) -> None:
        values = skewed()
        assert_allclose(
            fitted(scaling, 1000 * values + 5).apply(1000 * values + 5),
            fitted(scaling, values).apply(values),
            rtol=1e-6,
            atol=1e-6,
        )

    def test_column_without_values_scales_anything_to_something_finite(self, scaling: type[Scaling]) -> None:
        scale = fitted(scaling, column(float("nan"), float("nan")))
        assert scale.apply(column(-5.0, 0.0, 5.0)).isfinite().all()

    def test_loaded_state_scales_the_same(self, scaling: type[Scaling]) -> None:
        loaded, original = scaling(), fitted(scaling, skewed())
        loaded.load_state_dict(original.state_dict())
        assert torch.equal(loaded.apply(skewed(seed=1)), original.apply(skewed(seed=1)))


def test_each_name_gives_a_new_scaling() -> None:
    assert scaling_named("robust") is not scaling_named("robust")


def test_unknown_scaling_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"scaling is 'robost': did you mean 'robust'\?"):
        scaling_named("robost")
