import csv
import io
import logging
import re
import sys
from pathlib import Path

import pytest

from conftest import UNDRAWN, compose_config
from litmlp.commands.train import train

PENGUINS = ["data=penguins", "logger=csv", "trainer.max_epochs=4", *UNDRAWN]


def told(text: str) -> list[dict[str, float]]:
    """The values of each line about an epoch, by name."""
    lines = re.findall(r"epoch (\d+): (.*)", text)
    assert [int(number) for number, _ in lines] == [1, 2, 3, 4]
    pairs = [re.findall(r"([a-z/ ]+) ([\d.e-]+)(?:, |$)", losses) for _, losses in lines]
    return [{name: float(value) for name, value in some} for some in pairs]


def logged(folder: Path) -> list[dict[str, float]]:
    """The losses of each epoch, as a logger had them."""
    values: dict[int, dict[str, float]] = {}
    for row in csv.DictReader((folder / "csv/version_0/metrics.csv").read_text().splitlines()):
        some = {name: float(row[name]) for name in ("train/loss", "val/loss") if row.get(name)}
        if row["epoch"]:  # the last row is of the best weights
            values.setdefault(int(row["epoch"]), {}).update(some)
    return [values[epoch] for epoch in range(4)]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_each_epoch_has_a_line_in_the_log_with_its_own_losses(
    is_terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    train(compose_config(*PENGUINS), tmp_path / "run")
    lines = told((tmp_path / "run/train.log").read_text())
    best = float("inf")
    for line, values in zip(lines, logged(tmp_path / "run"), strict=True):
        best = min(best, values["val/loss"])
        assert line == pytest.approx(values | {"best val/loss": best}, rel=1e-3)
    assert any("epoch 4" in message for message in caplog.messages) != is_terminal  # a line would tear the bar
    assert ("train/loss" in screen.getvalue()) == is_terminal
