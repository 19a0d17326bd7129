import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from conftest import SLOPE, SMALL
from litmlp import paths
from litmlp.callbacks import description
from litmlp.commands.train import train
from litmlp.files import read_json


def texts(folder: Path) -> dict[str, str]:
    events = EventAccumulator(str(folder))
    events.Reload()
    names = [name for name in events.Tags()["tensors"] if name.endswith("/text_summary")]
    return {name.split("/")[0]: events.Tensors(name)[0].tensor_proto.string_val[0].decode() for name in names}


def test_a_run_says_what_it_is(penguins_run: Path):
    found = texts(penguins_run)
    assert found.keys() == {"config", "run", "data"}
    unindented = "\n".join(line.removeprefix("    ") for line in found["config"].splitlines())
    assert yaml.safe_load(unindented) == yaml.safe_load((penguins_run / "config.yaml").read_text())
    columns = read_json(penguins_run / "columns.json")["columns"]
    for name, treatment in columns.items():
        assert f"| {name} | {treatment} |" in found["data"]
    assert "| train | 220 |" in found["data"]
    assert f"| torch | {torch.__version__.partition('+')[0]}" in found["run"]
    assert f"| command | `{Path(sys.argv[0]).name}" in found["run"]
    assert "| device | cpu |" in found["run"]


def test_train_and_validation_share_a_chart(penguins_run: Path):
    events = EventAccumulator(str(penguins_run))
    events.Reload()
    (tensor,) = events.Tensors("custom_scalars__config__")
    found = layout_pb2.Layout.FromString(tensor.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in found.category for chart in category.chart}
    assert charts["loss"] == ["train/loss$", "val/loss$"]
    scalars = events.Tags()["scalars"]
    assert charts.keys() == {name.removeprefix("val/") for name in scalars if name.startswith("val/")}


def test_the_commit_is_named_and_changes_are_owned_up_to(tmp_path: Path, monkeypatch: Any):
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert description.commit() is None
    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "first")
    assert description.commit() == git("rev-parse", "HEAD")
    (tmp_path / "file").write_text("2")
    assert description.commit() == f"{git('rev-parse', 'HEAD')}, with changes that are not committed"


def test_in_a_sweep_there_is_none(tmp_path: Path, config: Callable[..., dict[str, Any]]):
    train(config(*SLOPE, "trainer.max_epochs=1", *SMALL), tmp_path / "run", columns=())
    assert texts(tmp_path / "run") == {}


def test_text_that_tables_cannot_hold_is_mended():
    assert description.table({"a": "x|y"}, "name", "value") == "| name | value |\n| --- | --- |\n| a | x/y |\n"
    assert description.code("a: 1\nb: 2") == "    a: 1\n    b: 2\n"
