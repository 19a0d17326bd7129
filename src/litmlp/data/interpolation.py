"""A fast piecewise linear function."""

import numpy as np

VALUES_IN_CACHE = 16384  # the intermediate results of so many values stay in a core's cache
NUM_CELLS = 4096
EXTREME = 900  # exponent of two; differences of larger numbers may not fit into float64


class PiecewiseLinear:
    """A function that is linear between knots and constant beyond the outer ones.

    It returns the same as `np.interp`, but is several times as fast. `np.interp` searches all knots for each value.
    Here a grid of cells of equal width tells how many knots lie below a value's cell. Only the few knots inside the
    cell must then be searched, for all values at once.

    Args:
        knots: one or more strictly rising numbers, `[K] float64`.
        heights: the function's values at the knots, `[K] float64`.
    """

    def __init__(self, knots: np.ndarray, heights: np.ndarray) -> None:
        self.exponent, self.ends = _exponent(knots), (knots[0], knots[-1])
        knots = np.ldexp(knots, -self.exponent)
        self.slopes = np.append(_quotient(np.diff(heights), np.diff(knots)), 0.0)
        self.heights = heights
        self.low, high = np.quantile(knots, [0.002, 0.998])  # outliers would leave most knots in a single cell
        self.cells_per_unit = float(_quotient(NUM_CELLS, high - self.low))
        cell_of_knot = self._cell(knots)
        self.knots_below = np.searchsorted(cell_of_knot, np.arange(NUM_CELLS + 1)).astype(np.int32)
        most_in_a_cell = int(np.bincount(cell_of_knot).max())
        self.steps = [1 << bit for bit in reversed(range(most_in_a_cell.bit_length()))]
        self.knots = np.append(knots, np.full(2 * most_in_a_cell, np.inf))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the function's values, `[N] float32`, at `values`, `[N] float64`."""
        if self.exponent:
            values = np.ldexp(values.clip(*self.ends), -self.exponent)
        result = np.empty(len(values), dtype=np.float32)
        for start in range(0, len(values), VALUES_IN_CACHE):
            chunk = slice(start, start + VALUES_IN_CACHE)
            result[chunk] = self._interpolated(values[chunk])
        return result

    def _cell(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # infinity is clipped to the last cell
            position = (values - self.low) * self.cells_per_unit
        return np.clip(position, 0, NUM_CELLS, out=position).astype(np.int32)

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
    # Return the power of two that everything is divided by: 0, unless differences might not fit into float64.
    exponent = int(np.frexp(np.abs(knots).max())[1])
    return exponent if abs(exponent) > EXTREME else 0


def _quotient(rise: np.ndarray | float, run: np.ndarray) -> np.ndarray:
    # Return 0 where the quotient is not finite, for example between knots that are neighbouring float64 numbers.
    with np.errstate(all="ignore"):
        quotient = rise / run
    return np.where(np.isfinite(quotient), quotient, 0.0)
