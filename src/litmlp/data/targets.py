"""What a task predicts, between the table's own values and tensors."""

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
from litmlp.data.state import different, finite, positive, taken
from litmlp.data.target_scaling import LARGEST, TRANSFORMS, TargetScaling
from litmlp.errors import InputError, did_you_mean

MAX_CLASSES_TRIED = 21
MAX_CLASSES, MAX_SCORES = 1000, 50_000_000  # classes; and rows times classes, where there are more
OR_ELSE = ", add the text to data.missing_values, or use task=classification if the target holds classes"
FRACTION_OF_NUMBERS = 0.9  # of the cells of a column of text that holds fractions, and no classes
FARTHEST = 1e12  # standard deviations, of a target: float32 has room for their squares


class Target(ABC):
    """The target columns of a table. A task names the kind it learns; data fits it on training rows.

    Args:
        columns: their names.
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
        """How many numbers a network gives for a row."""

    @property
    def text_columns(self) -> list[str]:
        """The columns whose text is wanted as it is written, 007 and not 7."""
        return []

    @abstractmethod
    def parse(self, cells: pl.DataFrame, notation: Notation) -> Any:
        """Read the raw target columns of N rows."""

    def doubts(self, parsed: Any) -> list[str]:
        """Return what may be wrong with how they were read, for people."""
        return []

    @abstractmethod
    def is_complete(self, parsed: Any) -> np.ndarray:
        """Return which rows have a target, `[N] bool`."""

    @abstractmethod
    def fit(self, parsed: Any, rows: np.ndarray) -> None:
        """Learn from the training rows, whose places among the parsed ones are `rows`."""

    @abstractmethod
    def encode(self, parsed: Any, rows: np.ndarray) -> Tensor:
        """Return what the loss compares with, of `rows`: `[N, O] float32` or `[N] int64`."""

    @abstractmethod
    def table(self, prediction: Tensor) -> pl.DataFrame:
        """Return a task's predictions for N rows as the columns of an output file."""

    def strata(self, parsed: Any) -> np.ndarray | None:
        """Return a label a row, `[N]`, by which splits keep the fractions; None where that means nothing."""
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
        """Return numbers of outputs that a target of so many columns may have; some, where it depends on the rows."""

    @classmethod
    @abstractmethod
    def example(cls, size: int | None = None) -> Self:
        """Return a small fitted target, with which a config can be tried before any data is read.

        Args:
            size: number of its outputs; the fewest that there can be if None.
        """

    @abstractmethod
    def example_encoded(self) -> Tensor:
        """Return three encoded rows of `example`."""


class NumericTarget(Target):
    """One or several numbers, transformed and standardised."""

    def __init__(self, columns: list[str], transform: str = "none") -> None:
        super().__init__(columns, transform)
        self.scaling = TargetScaling(len(columns), transform)
        self.units: list[Unit] | None = None  # until it is fitted

    @property
    def num_outputs(self) -> int:
        """One for each column."""
        return len(self.columns)

    def parse(self, cells: pl.DataFrame, notation: Notation) -> list[Numbers]:
        """Read numbers, and transform them; raise InputError at the first cell that is none, or is negative there."""
        units: Sequence[Unit | None] = self.units or [None] * len(self.columns)
        pairs = zip(self.columns, units, strict=True)
        return [self._transformed(name, as_numbers(cells[name], notation, OR_ELSE, unit)) for name, unit in pairs]

    def doubts(self, parsed: list[Numbers]) -> list[str]:
        """Return the doubts about numbers in text."""
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
        """Take mean and standard deviation; a constant column is only shifted.

        Raises:
            InputError: numbers are so much alike that their squared errors are beyond float64.
        """
        self.scaling.fit([numbers.values[rows] for numbers in parsed])
        for name, std in zip(self.columns, self.scaling.std.tolist(), strict=True):
            if std < 1 / LARGEST:
                raise InputError(
                    f"the target '{name}' varies by only {std:g}, too little to be squared: give it in another unit"
                )
        self.units = [numbers.unit for numbers in parsed]

    def encode(self, parsed: list[Numbers], rows: np.ndarray) -> Tensor:
        """Return standardised values, `[N, O] float32`; raise InputError for one that is too far from the mean."""
        values = self.scaling.standardised([numbers.values[rows] for numbers in parsed])
        if (is_far := ~(np.abs(values) <= FARTHEST)).any():
            place, output = np.argwhere(is_far)[0]
            raise InputError(
                f"the target '{self.columns[output]}' holds a number in its row {rows[place] + 1} that is more than "
                f"{FARTHEST:g} standard deviations of the training rows from their mean: correct the cell"
            )
        return torch.from_numpy(values.astype(np.float32))

    def table(self, prediction: Tensor) -> pl.DataFrame:
        """Return `prediction`, or `prediction_<column>` for each of several; `prediction` is `[N, O]`."""
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
        names, self.transform, mean, std, units = taken(state, hints | {"units": list[list[str]]})
        self.columns = different(names)
        finite(mean, std)
        positive(std)
        if not mean.shape == std.shape == (len(self.columns),):
            raise ValueError("a state has a mean and a deviation for each target")
        if len(units) != len(names) or any(len(unit) != len(Unit._fields) for unit in units):
            raise ValueError("a state has a unit for each target")
        self.scaling = TargetScaling(len(names), self.transform)
        self.scaling.mean, self.scaling.std = mean, std
        self.units = [Unit(*unit) for unit in units]

    @classmethod
    def sizes(cls, num_columns: int) -> Sequence[int]:
        """Return one, that of the columns."""
        return [num_columns]

    @classmethod
    def example(cls, size: int | None = None) -> Self:
        """Return targets of mean 0 and deviation 1; one if no size is given."""
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
    """One of K classes, in sorted order.

    Attributes:
        may_be_single: whether a class may have a single row, as where none is kept for a test.
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
        """All: classes are often codes."""
        return self.columns

    @property
    def num_outputs(self) -> int:
        """One for each class."""
        return len(self.classes)

    def parse(self, cells: pl.DataFrame, notation: Notation) -> Levels:
        """Read class names; raise InputError for fractions, which name no class."""
        column = cells[self.columns[0]]
        if _holds_fractions(column):
            raise InputError(f"the target '{column.name}' holds fractions, not classes: use task=regression")
        return as_levels(column, notation)

    def is_complete(self, parsed: Levels) -> np.ndarray:
        """Return which rows have a class, `[N] bool`."""
        return parsed.codes >= 0

    def fit(self, parsed: Levels, rows: np.ndarray) -> None:
        """Take the classes and how often each occurs; numbers in the order of numbers."""
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
        """Return class indices, `[N] int64`; raise InputError for a class that training never saw."""
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

    def table(self, prediction: Tensor) -> pl.DataFrame:
        """Return the likeliest class and `probability_<class>` for each; `prediction` is `[N, K]`."""
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
        self.columns, classes, self.counts = taken(
            state, {"columns": list[str], "classes": list[str], "counts": list[int]}
        )
        self.classes = different(classes)
        if len(self.columns) != 1 or len(self.counts) != len(self.classes):
            raise ValueError("a state has one target, and a count for each class")

    @classmethod
    def sizes(cls, num_columns: int) -> Sequence[int]:
        """Return numbers of classes."""
        return range(2, MAX_CLASSES_TRIED)

    @classmethod
    def example(cls, size: int | None = None) -> Self:
        """Return so many classes; two if no size is given."""
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
            others = int((counts == 1).sum()) - 1
            more = f" (as do {others} other classes)" if others else ""
            raise InputError(
                f"the class {single!r} of the target '{self.columns[0]}' has a single row{more}, too few to learn and "
                "to test: leave it out, or join classes"
            )


def _holds_fractions(cells: pl.Series) -> bool:
    numbers = cells.cast(pl.String).cast(pl.Float64, strict=False) if is_text(cells) else cells
    if not numbers.dtype.is_float() or (is_text(cells) and numbers.count() < FRACTION_OF_NUMBERS * cells.count()):
        return False
    return bool((numbers.drop_nulls().drop_nans() % 1 != 0).any())


def _number_or_text(name: str) -> tuple[float, str]:
    # Only what looks like a number: float() also takes "nan", which has no order.
    is_number = re.fullmatch(r"[+-]?\d+(\.\d+)?", name)
    return (float(name) if is_number else math.inf), name
