"""Columns of levels. Each level seen in training has a code of its own; all unseen levels have the same code."""

from typing import Any, Literal

import numpy as np
import polars as pl

from litmlp.data.cells import Levels, as_levels
from litmlp.data.columns.base import Column, Encoded
from litmlp.data.notation import Notation
from litmlp.data.state import checked_values, distinct

UNSEEN, MISSING, FIRST_LEVEL = 0, 1, 2
MAX_UNSEEN = 0.5  # fraction of a file's cells that may hold unseen levels without a remark


class CategoricalColumn(Column):
    """Gives each level a code. Code 0 is for levels that are unseen or rare in training, code 1 for missing cells.

    Args:
        name: of the column.
        min_count: a level needs this many training rows for a code of its own; missing cells, too.
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
        """Store the levels that are frequent enough, in sorted order."""
        # A missing cell has the code -1, so that after adding 1 its count comes first.
        num_missing, *counts = np.bincount(parsed.codes[rows] + 1, minlength=len(parsed.names) + 1).tolist()
        self.code_of_missing = UNSEEN if 0 < num_missing < self.min_count else MISSING
        counted = list(zip(parsed.names, counts, strict=True))
        self.levels = sorted(name for name, count in counted if count >= max(self.min_count, 1))
        self.num_rare = sum(0 < count < self.min_count for _, count in counted)

    def remark(self, parsed: Levels) -> str:
        """Return a sentence if most cells hold unseen levels, for example because the file has another format."""
        unseen = [code for code, name in enumerate(parsed.names) if name not in self.levels]
        num_unseen, num_all = np.isin(parsed.codes, unseen).sum(), (parsed.codes >= 0).sum()
        if num_unseen <= MAX_UNSEEN * num_all:
            return ""
        text = parsed.names[unseen[0]]
        return f"{num_unseen} of its {num_all} cells hold levels that training did not see, such as {text!r}"

    def encode(self, parsed: Levels) -> Encoded:
        """Return codes."""
        known = {name: code for code, name in enumerate(self.levels, FIRST_LEVEL)}
        codes = [known.get(name, UNSEEN) for name in parsed.names]
        smallest = np.min_scalar_type(FIRST_LEVEL + len(self.levels))
        # A missing cell has the index -1, which takes the last element.
        return Encoded([], [np.array([*codes, self.code_of_missing], dtype=smallest).take(parsed.codes)])

    @property
    def numeric_names(self) -> list[str]:
        """An empty list, because all arrays are codes."""
        return []

    @property
    def cardinalities(self) -> dict[str, int]:
        """The number of codes: one for each level, one for unseen levels, one for missing cells."""
        return {self.name: FIRST_LEVEL + len(self.levels)}

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"levels": self.levels, "num_rare": self.num_rare, "code_of_missing": self.code_of_missing}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        hints = {"levels": list[str], "num_rare": int, "code_of_missing": Literal[0, 1]}
        levels, self.num_rare, self.code_of_missing = checked_values(state, hints)
        self.levels = distinct(levels)

    @property
    def reads_text(self) -> bool:
        """Always true, because the level 007 differs from the level 7."""
        return True

    def describe(self) -> str:
        """Return the kind and the number of levels, for people."""
        rare = f", {self.num_rare} rare ones taken together" if self.num_rare else ""
        return f"{self.kind}, {len(self.levels)} level{'s' if len(self.levels) != 1 else ''}{rare}"
