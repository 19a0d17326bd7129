"""A fast piecewise linear function."""

import numpy as np

VALUES_IN_CACHE = 16384  # their intermediate values stay in a core's cache
NUM_CELLS = 4096
EXTREME = 900  # power of two


class PiecewiseLinear:
    """Linear between knots and constant beyond the outer ones, as `np.interp`, but several times as fast.

    `np.interp` searches all knots for each value. Here a grid of cells of equal width tells how many knots lie below
    a value's cell; what is left to search are the few knots inside the cell, for all values at once.

    Args:
        knots: strictly rising, `[K] float64`, one at least.
        heights: the function's values there, `[K] float64`.
    """

    def __init__(self, knots: np.ndarray, heights: np.ndarray) -> None:
        self.exponent, self.ends = _exponent(knots), (knots[0], knots[-1])
        knots = np.ldexp(knots, -self.exponent)
        self.slopes = np.append(_quotient(np.diff(heights), np.diff(knots)), 0.0)
        self.heights = heights
        self.low, high = np.quantile(knots, [0.002, 0.998])
        self.cells_per_unit = float(_quotient(NUM_CELLS, high - self.low))
        cell_of_knot = self._cell(knots)
        self.knots_below = np.searchsorted(cell_of_knot, np.arange(NUM_CELLS + 1)).astype(np.int32)
        most_in_a_cell = int(np.bincount(cell_of_knot).max())
        self.steps = [1 << bit for bit in reversed(range(most_in_a_cell.bit_length()))]
        self.knots = np.append(knots, np.full(2 * most_in_a_cell, np.inf))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the function of `[N] float64`, `[N] float32`."""
        if self.exponent:
            values = np.ldexp(values.clip(*self.ends), -self.exponent)
        result = np.empty(len(values), dtype=np.float32)
        for start in range(0, len(values), VALUES_IN_CACHE):
            chunk = slice(start, start + VALUES_IN_CACHE)
            result[chunk] = self._interpolated(values[chunk])
        return result

    def _cell(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # infinity is beyond the last cell
            place = (values - self.low) * self.cells_per_unit
        return np.clip(place, 0, NUM_CELLS, out=place).astype(np.int32)

    def _interpolated(self, values: np.ndarray) -> np.ndarray:
        left = self.knots_below.take(self._cell(values))
        for step in self.steps:  # a binary search without branches
            left += (self.knots.take(left + (step - 1)) <= values) * np.int32(step)
        left -= 1
        np.maximum(left, 0, out=left)
        height = values - self.knots.take(left)
        np.maximum(height, 0, out=height)
        height *= self.slopes.take(left)
        height += self.heights.take(left)
        return height


def _exponent(knots: np.ndarray) -> int:
    # By how many powers of two all is made smaller: 0, unless distances would leave the numbers that there are.
    exponent = int(np.frexp(np.abs(knots).max())[1])
    return exponent if abs(exponent) > EXTREME else 0


def _quotient(rise: np.ndarray | float, run: np.ndarray) -> np.ndarray:
    # 0 where there is none, as of knots that are neighbours among all numbers.
    with np.errstate(all="ignore"):
        quotient = rise / run
    return np.where(np.isfinite(quotient), quotient, 0.0)
