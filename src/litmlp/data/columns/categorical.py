"""Columns of levels: those that training saw have a code each, those that it did not see share one."""

from typing import Any, Literal

import numpy as np
import polars as pl

from litmlp.data.cells import Levels, as_levels
from litmlp.data.columns.base import Column, Encoded
from litmlp.data.notation import Notation
from litmlp.data.state import different, taken

UNSEEN, MISSING, FIRST_LEVEL = 0, 1, 2
MAX_UNSEEN = 0.5  # of a file's levels, before that is said


class CategoricalColumn(Column):
    """Gives each level a code; code 0 is for what was never or hardly ever seen in training, 1 for missing cells.

    Args:
        name: of the column.
        min_count: training rows that a level, or the missing cell, needs for a code of its own.
    """

    kind = "categorical"

    def __init__(self, name: str, min_count: int = 1) -> None:
        super().__init__(name)
        self.min_count = min_count
        self.levels: list[str] = []
        self.num_rare = 0
        self.code_of_missing = MISSING

    def parse(self, cells: pl.Series, notation: Notation) -> Levels:
        """Read levels."""
        return as_levels(cells, notation)

    def fit(self, parsed: Levels, rows: np.ndarray) -> None:
        """Take the levels that are frequent enough, in sorted order."""
        num_missing, *counts = np.bincount(parsed.codes[rows] + 1, minlength=len(parsed.names) + 1).tolist()
        self.code_of_missing = UNSEEN if 0 < num_missing < self.min_count else MISSING
        counted = list(zip(parsed.names, counts, strict=True))
        self.levels = sorted(name for name, count in counted if count >= max(self.min_count, 1))
        self.num_rare = sum(0 < count < self.min_count for _, count in counted)

    def remark(self, parsed: Levels) -> str:
        """Tell of levels that are unseen in most rows, as those of a column that is written in another way."""
        unseen = [code for code, name in enumerate(parsed.names) if name not in self.levels]
        num_unseen, num_all = np.isin(parsed.codes, unseen).sum(), (parsed.codes >= 0).sum()
        if num_unseen <= MAX_UNSEEN * num_all:
            return ""
        text = parsed.names[unseen[0]]
        return f"{num_unseen} of its {num_all} cells hold levels that training did not see, as {text!r}"

    def encode(self, parsed: Levels) -> Encoded:
        """Return codes."""
        known = {name: code for code, name in enumerate(self.levels, FIRST_LEVEL)}
        codes = [known.get(name, UNSEEN) for name in parsed.names]
        smallest = np.min_scalar_type(FIRST_LEVEL + len(self.levels))
        return Encoded([], [np.array([*codes, self.code_of_missing], dtype=smallest).take(parsed.codes)])

    @property
    def numeric_names(self) -> list[str]:
        """None."""
        return []

    @property
    def cardinalities(self) -> dict[str, int]:
        """Levels, unseen, missing."""
        return {self.name: FIRST_LEVEL + len(self.levels)}

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"levels": self.levels, "num_rare": self.num_rare, "code_of_missing": self.code_of_missing}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        hints = {"levels": list[str], "num_rare": int, "code_of_missing": Literal[0, 1]}
        levels, self.num_rare, self.code_of_missing = taken(state, hints)
        self.levels = different(levels)

    @property
    def reads_text(self) -> bool:
        """Always: 007 is not 7."""
        return True

    def describe(self) -> str:
        """Count levels."""
        rare = f", {self.num_rare} rare ones taken together" if self.num_rare else ""
        return f"{self.kind}, {len(self.levels)} level{'s' if len(self.levels) != 1 else ''}{rare}"
