"""Rows drawn by a rule rather than read from a file."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from polars import DataFrame, LazyFrame, Series

from litmlp import machine
from litmlp.data.cells import as_numbers, shortened
from litmlp.data.columns import Column
from litmlp.data.tabular import TabularData
from litmlp.data.targets import Target
from litmlp.errors import InputError
from litmlp.playground.expression import evaluate

MAX_SAMPLES = 10_000_000
BYTES_A_SAMPLE = 64  # of its columns, and of what they are computed from


class GeneratedData(TabularData):
    """A subclass names its columns (`variables`, `target_column`) and says how rows are drawn (`draw`).

    Args:
        target_type: the kind of target that the task learns; passed in when a run is built.
        inputs: what the network sees: expressions of the variables, such as `x1^2` or `sin(x2)`.
        num_samples: number of rows.
        noise: 0 for none; 0.5 is much.
        scaling: of numeric inputs: `standard`, `robust` or `quantile`.
        batch_size: rows a step, in each process.
        val_size: fraction of the rows for validation.
        test_size: fraction of the rows for the test.
        seed: of the rows, the split and the order of training rows.
        train_rows: how many of the training rows are used; all if None.
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
        train_rows: int | None = None,
    ) -> None:
        super().__init__(
            self.target_column,
            target_type,
            scaling=scaling,
            batch_size=batch_size,
            val_size=val_size,
            test_size=test_size,
            seed=seed,
            train_rows=train_rows,
        )
        if not 10 <= num_samples <= MAX_SAMPLES:
            raise ValueError(f"num_samples must be from 10 to {MAX_SAMPLES}, not {num_samples}")
        if not 0 <= noise <= 1:
            raise ValueError(f"noise must lie between 0 and 1, not {noise}")
        self.expressions = [str(text) for text in (self.variables if inputs is None else inputs)]
        if not self.expressions or len(set(self.expressions)) < len(self.expressions):
            raise ValueError(
                f"inputs={self.expressions} must be one or several different expressions of {self.variables}"
            )
        for text in self.expressions:
            evaluate(text, {name: np.zeros(1) for name in self.variables})
        self.num_samples = num_samples
        self.noise = noise

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the variables' and the target's columns, each `[N]`."""

    def read(self) -> LazyFrame:
        """Draw the rows, always the same for the same seed."""
        needed, free = BYTES_A_SAMPLE * self.num_samples, machine.available_memory()
        if needed > free:
            raise InputError(
                f"data.num_samples={self.num_samples} would take {machine.readable(needed)} of memory, but "
                f"{machine.readable(free)} are free: give less"
            )
        return DataFrame(self.draw(np.random.default_rng(self.seed))).lazy()

    def candidates(self, names: list[str]) -> list[str]:
        """Return the expressions."""
        return self.expressions

    def column(self, cells: Series) -> tuple[Column, str]:
        """Return a numeric column."""
        return self.new_column("numeric", cells.name), ""

    def derive(self, frame: LazyFrame) -> LazyFrame:
        """Return `frame` with a column for each expression."""
        rows = frame.collect()
        if absent := [name for name in self.variables if name not in rows.columns]:
            raise InputError(f"there is no column '{absent[0]}': the rows need {', '.join(self.variables)}")
        variables = {name: self._values(rows[name]) for name in self.variables}
        values = {text: evaluate(text, variables) for text in self.expressions}
        for text, value in values.items():
            if (is_infinite := np.isinf(value)).any():
                raise InputError(
                    f"the input '{shortened(text)}' is infinite in row {np.argmax(is_infinite) + 1}: give data.inputs "
                    "that are finite numbers"
                )
        return rows.with_columns(
            Series(text, np.broadcast_to(value, len(rows)), nan_to_null=True) for text, value in values.items()
        ).lazy()

    def _values(self, cells: Series) -> np.ndarray:
        numbers = as_numbers(cells, self.notation)
        return numbers.values if numbers.is_missing is None else np.where(numbers.is_missing, np.nan, numbers.values)
