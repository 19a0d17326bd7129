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
    def example(cls, target_type: type[Target]) -> Self:
        """Return a small spec, with which a config can be tried before any data is read."""
        return cls(["x1", "x2"], {"level": 3}, target_type.example())
