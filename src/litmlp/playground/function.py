"""Data of one input and one target, which lie along a curve."""

from typing import Any, ClassVar

import numpy as np

from litmlp.data.scaling import mean_and_std
from litmlp.errors import did_you_mean
from litmlp.playground.expression import evaluate
from litmlp.playground.generated import GeneratedData

NAMED = {
    "line": "0.5*x + 1",
    "sine": "sin(x)",
    "steps": "floor(x)",
    "hill": "exp(-x^2)",
    "zigzag": "abs((x + 10) % 2 - 1)",
    "wiggle": "sin(2*x) + 0.3*x + 0.5*cos(5*x)",
}


class FunctionData(GeneratedData):
    """Rows of an input `x` and a target `y`, the value of a function; see GeneratedData for the other arguments.

    Args:
        function: an expression of `x` such as `sin(3*x) + x^2`, or the name of one in `NAMED`.
        low: smallest `x`.
        high: largest `x`.
        outliers: fraction of the rows that lie far above the curve: by 5 to 10 of its standard deviations.
    """

    variables: ClassVar = ["x"]
    target_column = "y"

    def __init__(
        self, *, function: str = "wiggle", low: float = -3.0, high: float = 3.0, outliers: float = 0.0, **rows: Any
    ) -> None:
        super().__init__(**rows)
        if function.isidentifier() and function not in {*NAMED, "x"}:
            raise ValueError(f"there is no function '{function}': {did_you_mean(function, NAMED)}")
        self.function = NAMED.get(function, function)
        if not (low < high and high - low < np.inf):
            raise ValueError(f"low={low} must be below high={high}, and their difference a finite number")
        if not np.isfinite(evaluate(self.function, {"x": np.linspace(low, high, 1001)})).all():
            raise ValueError(f"the function '{function}' is not finite everywhere between {low} and {high}")
        if not 0 <= outliers <= 1:
            raise ValueError(f"outliers={outliers} must be a fraction between 0 and 1")
        self.low = low
        self.high = high
        self.outliers = outliers

    def draw(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw `x` from a uniform distribution, add noise to the function's value, and move the outliers."""
        x = generator.uniform(self.low, self.high, self.num_samples)
        y = np.broadcast_to(evaluate(self.function, {"x": x}), x.shape)
        offset = generator.normal(0, 1, x.shape) * self.noise  # in standard deviations of y
        if self.outliers:
            offset += np.where(generator.random(x.shape) < self.outliers, generator.uniform(5, 10, x.shape), 0)
        return {"x": x, "y": y + offset * mean_and_std(y)[1]}
