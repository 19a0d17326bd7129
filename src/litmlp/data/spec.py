"""The facts about the data that are needed to build a network and a task."""

from dataclasses import dataclass
from typing import Self

from litmlp.data.targets import Target


@dataclass(frozen=True)
class Spec:
    """The encoded columns. They are known once the data is set up, so that no config needs to contain a width.

    Attributes:
        numeric: the names of the F numeric inputs.
        categorical: maps the names of the C categorical inputs to their numbers of codes.
        target: the fitted target.
    """

    numeric: list[str]
    categorical: dict[str, int]
    target: Target

    @classmethod
    def example(cls, target_type: type[Target], num_numeric: int = 2, num_categorical: int = 1) -> Self:
        """Return a small spec with which a config can be tried before any data is read."""
        numeric = [f"x{index + 1}" for index in range(num_numeric)]
        categorical = {f"level{index + 1}": 3 for index in range(num_categorical)}
        return cls(numeric, categorical, target_type.example())
