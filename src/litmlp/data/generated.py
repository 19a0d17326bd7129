"""Rows drawn by a rule rather than read from a file."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from polars import DataFrame, Series

from litmlp.data.encoding import as_numbers
from litmlp.data.expression import evaluate
from litmlp.data.tabular import TabularData
from litmlp.data.targets import Target
from litmlp.errors import InputError


class GeneratedData(TabularData):
    """A subclass names its columns (`variables`, `target_column`) and says how rows are drawn (`draw`).

    Args:
        target_type: the kind of target that the task learns; passed in when a run is built.
        inputs: what the network sees: expressions of the variables, such as `x1^2` or `sin(x2)`.
        num_samples: number of rows.
        noise: 0 for none; 0.5 is much.
        scaling: of numeric inputs: `standard`, `robust` or `quantile`.
        batch_size: rows a step, in each process.
        val_size: share of the rows for validation.
        test_size: share of the rows for the test.
        seed: of the rows, the split and the order of training rows.
    """

    variables: ClassVar[list[str]]
    target_column: ClassVar[str]

    def __init__(
        self,
        target_type: type[Target],
        inputs: list[str] | None = None,
        num_samples: int = 1000,
        noise: float = 0.0,
        scaling: str = "standard",
        batch_size: int = 32,
        val_size: float = 0.2,
        test_size: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(self.target_column, target_type, scaling, batch_size, val_size, test_size, seed)
        if num_samples < 10:
            raise ValueError(f"num_samples must be 10 or more, not {num_samples}")
        if not 0 <= noise <= 1:
            raise ValueError(f"noise must lie between 0 and 1, not {noise}")
        self.inputs = [str(text) for text in (self.variables if inputs is None else inputs)]
        if not self.inputs or len(set(self.inputs)) < len(self.inputs):
            raise ValueError(f"inputs={self.inputs} must be one or several different expressions of {self.variables}")
        for text in self.inputs:
            evaluate(text, {name: np.zeros(1) for name in self.variables})
        self.num_samples = num_samples
        self.noise = noise

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the variables' and the target's columns, each `[N]`."""

    def read(self) -> DataFrame:
        """Draw the rows, always the same for the same seed."""
        return DataFrame(self.draw(np.random.default_rng(self.seed)))

    def columns(self, frame: DataFrame) -> tuple[list[str], list[str]]:
        """All inputs are numeric."""
        return self.inputs, []

    def derive(self, frame: DataFrame) -> DataFrame:
        """Return `frame` with a column for each input."""
        if absent := [name for name in self.variables if name not in frame.columns]:
            raise InputError(f"there is no column '{absent[0]}': the rows need {', '.join(self.variables)}")
        variables = {name: as_numbers(frame[name]).to_numpy() for name in self.variables}
        values = {text: evaluate(text, variables) for text in self.inputs}
        return frame.with_columns(
            Series(text, np.broadcast_to(value, len(frame)), nan_to_null=True) for text, value in values.items()
        )
