"""The targets that tasks predict. They convert between the table's own values and tensors."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor

from litmlp.data.amounts import Unit
from litmlp.data.cells import Levels, Numbers, as_levels, as_numbers, is_text
from litmlp.data.notation import Notation
from litmlp.data.state import check_finite, check_positive, checked_values, distinct
from litmlp.data.target_scaling import LARGEST, TRANSFORMS, TargetScaling
from litmlp.errors import InputError, did_you_mean

MAX_CLASSES_TRIED = 21  # a config is tried with fewer classes than this
MAX_CLASSES, MAX_SCORES = 1000, 50_000_000  # with more classes, rows times classes must not exceed MAX_SCORES
OR_ELSE = ", add the text to data.missing_values, or use task=classification if the target holds classes"
FRACTION_OF_NUMBERS = 0.9  # a text column with a smaller fraction of numbers is not checked for fractional numbers
FARTHEST = 1e12  # standard deviations from the mean; their squares still fit into float32


class Target(ABC):
    """The target columns of a table. A task names the class of targets that it learns; data fits one on training rows.

    Args:
        columns: names of the target columns.
        transform: of numbers, see TargetScaling.
    """

    def __init__(self, columns: list[str], transform: str = "none") -> None:
        if transform not in TRANSFORMS:
            raise ValueError(f"target_transform is '{transform}': {did_you_mean(transform, TRANSFORMS)}")
        self.columns = columns
        self.transform = transform

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """How many numbers a network outputs for a row."""

    @property
    def text_columns(self) -> list[str]:
        """The columns that must stay text even if their cells look like numbers: 007 differs from 7."""
        return []

    @abstractmethod
    def parse(self, cells: pl.DataFrame, notation: Notation) -> Any:
        """Read the raw target columns of N rows."""

    def doubts(self, parsed: Any) -> list[str]:
        """Return sentences about what may have been misread, for people."""
        return []

    @abstractmethod
    def is_complete(self, parsed: Any) -> np.ndarray:
        """Return which rows have a target, `[N] bool`."""

    @abstractmethod
    def fit(self, parsed: Any, rows: np.ndarray) -> None:
        """Learn from the training rows; `rows` are their indices among the parsed rows."""

    @abstractmethod
    def encode(self, parsed: Any, rows: np.ndarray) -> Tensor:
        """Return the values that the loss compares outputs with, for the indices `rows`.

        The result is `[N, O] float32` or `[N] int64`.
        """

    @abstractmethod
    def mean_of(self, outputs: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the output `[N, O]` whose prediction is the mean of the predictions of M outputs.

        Args:
            outputs: of M networks for N rows, `[N, M, O]`.
            weights: of the networks, `[M]`, with the sum 1; None if all count the same.
        """

    @abstractmethod
    def table(self, prediction: Tensor) -> pl.DataFrame:
        """Return a task's predictions for N rows as the columns of an output file."""

    def strata(self, parsed: Any) -> np.ndarray | None:
        """Return a label for each row, `[N]`, whose proportions each split keeps; None for targets without labels."""
        return None

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    @classmethod
    @abstractmethod
    def sizes(cls, num_columns: int) -> Sequence[int]:
        """Return the numbers of outputs that a target of `num_columns` columns may have.

        If the number depends on the rows, only the first few possibilities are returned.
        """

    @classmethod
    @abstractmethod
    def example(cls, size: int | None = None) -> Self:
        """Return a small fitted target with which a config can be tried before any data is read.

        Args:
            size: number of its outputs; if None, the smallest possible number.
        """

    @abstractmethod
    def example_encoded(self) -> Tensor:
        """Return three encoded rows of `example`."""


class NumericTarget(Target):
    """One or several numeric targets, which are transformed and standardised."""

    def __init__(self, columns: list[str], transform: str = "none") -> None:
        super().__init__(columns, transform)
        self.scaling = TargetScaling(len(columns), transform)
        self.units: list[Unit] | None = None  # None until the target is fitted

    @property
    def num_outputs(self) -> int:
        """One for each column."""
        return len(self.columns)

    def parse(self, cells: pl.DataFrame, notation: Notation) -> list[Numbers]:
        """Read numbers and transform them.

        Raises:
            InputError: a cell is not a finite number, has another unit than the others, is too large, or is negative
                although the transform is `log1p`.
        """
        units: Sequence[Unit | None] = self.units or [None] * len(self.columns)
        pairs = zip(self.columns, units, strict=True)
        return [self._transformed(name, as_numbers(cells[name], notation, OR_ELSE, unit)) for name, unit in pairs]

    def doubts(self, parsed: list[Numbers]) -> list[str]:
        """Return sentences about numbers in text that may have been misread, for people."""
        pairs = zip(self.columns, parsed, strict=True)
        return [f"target '{name}': {numbers.doubt}" for name, numbers in pairs if numbers.doubt]

    def is_complete(self, parsed: list[Numbers]) -> np.ndarray:
        """Return which rows have all targets, `[N] bool`."""
        is_complete = np.ones(len(parsed[0].values), dtype=bool)
        for numbers in parsed:
            if numbers.is_missing is not None:
                is_complete &= ~numbers.is_missing
        return is_complete

    def fit(self, parsed: list[Numbers], rows: np.ndarray) -> None:
        """Compute mean and standard deviation; a constant column is only shifted.

        Raises:
            InputError: the standard deviation is so small that float64 may not hold squared errors.
        """
        self.scaling.fit([numbers.values[rows] for numbers in parsed])
        for name, std in zip(self.columns, self.scaling.std.tolist(), strict=True):
            if std < 1 / LARGEST:
                raise InputError(
                    f"the target '{name}' varies by only {std:g}, too little to be squared: give it in another unit"
                )
        self.units = [numbers.unit for numbers in parsed]

    def encode(self, parsed: list[Numbers], rows: np.ndarray) -> Tensor:
        """Return standardised values, `[N, O] float32`; raise InputError if one is too far from the mean."""
        values = self.scaling.standardised([numbers.values[rows] for numbers in parsed])
        if (is_far := ~(np.abs(values) <= FARTHEST)).any():
            index, output = np.argwhere(is_far)[0]
            raise InputError(
                f"the target '{self.columns[output]}' holds a number in its row {rows[index] + 1} that is more than "
                f"{FARTHEST:g} standard deviations of the training rows from their mean: correct the cell"
            )
        return torch.from_numpy(values.astype(np.float32))

    def mean_of(self, outputs: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the output of the mean of the values in own units, `[N, O]`, for outputs `[N, M, O]`."""
        return self.scaling.mean_of(outputs, equal_weights(outputs) if weights is None else weights)

    def table(self, prediction: Tensor) -> pl.DataFrame:
        """Return `prediction`, or `prediction_<column>` for each of several targets; the argument is `[N, O]`."""
        several = len(self.columns) > 1
        names = [f"prediction_{name}" for name in self.columns] if several else ["prediction"]
        return pl.DataFrame({name: prediction[:, i].numpy() for i, name in enumerate(names)})

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""
        units = [list(unit) for unit in self.units or [Unit()] * len(self.columns)]
        scaling = {"transform": self.transform, "mean": self.scaling.mean, "std": self.scaling.std}
        return {"columns": self.columns, **scaling, "units": units}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        hints = {"columns": list[str], "transform": Literal[*TRANSFORMS], "mean": Tensor, "std": Tensor}
        names, self.transform, mean, std, units = checked_values(state, hints | {"units": list[list[str]]})
        self.columns = distinct(names)
        check_finite(mean, std)
        check_positive(std)
        if not mean.shape == std.shape == (len(self.columns),):
            raise ValueError("a state must have a mean and a standard deviation for each target")
        if len(units) != len(names) or any(len(unit) != len(Unit._fields) for unit in units):
            raise ValueError("a state must have a unit for each target")
        self.scaling = TargetScaling(len(names), self.transform)
        self.scaling.mean, self.scaling.std = mean, std
        self.units = [Unit(*unit) for unit in units]

    @classmethod
    def sizes(cls, num_columns: int) -> Sequence[int]:
        """Return the only possibility: one output for each column."""
        return [num_columns]

    @classmethod
    def example(cls, size: int | None = None) -> Self:
        """Return `size` targets of mean 0 and standard deviation 1; one target if no size is given."""
        return cls([f"example{index}" for index in range(size or 1)])

    def example_encoded(self) -> Tensor:
        """Return three numbers for each target, `[3, O]`."""
        return torch.tensor([[-1.0], [0.5], [2.0]]).repeat(1, self.num_outputs)

    def _transformed(self, name: str, numbers: Numbers) -> Numbers:
        if (is_large := np.abs(numbers.values) > LARGEST).any():
            row = int(np.argmax(is_large))
            raise InputError(
                f"the target '{name}' holds {numbers.values[row]:g} in its row {row + 1}, too much to be squared: "
                f"correct the cell, or give the target in a unit in which it is below {LARGEST:g}"
            )
        if self.transform == "none":
            return numbers
        if (numbers.values < 0).any():
            row = int(np.argmax(numbers.values < 0))
            raise InputError(
                f"the target '{name}' holds {numbers.values[row]:g} in its row {row + 1}, but target_transform=log1p "
                "needs numbers from 0 up: leave it out, or correct the cell"
            )
        return numbers._replace(values=self.scaling.transformed(numbers.values))


class ClassTarget(Target):
    """A target that is one of K classes, which are in sorted order.

    Attributes:
        may_be_single: whether a class may have a single row; this is so if no rows are kept for a test.
    """

    may_be_single = False

    def __init__(self, columns: list[str], transform: str = "none") -> None:
        super().__init__(columns, transform)
        if len(columns) != 1:
            raise InputError(f"classification has one target column, but data.target names {columns}")
        if transform != "none":
            raise InputError(f"target_transform={transform} is for numbers, but the task has classes: leave it out")
        self.classes: list[str] = []
        self.counts: list[int] = []

    @property
    def text_columns(self) -> list[str]:
        """All target columns, because classes are often codes."""
        return self.columns

    @property
    def num_outputs(self) -> int:
        """One for each class."""
        return len(self.classes)

    def parse(self, cells: pl.DataFrame, notation: Notation) -> Levels:
        """Read class names; raise InputError for fractional numbers, which are not classes."""
        column = cells[self.columns[0]]
        if _holds_fractions(column):
            raise InputError(f"the target '{column.name}' holds fractions, not classes: use task=regression")
        return as_levels(column, notation)

    def is_complete(self, parsed: Levels) -> np.ndarray:
        """Return which rows have a class, `[N] bool`."""
        return parsed.codes >= 0

    def fit(self, parsed: Levels, rows: np.ndarray) -> None:
        """Store the classes and how often each occurs; classes that are numbers are in numeric order."""
        self._check(parsed)
        counts = np.bincount(parsed.codes[rows], minlength=len(parsed.names)).tolist()
        count_of = {name: count for name, count in zip(parsed.names, counts, strict=True) if count}
        self.classes = sorted(count_of, key=_number_or_text)
        self.counts = [count_of[name] for name in self.classes]
        if len(self.classes) < 2:
            raise InputError(
                f"the target '{self.columns[0]}' has a single class, {self.classes[0]!r}, in the training rows: "
                "classification needs two or more"
            )

    def encode(self, parsed: Levels, rows: np.ndarray) -> Tensor:
        """Return class indices, `[N] int64`; raise InputError for a class that does not occur in training rows."""
        codes = parsed.codes[rows]
        index = {name: i for i, name in enumerate(self.classes)}
        of_level = np.array([index.get(name, -1) for name in parsed.names], dtype=np.int64)
        encoded = of_level.take(codes)
        if (encoded < 0).any():
            unknown = min(parsed.names[code] for code in np.unique(codes[encoded < 0]))
            raise InputError(
                f"the target '{self.columns[0]}' holds the class {unknown!r}, which is not among the "
                f"training rows' classes: {did_you_mean(unknown, self.classes)}"
            )
        return torch.from_numpy(encoded)

    def mean_of(self, outputs: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the logarithm of the mean of the probabilities, `[N, K]`, for scores `[N, M, K]`."""
        weights = equal_weights(outputs) if weights is None else weights
        return (outputs.log_softmax(dim=2) + weights.log()[:, None]).logsumexp(dim=1)

    def table(self, prediction: Tensor) -> pl.DataFrame:
        """Return the most likely class and the columns `probability_<class>`; `prediction` is `[N, K]`."""
        likeliest = [self.classes[i] for i in prediction.argmax(dim=1).tolist()]
        probabilities = {f"probability_{name}": prediction[:, i].numpy() for i, name in enumerate(self.classes)}
        return pl.DataFrame({"prediction": likeliest, **probabilities})

    def strata(self, parsed: Levels) -> np.ndarray:
        """Return the class of each row."""
        return parsed.codes

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"columns": self.columns, "classes": self.classes, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.columns, classes, self.counts = checked_values(
            state, {"columns": list[str], "classes": list[str], "counts": list[int]}
        )
        self.classes = distinct(classes)
        if len(self.columns) != 1 or len(self.counts) != len(self.classes):
            raise ValueError("a state must have one target, and a count for each class")

    @classmethod
    def sizes(cls, num_columns: int) -> Sequence[int]:
        """Return the first few possible numbers of classes."""
        return range(2, MAX_CLASSES_TRIED)

    @classmethod
    def example(cls, size: int | None = None) -> Self:
        """Return a target of `size` classes; of two if no size is given."""
        target = cls(["example"])
        target.classes = [f"class {index}" for index in range(max(size or 2, 2))]
        target.counts = [1] * len(target.classes)
        return target

    def example_encoded(self) -> Tensor:
        """Return three class indices, `[3]`."""
        return torch.tensor([0, 1, 0])

    def _check(self, parsed: Levels) -> None:
        counts = np.bincount(parsed.codes[parsed.codes >= 0], minlength=len(parsed.names))
        if len(counts) > MAX_CLASSES and len(counts) * counts.sum() > MAX_SCORES:
            raise InputError(
                f"the target '{self.columns[0]}' holds {len(counts)} classes in {counts.sum()} rows, whose "
                f"scores would fill the memory: join classes until there are {MAX_CLASSES} or fewer, or take another "
                "data.target"
            )
        if self.may_be_single:
            return
        if (counts == 1).sum() > 10:
            raise InputError(
                f"the target '{self.columns[0]}' holds {len(counts)} different values in {counts.sum()} rows, too many "
                "to be classes: use task=regression if they are numbers, or choose another data.target"
            )
        if (counts == 1).any() and len(counts) > 1:
            single = min(name for name, count in zip(parsed.names, counts, strict=True) if count == 1)
            num_others = int((counts == 1).sum()) - 1
            more = f" (as do {num_others} other classes)" if num_others else ""
            raise InputError(
                f"the class {single!r} of the target '{self.columns[0]}' has a single row{more}, too few to learn and "
                "to test: leave it out, or join classes"
            )


def equal_weights(outputs: Tensor) -> Tensor:
    """Return a weight for each of M networks, `[M]`, for their outputs `[N, M, O]`."""
    num_networks = outputs.shape[1]
    return outputs.new_full((num_networks,), 1 / num_networks)


def _holds_fractions(cells: pl.Series) -> bool:
    numbers = cells.cast(pl.String).cast(pl.Float64, strict=False) if is_text(cells) else cells
    if not numbers.dtype.is_float() or (is_text(cells) and numbers.count() < FRACTION_OF_NUMBERS * cells.count()):
        return False
    return bool((numbers.drop_nulls().drop_nans() % 1 != 0).any())


def _number_or_text(name: str) -> tuple[float, str]:
    # Return a key that sorts numbers by value, before all texts. float() alone would accept "nan", which has no order.
    is_number = re.fullmatch(r"[+-]?\d+(\.\d+)?", name)
    return (float(name) if is_number else math.inf), name
