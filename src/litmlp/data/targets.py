"""What a task predicts, between the table's own values and tensors."""

import math
import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import polars as pl
import torch
from torch import Tensor

from litmlp.data.encoding import as_numbers, as_text
from litmlp.data.scaling import mean_and_std
from litmlp.errors import InputError, did_you_mean


class Target(ABC):
    """The target columns of a table. A task names the kind it learns; data fits it on training rows."""

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """How many numbers a network gives for a row."""

    @abstractmethod
    def parse(self, column: pl.Series) -> pl.Series:
        """Return a raw target column as `fit` and `encode` take it, with null for missing."""

    @abstractmethod
    def fit(self, frame: pl.DataFrame) -> None:
        """Learn from the parsed target columns of the training rows."""

    @abstractmethod
    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return what the loss compares with: `[N, O] float32` or `[N] int64`."""

    @abstractmethod
    def table(self, prediction: Tensor) -> pl.DataFrame:
        """Return a task's predictions for N rows as the columns of an output file."""

    def strata(self, frame: pl.DataFrame) -> pl.Series | None:
        """Return a label a row, by which splits keep the shares; None where that means nothing."""
        return None

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    example_cells: ClassVar[list]  # for the column of `example`, three rows

    @classmethod
    @abstractmethod
    def example(cls) -> Self:
        """Return a small fitted target, with which a config can be tried before any data is read."""


class NumericTarget(Target):
    """One or several numbers, standardised by the training rows' mean and standard deviation."""

    example_cells: ClassVar = [-1.0, 0.5, 2.0]

    def __init__(self, columns: list[str]) -> None:
        super().__init__(columns)
        self.mean = torch.zeros(len(columns), dtype=torch.float64)
        self.std = torch.ones(len(columns), dtype=torch.float64)

    @property
    def num_outputs(self) -> int:
        """One for each column."""
        return len(self.columns)

    def parse(self, column: pl.Series) -> pl.Series:
        """Return numbers; raise InputError at the first cell that is none."""
        return as_numbers(column)

    def fit(self, frame: pl.DataFrame) -> None:
        """Take mean and standard deviation; a constant column is only shifted."""
        self.mean, self.std = mean_and_std(self._values(frame))

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return standardised values, `[N, O] float32`."""
        return ((self._values(frame) - self.mean) / self.std).float()

    def table(self, prediction: Tensor) -> pl.DataFrame:
        """Return `prediction`, or `prediction_<column>` for each of several; `prediction` is `[N, O]`."""
        several = len(self.columns) > 1
        names = [f"prediction_{name}" for name in self.columns] if several else ["prediction"]
        return pl.DataFrame({name: prediction[:, i].numpy() for i, name in enumerate(names)})

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""
        return {"columns": self.columns, "mean": self.mean, "std": self.std}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.columns, self.mean, self.std = list(state["columns"]), state["mean"], state["std"]

    @classmethod
    def example(cls) -> Self:
        """Return one target of mean 0 and deviation 1."""
        return cls(["example"])

    def _values(self, frame: pl.DataFrame) -> Tensor:
        return torch.stack([torch.tensor(frame[n].to_numpy()) for n in self.columns], dim=1)


class ClassTarget(Target):
    """One of K classes, in sorted order."""

    example_cells: ClassVar = ["a", "b", "a"]

    def __init__(self, columns: list[str]) -> None:
        if len(columns) != 1:
            raise InputError(f"classification has one target column, but data.target names {columns}")
        super().__init__(columns)
        self.classes: list[str] = []
        self.counts: list[int] = []

    @property
    def num_outputs(self) -> int:
        """One for each class."""
        return len(self.classes)

    def parse(self, column: pl.Series) -> pl.Series:
        """Return class names; raise InputError for fractions, which name no class."""
        if column.dtype.is_float() and (column.drop_nulls().drop_nans() % 1 != 0).any():
            raise InputError(f"the target '{column.name}' holds fractions, not classes: use task=regression")
        return as_text(column)

    def fit(self, frame: pl.DataFrame) -> None:
        """Take the classes and how often each occurs; numbers in the order of numbers."""
        counts = dict(frame[self.columns[0]].value_counts().iter_rows())
        self.classes = sorted(counts, key=_number_or_text)
        self.counts = [counts[name] for name in self.classes]
        if len(self.classes) < 2:
            raise InputError(
                f"the target '{self.columns[0]}' has a single class, {self.classes}, in the training rows: "
                "classification needs two or more"
            )

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return class indices, `[N] int64`; raise InputError for a class that training never saw."""
        labels = frame[self.columns[0]]
        if unknown := sorted(set(labels.unique()) - set(self.classes)):
            raise InputError(
                f"the target '{self.columns[0]}' holds the class {unknown[0]!r}, which is not among the "
                f"training rows' classes: {did_you_mean(unknown[0], self.classes)}"
            )
        index = {name: i for i, name in enumerate(self.classes)}
        return torch.tensor([index[name] for name in labels], dtype=torch.int64)

    def table(self, prediction: Tensor) -> pl.DataFrame:
        """Return the likeliest class and `probability_<class>` for each; `prediction` is `[N, K]`."""
        likeliest = [self.classes[i] for i in prediction.argmax(dim=1).tolist()]
        probabilities = {f"probability_{name}": prediction[:, i].numpy() for i, name in enumerate(self.classes)}
        return pl.DataFrame({"prediction": likeliest, **probabilities})

    def strata(self, frame: pl.DataFrame) -> pl.Series:
        """Return the class of each row."""
        return frame[self.columns[0]]

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"columns": self.columns, "classes": self.classes, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.columns, self.classes = list(state["columns"]), list(state["classes"])
        self.counts = list(state["counts"])

    @classmethod
    def example(cls) -> Self:
        """Return two classes, a and b."""
        target = cls(["example"])
        target.classes, target.counts = ["a", "b"], [1, 1]
        return target


def _number_or_text(name: str) -> tuple[float, str]:
    # Only what looks like a number: float() also takes "nan", which has no order.
    is_number = re.fullmatch(r"[+-]?\d+(\.\d+)?", name)
    return (float(name) if is_number else math.inf), name
