"""Random tables in random dialects are read back: a value is never another one in silence."""

import random
from collections import Counter
from pathlib import Path

import pytest

from data import dialects

TABLES = 150


@pytest.mark.parametrize("part", range(3))
def test_tables_are_read_back(part: int, tmp_path: Path) -> None:
    seeds = range(part * TABLES // 3, (part + 1) * TABLES // 3)  # others are drawn in the soak
    outcomes = Counter(dialects.outcome(random.Random(seed), tmp_path / "table.csv") for seed in seeds)
    assert outcomes["right"] >= 0.95 * len(seeds), outcomes
