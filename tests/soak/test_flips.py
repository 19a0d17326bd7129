"""A damaged checkpoint is never used: one flipped bit is refused, or changes nothing."""

import shutil
from pathlib import Path

import pytest

from litmlp.paths import ROOT
from soak.soaking import Soak, commands


@pytest.mark.soak
def test_flipped_bits_of_checkpoints(soak: Soak, penguins_run: Path, tmp_path: Path):
    best = (penguins_run / "checkpoints/best.ckpt").read_bytes()
    table = tmp_path / "rows.csv"
    shutil.copy(ROOT / "data/penguins.csv", table)

    def predicted(content: bytes) -> tuple[int, bytes]:
        (tmp_path / "flipped.ckpt").write_bytes(content)
        output = tmp_path / "predictions.csv"
        output.unlink(missing_ok=True)
        arguments = ("checkpoint=flipped.ckpt", "data.path=rows.csv", f"output={output}")
        ended = commands().run("predict", *arguments, folder=tmp_path).check(0, 2)
        return ended.code, output.read_bytes() if output.exists() else b""

    right = predicted(best)
    assert right[0] == 0
    for generator in soak.rounds(least=5):
        bit = generator.randrange(8 * len(best))
        flipped = bytearray(best)
        flipped[bit // 8] ^= 1 << bit % 8
        with soak.trial(f"bit {bit} of {8 * len(best)}"):
            code, said = predicted(bytes(flipped))
            assert code == 2 or said == right[1], "predictions changed without a word"
            soak.count("refused" if code else "the same predictions")
