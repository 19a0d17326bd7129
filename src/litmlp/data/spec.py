"""What a network and a task must know of the data to be built."""

from dataclasses import dataclass
from typing import Self

from litmlp.data.targets import Target


@dataclass(frozen=True)
class Spec:
    """The encoded columns, known once data is set up; nobody types a width into a config.

    Attributes:
        numeric: name of each of the F numeric inputs.
        categorical: number of codes of each of the C categorical inputs, by column.
        target: the fitted target.
    """

    numeric: list[str]
    categorical: dict[str, int]
    target: Target

    @classmethod
    def example(cls, target_type: type[Target], num_numeric: int = 2, num_categorical: int = 1) -> Self:
        """Return a small spec, with which a config can be tried before any data is read."""
        numeric = [f"x{index + 1}" for index in range(num_numeric)]
        categorical = {f"level{index + 1}": 3 for index in range(num_categorical)}
        return cls(numeric, categorical, target_type.example())
