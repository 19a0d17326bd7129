"""The planar datasets of TensorFlow's playground (playground.tensorflow.org), drawn by the same rules.

Each dataset draws `x1` and `x2` in about [-6, 6]. Classes are called `blue` and `orange`.
"""

from typing import Any, ClassVar

import numpy as np

from litmlp.playground.generated import GeneratedData

Columns = dict[str, np.ndarray]


class PlanarData(GeneratedData):
    """Points of a plane with a label or a value; see GeneratedData for the arguments."""

    variables: ClassVar = ["x1", "x2"]
    target_column = "label"

    def shifted(self, points: np.ndarray, radius: float, generator: np.random.Generator) -> np.ndarray:
        """Return `points`, `[N, 2]`, moved by up to `noise * radius` on each axis; labels are computed from these."""
        return points + generator.uniform(-radius, radius, points.shape) * self.noise


class Circle(PlanarData):
    """Half of the points in a disc of radius 2.5, half in a ring from 3.5 to 5 around it."""

    def draw(self, generator: np.random.Generator) -> Columns:
        """Label by the noise-shifted point's distance from the origin."""
        num_inner = self.num_samples // 2
        inner = generator.uniform(0, 2.5, num_inner)
        outer = generator.uniform(3.5, 5, self.num_samples - num_inner)
        radius, angle = np.concatenate([inner, outer]), generator.uniform(0, 2 * np.pi, self.num_samples)
        points = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
        return _classes(points, np.linalg.norm(self.shifted(points, 5, generator), axis=1) < 2.5)


class Xor(PlanarData):
    """Four squares with a gap of 0.6 along the axes. Squares that lie diagonally opposite have the same class."""

    def draw(self, generator: np.random.Generator) -> Columns:
        """Label by the sign of the noise-shifted coordinates' product."""
        points = generator.uniform(-5, 5, (self.num_samples, 2))
        points += np.where(points > 0, 0.3, -0.3)
        return _classes(points, self.shifted(points, 5, generator).prod(axis=1) >= 0)


class Gauss(PlanarData):
    """Two normal clouds around (2, 2) and (-2, -2). Their variance is 0.5 without noise, and 4 at noise 0.5."""

    def draw(self, generator: np.random.Generator) -> Columns:
        """Label by the cloud."""
        is_blue = np.arange(self.num_samples) < self.num_samples // 2
        centre = np.where(is_blue, 2.0, -2.0)[:, None]
        deviation = np.sqrt(0.5 + 7 * self.noise)
        return _classes(centre + generator.normal(0, deviation, (self.num_samples, 2)), is_blue)


class Spiral(PlanarData):
    """Arms that wind 1.75 times around the origin; each is a class. See GeneratedData for the other arguments.

    Args:
        num_arms: number of arms, and so of classes. Two are called blue and orange; more are called arm 1, arm 2, ...
    """

    def __init__(self, *, num_arms: int = 2, **rows: Any) -> None:
        super().__init__(**rows)
        if num_arms < 2:
            raise ValueError(f"num_arms must be 2 or more, not {num_arms}")
        self.num_arms = num_arms

    def draw(self, generator: np.random.Generator) -> Columns:
        """Label by the arm; noise moves the points themselves."""
        arm = np.arange(self.num_samples) % self.num_arms
        along = (np.arange(self.num_samples) // self.num_arms) / (self.num_samples / self.num_arms)
        angle = 1.75 * 2 * np.pi * along + 2 * np.pi * arm / self.num_arms
        points = 5 * along[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        points += generator.uniform(-1, 1, points.shape) * self.noise
        if self.num_arms == 2:
            return _classes(points, arm == 0)
        width = len(str(self.num_arms))  # "arm 02" sorts before "arm 10"
        return _columns(points, label=np.array([f"arm {i + 1:0{width}}" for i in arm]))


class Plane(PlanarData):
    """A regression problem with a linear solution: (x1 + x2) / 10."""

    target_column = "value"

    def draw(self, generator: np.random.Generator) -> Columns:
        """Take the value at the noise-shifted point."""
        points = generator.uniform(-6, 6, (self.num_samples, 2))
        return _columns(points, value=self.shifted(points, 6, generator).sum(axis=1) / 10)


class Bumps(PlanarData):
    """A regression problem of six cones of height 1 and radius 2, three up and three down."""

    target_column = "value"
    centres = np.array([[-4, 2.5], [0, 2.5], [4, 2.5], [-4, -2.5], [0, -2.5], [4, -2.5]])
    signs = np.array([1, -1, 1, -1, 1, -1])

    def draw(self, generator: np.random.Generator) -> Columns:
        """Take the value of the nearest cone at the noise-shifted point."""
        points = generator.uniform(-6, 6, (self.num_samples, 2))
        shifted = self.shifted(points, 6, generator)
        distance = np.linalg.norm(shifted[:, None] - self.centres, axis=2)  # [N, 6]
        heights = np.clip(1 - distance / 2, 0, 1) * self.signs
        return _columns(points, value=heights[np.arange(len(points)), np.abs(heights).argmax(axis=1)])


def _classes(points: np.ndarray, is_blue: np.ndarray) -> Columns:
    return _columns(points, label=np.where(is_blue, "blue", "orange"))


def _columns(points: np.ndarray, **target: np.ndarray) -> Columns:
    return {"x1": points[:, 0], "x2": points[:, 1], **target}
