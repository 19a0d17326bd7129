import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from conftest import SMALL, compose_config
from litmlp import checkpoint
from litmlp.commands.evaluate import evaluate
from litmlp.commands.predict import predict
from litmlp.commands.train import train
from litmlp.errors import InputError
from litmlp.paths import ROOT
from sweeping import command


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("run", ["penguins_run", "slope_run"])
def test_reproduces_what_training_reported(run: str, split: str, request: pytest.FixtureRequest):
    folder = request.getfixturevalue(run)
    reported = json.loads((folder / "metrics.json").read_text())
    measured = evaluate(str(folder), split)
    assert measured == {name: value for name, value in reported.items() if name.startswith(f"{split}/")}


def test_another_file_of_the_same_columns(penguins_run: Path, tmp_path: Path):
    some = pl.read_csv(ROOT / "data/penguins.csv", null_values=["NA"]).sample(50, seed=0)
    some.select(reversed(some.columns)).write_csv(tmp_path / "some.csv")
    measured = evaluate(str(penguins_run), "test", "some.csv")
    predicted = predict(str(penguins_run), tmp_path / "some.csv")["prediction"]
    assert measured["test/accuracy"] == pytest.approx((predicted == some["species"]).mean(), abs=1e-6)


def test_a_run_moved_away_from_its_table_says_where_it_looked(penguins_run: Path, tmp_path: Path):
    content = checkpoint.read(penguins_run / "checkpoints/best.ckpt")
    content["hyper_parameters"]["data"]["path"] = "gone.csv"
    import torch

    torch.save(content, tmp_path / "alone.ckpt")
    with pytest.raises(InputError, match=r"there is no file 'gone.csv'"):
        evaluate("alone.ckpt")


def test_a_run_finds_its_table_wherever_that_lies(tmp_path: Path):
    (tmp_path / "far").mkdir()
    table = tmp_path / "far/mine.csv"
    table.write_text("x,y\n" + "\n".join(f"{i},{2 * i}" for i in range(40)))
    overrides = [f"data.path={table}", "data.target=y", "trainer.max_epochs=1", *SMALL]
    metrics = train(compose_config(*overrides), tmp_path / "run")
    assert evaluate(str(tmp_path / "run"), "test")["test/rmse"] == metrics["test/rmse"]


def test_an_unknown_split_is_refused(penguins_run: Path):
    with pytest.raises(InputError, match="split is 'tset': use train, val, test"):
        evaluate(str(penguins_run), "tset")


def test_a_file_without_the_target_is_refused(penguins_run: Path, tmp_path: Path):
    pl.read_csv(ROOT / "data/penguins.csv").drop("species").write_csv(tmp_path / "rows.csv")
    with pytest.raises(InputError, match="no target column 'species'"):
        evaluate(str(penguins_run), "test", "rows.csv")


def test_the_moved_checkpoint_alone_measures_another_file(penguins_run: Path, tmp_path: Path):
    shutil.copy(penguins_run / "checkpoints/best.ckpt", tmp_path / "alone.ckpt")
    assert evaluate("alone.ckpt", "test", str(ROOT / "data/penguins.csv"))["test/accuracy"] > 0.3


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("run", "run/evaluate-test.json"),
        ("run/checkpoints/best.ckpt", "run/evaluate-test.json"),
        ("run/checkpoints/last.ckpt", "run/evaluate-test-last.json"),
        ("alone.ckpt", "evaluate-test.json"),
    ],
)
def test_the_command_writes_beside_what_it_measures(given: str, written: str, slope_run: Path):
    shutil.copytree(slope_run, "run")
    shutil.copy("run/checkpoints/last.ckpt", "alone.ckpt")
    said = command(f"checkpoint={given}", name="evaluate")
    assert said.code == 0, said
    assert said.out.splitlines()[-1].endswith(written)
    assert json.loads(Path(written).read_text())["test/rmse"] > 0
