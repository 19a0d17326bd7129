"""Random tables in random dialects: read back right, doubtful where they say so, or refused; never wrong in silence."""

from pathlib import Path

import pytest

from data import dialects
from litmlp.errors import InputError
from soak.soaking import Soak


@pytest.mark.soak(share=0.3)
def test_dialects(soak: Soak, tmp_path: Path) -> None:
    path = tmp_path / "table"
    for number, generator in enumerate(soak.rounds()):
        with soak.trial(f"dialects.drawn(random.Random('{soak.name} {soak.seed} {number}'))"):
            try:
                soak.count(dialects.outcome(generator, path))
            except InputError:
                soak.count("refused without need")
    assert soak.counts["right"] >= 0.95 * soak.counts.total() - 3
