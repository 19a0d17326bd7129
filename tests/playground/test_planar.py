from math import hypot
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from litmlp.data import ClassTarget, NumericTarget
from litmlp.playground import Bumps, Circle, Gauss, PlanarData, Plane, Spiral, Xor

CLASSIFICATION = [Circle, Xor, Gauss, Spiral]
REGRESSION = [Plane, Bumps]
HILLS = [(-4, 2.5), (4, 2.5), (0, -2.5)]
HOLLOWS = [(0, 2.5), (-4, -2.5), (4, -2.5)]


def made(kind: type[PlanarData], **arguments: Any) -> PlanarData:
    return kind(target_type=NumericTarget if kind in REGRESSION else ClassTarget, **arguments)


def drawn(kind: type[PlanarData], **arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    """Points `[N, 2]` and labels `[N]`."""
    frame = made(kind, **arguments).read().collect()
    return frame["x1", "x2"].to_numpy(), frame[kind.target_column].to_numpy()


def radius(points: np.ndarray) -> np.ndarray:
    return np.hypot(points[:, 0], points[:, 1])


@pytest.mark.parametrize("kind", [*CLASSIFICATION, *REGRESSION])
def test_same_seed_gives_same_rows_and_another_seed_others(kind: type[PlanarData]) -> None:
    first, again, other = (made(kind, noise=0.2, seed=seed).read().collect() for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("kind", [Circle, Gauss, Spiral])
@pytest.mark.parametrize("num_samples", [100, 101])
def test_points_are_half_blue_half_orange(kind: type[PlanarData], num_samples: int) -> None:
    points, label = drawn(kind, num_samples=num_samples)
    assert points.shape == (num_samples, 2)
    assert set(label) == {"blue", "orange"}
    assert abs((label == "blue").sum() - num_samples / 2) <= 0.5


@pytest.mark.parametrize("kind", [Circle, Xor, Plane, Bumps])
def test_noise_moves_labels_and_not_points(kind: type[PlanarData]) -> None:
    points, label = drawn(kind)
    noisy_points, noisy_label = drawn(kind, noise=0.3)
    assert_array_equal(points, noisy_points)
    assert (label != noisy_label).any()


def test_circle_is_a_blue_disc_in_an_orange_ring() -> None:
    points, label = drawn(Circle)
    inner, outer = radius(points[label == "blue"]), radius(points[label == "orange"])
    assert inner.max() <= 2.5
    assert outer.min() >= 3.5
    assert outer.max() <= 5


def test_circle_radii_and_angles_are_spread_evenly() -> None:
    points, label = drawn(Circle, num_samples=10000)
    for name, low, high in [("blue", 0, 2.5), ("orange", 3.5, 5)]:
        shares = np.histogram(radius(points[label == name]), bins=5, range=(low, high))[0] / 5000
        assert_allclose(shares, 0.2, atol=0.03)
    angles = np.histogram(np.arctan2(*points.T), bins=8, range=(-np.pi, np.pi))[0] / 10000
    assert_allclose(angles, 0.125, atol=0.02)


def test_circle_noise_moves_a_label_by_at_most_5_times_the_noise_on_each_axis() -> None:
    points, label = drawn(Circle, num_samples=5000, noise=0.2)
    reach = hypot(0.2 * 5, 0.2 * 5)
    assert (label[radius(points) < 2.5 - reach] == "blue").all()
    assert (label[radius(points) > 2.5 + reach] == "orange").all()
    assert (label[radius(points) > 3.5] == "blue").any()


def test_xor_labels_by_the_sign_of_the_product() -> None:
    points, label = drawn(Xor)
    assert_array_equal(label == "blue", np.sign(points[:, 0]) == np.sign(points[:, 1]))


def test_xor_keeps_a_gap_along_the_axes() -> None:
    points, _ = drawn(Xor, num_samples=5000)
    assert np.abs(points).min() >= 0.3
    assert np.abs(points).min() < 0.31
    assert np.abs(points).max() <= 5.3
    quadrants = np.histogram2d(*np.sign(points).T, bins=2)[0] / 5000
    assert_allclose(quadrants, 0.25, atol=0.03)


@pytest.mark.parametrize(("noise", "variance"), [(0, 0.5), (0.25, 2.25), (0.5, 4)])
def test_gauss_clouds_have_their_centre_and_variance(noise: float, variance: float) -> None:
    points, label = drawn(Gauss, num_samples=20000, noise=noise)
    for name, centre in [("blue", 2), ("orange", -2)]:
        cloud = points[label == name]
        assert_allclose(cloud.mean(axis=0), [centre, centre], atol=0.1)
        assert_allclose(np.cov(cloud.T), np.eye(2) * variance, atol=0.06 * variance)


@pytest.mark.parametrize(("num_arms", "num_samples"), [(2, 200), (3, 90), (5, 100)])
def test_spiral_arms_wind_by_the_formula(num_arms: int, num_samples: int) -> None:
    points, label = drawn(Spiral, num_arms=num_arms, num_samples=num_samples)
    n = num_samples // num_arms
    names = ["blue", "orange"] if num_arms == 2 else [f"arm {arm + 1}" for arm in range(num_arms)]
    for arm, name in enumerate(names):
        for i, (x1, x2) in enumerate(points[label == name]):
            angle = 1.75 * 2 * np.pi * i / n + 2 * np.pi * arm / num_arms
            assert_allclose([x1, x2], [5 * i / n * np.sin(angle), 5 * i / n * np.cos(angle)], atol=1e-9)


def test_spiral_has_a_class_for_each_arm_in_their_order() -> None:
    data = made(Spiral, num_arms=11, num_samples=330)
    data.setup()
    assert data.target.classes == [f"arm {arm:02}" for arm in range(1, 12)]


def test_spiral_noise_moves_points_by_at_most_itself() -> None:
    points, label = drawn(Spiral)
    noisy_points, noisy_label = drawn(Spiral, noise=0.4)
    moved = noisy_points - points
    assert_array_equal(label, noisy_label)
    assert -0.4 <= moved.min() < -0.38
    assert 0.38 < moved.max() <= 0.4


@pytest.mark.parametrize("num_arms", [1, 0, -1])
def test_spiral_needs_two_arms(num_arms: int) -> None:
    with pytest.raises(ValueError, match=f"num_arms must be 2 or more, not {num_arms}"):
        made(Spiral, num_arms=num_arms)


def test_plane_is_a_tenth_of_the_sum() -> None:
    points, value = drawn(Plane)
    assert_allclose(value, (points[:, 0] + points[:, 1]) / 10)


def test_plane_noise_is_at_most_that_of_moving_both_axes() -> None:
    points, value = drawn(Plane, num_samples=5000, noise=0.1)
    error = np.abs(value - points.sum(axis=1) / 10)
    assert 0.1 < error.max() <= 2 * 6 * 0.1 / 10


def cones(x1: float, x2: float) -> float:
    """The sum of the cones at a point, of which at most one is not 0 there."""
    height = 0.0
    for sign, centres in [(1, HILLS), (-1, HOLLOWS)]:
        for a, b in centres:
            height += sign * max(0.0, 1 - hypot(x1 - a, x2 - b) / 2)
    return height


def test_bumps_are_cones() -> None:
    points, value = drawn(Bumps, num_samples=2000)
    assert_allclose(value, [cones(*point) for point in points], atol=1e-12)


def test_bumps_are_high_at_hills_low_at_hollows_and_0_far_from_both() -> None:
    points, value = drawn(Bumps, num_samples=20000)

    def distance(centres: list[tuple[float, float]]) -> np.ndarray:
        return np.min([radius(points - centre) for centre in centres], axis=0)

    hill, hollow = distance(HILLS) < 0.2, distance(HOLLOWS) < 0.2
    far = np.minimum(distance(HILLS), distance(HOLLOWS)) >= 2
    assert min(hill.sum(), hollow.sum(), far.sum()) > 20
    assert value[hill].min() > 0.9
    assert value[hollow].max() < -0.9
    assert (value[far] == 0).all()


@pytest.mark.parametrize("kind", REGRESSION)
def test_regression_points_fill_the_square(kind: type[PlanarData]) -> None:
    points, _ = drawn(kind, num_samples=8000)
    assert np.abs(points).max() <= 6
    shares = np.histogram2d(*points.T, bins=4, range=[(-6, 6), (-6, 6)])[0] / 8000
    assert_allclose(shares, 1 / 16, atol=0.015)
