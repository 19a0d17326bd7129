import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest
import torch

from conftest import SMALL, Refused, compose_config
from litmlp import checkpoint
from litmlp.commands.predict import predict
from litmlp.commands.train import train
from litmlp.entry_points import MODULES
from litmlp.errors import InputError
from litmlp.model import load
from litmlp.paths import ROOT

PENGUINS = ROOT / "data/penguins.csv"
PROBABILITIES = [f"probability_{name}" for name in ("Adelie", "Chinstrap", "Gentoo")]


@pytest.fixture
def rows() -> pl.DataFrame:
    return pl.read_csv(PENGUINS, null_values=["NA"])


def predicted(run: Path, rows: pl.DataFrame, tmp_path: Path) -> pl.DataFrame:
    rows.write_csv(tmp_path / "rows.csv")
    return predict(str(run), tmp_path / "rows.csv")


def test_classes_and_probabilities_of_each_row_in_order(penguins_run: Path, rows: pl.DataFrame, tmp_path: Path):
    table = predicted(penguins_run, rows, tmp_path)
    assert table.columns == ["prediction", *PROBABILITIES]
    assert len(table) == len(rows)
    probabilities = table.select(PROBABILITIES).to_numpy()
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    likeliest = [("Adelie", "Chinstrap", "Gentoo")[i] for i in probabilities.argmax(axis=1)]
    assert table["prediction"].to_list() == likeliest
    reversed_table = predicted(penguins_run, rows.reverse(), tmp_path)
    assert reversed_table.reverse()["prediction"].to_list() == likeliest


def test_what_is_predicted_of_a_row_does_not_depend_on_the_rows_beside_it(penguins_run: Path, rows: pl.DataFrame):
    model = load(penguins_run)
    whole = model.predict(rows)
    for start, end in ((0, 1), (1, 2), (5, 18), (100, 165), (0, len(rows) - 1)):
        assert model.predict(rows[start:end]).equals(whole[start:end])
    assert model.predict(rows.reverse()).reverse().equals(whole)


def test_order_of_columns_and_a_present_target_change_nothing(penguins_run: Path, rows: pl.DataFrame, tmp_path: Path):
    plain = predicted(penguins_run, rows, tmp_path)
    shuffled = predicted(penguins_run, rows.drop("species").select(sorted(rows.columns[1:])), tmp_path)
    assert plain.equals(shuffled)


def test_parquet_gives_the_same_as_csv(penguins_run: Path, rows: pl.DataFrame, tmp_path: Path):
    rows.write_parquet(tmp_path / "rows.parquet")
    assert predict(str(penguins_run), tmp_path / "rows.parquet").equals(predicted(penguins_run, rows, tmp_path))


def test_missing_cells_and_unseen_levels_are_predicted(penguins_run: Path, rows: pl.DataFrame, tmp_path: Path):
    strange = rows.head(2).with_columns(
        island=pl.lit("Atlantis"), year=pl.lit(None, pl.Int64), body_mass_g=pl.lit(None, pl.Int64)
    )
    table = predicted(penguins_run, strange, tmp_path)
    assert table.select(PROBABILITIES).to_numpy().sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_all_cells_missing_is_still_a_row(penguins_run: Path, rows: pl.DataFrame, tmp_path: Path):
    empty = rows.head(1).select(pl.lit(None, pl.String).alias(name) for name in rows.columns)
    assert len(predicted(penguins_run, empty, tmp_path)) == 1


def test_regression_gives_values_in_own_units(slope_run: Path, tmp_path: Path):
    pl.DataFrame({"x2": [2.5, 0.0], "x1": [-4.0, 0.0]}).write_csv(tmp_path / "rows.csv")
    table = predict(str(slope_run), tmp_path / "rows.csv")
    assert table.columns == ["prediction"]
    task, data, _ = checkpoint.load(slope_run / "checkpoints/best.ckpt")
    mean, std = (torch.tensor([getattr(c.scaling, name) for c in data.inputs.columns]) for name in ("mean", "std"))
    z = (torch.tensor([[-4.0, 2.5], [0.0, 0.0]]) - mean) / std
    with torch.no_grad():
        output = task.network(z, torch.zeros(2, 0, dtype=torch.int64)).double()
    by_hand = output * data.target.scaling.std + data.target.scaling.mean
    assert table["prediction"].to_list() == pytest.approx(by_hand[:, 0].tolist(), rel=1e-5)


def test_several_targets_have_a_column_each(tmp_path: Path):
    (tmp_path / "two.csv").write_text("x,y1,y2\n" + "\n".join(f"{i},{2 * i},{-i}" for i in range(40)))
    overrides = ["data.path=two.csv", "data.target=[y1,y2]", "trainer.max_epochs=1", *SMALL]
    train(compose_config(*overrides), tmp_path / "run")
    assert predict(str(tmp_path / "run"), tmp_path / "two.csv").columns == ["prediction_y1", "prediction_y2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop("island"), "column 'island' that the network was trained on is missing"),
        (
            lambda rows: rows.with_columns(year=pl.lit("soon")),
            "'year' should hold finite numbers, but its row 1 holds 'soon'",
        ),
        (lambda rows: rows.head(0), "has no rows"),
    ],
)
def test_rows_that_do_not_fit_are_one_sentence(penguins_run: Path, rows: pl.DataFrame, change, message, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        predicted(penguins_run, change(rows), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.path=rows.csv", "output=out.csv"], "no checkpoint is given: add checkpoint=..."),
        (["checkpoint={run}", "data.path=nowhere.csv", "output=out.csv"], "there is no file 'nowhere.csv'"),
        (["checkpoint={run}", "data.path={rows}", "output=out.xlsx"], "cannot tell how to write 'out.xlsx'"),
        (["checkpoint={run}", "data.path={rows}", "output=no/out.csv"], "there is no folder 'no'"),
        (["checkpoint={run}", "data.path=same.csv", "output=same.csv"], "there is no file 'same.csv'"),
        (["chekpoint={run}"], "there is no config key 'chekpoint': did you mean 'checkpoint'?"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(
    penguins_run: Path, arguments: list[str], message: str, refused: Refused
):
    given = [argument.format(run=penguins_run, rows=PENGUINS) for argument in arguments]
    assert refused("predict", *given).startswith(f"litmlp-predict: {message}")
    assert not list(Path.cwd().iterdir())


def test_the_command_writes_a_line_a_row(penguins_run: Path):
    given = [f"checkpoint={penguins_run}", f"data.path={PENGUINS}", "output=out.csv"]
    subprocess.run(
        [sys.executable, "-m", "litmlp.commands.predict", *given], check=True, capture_output=True, timeout=100
    )
    assert pl.read_csv("out.csv").columns == ["prediction", *PROBABILITIES]
    assert [path.name for path in Path.cwd().iterdir()] == ["out.csv"]


def test_predictions_never_replace_the_rows(penguins_run: Path, rows: pl.DataFrame, refused: Refused):
    rows.write_csv("rows.csv")
    before = Path("rows.csv").read_bytes()
    given = [f"checkpoint={penguins_run}", "data.path=rows.csv", "output=./rows.csv"]
    assert "output 'rows.csv' is the same file as 'rows.csv', which is needed" in refused("predict", *given)
    assert Path("rows.csv").read_bytes() == before


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_output_is_never_a_file_that_is_needed(
    command: str,
    penguins_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):

    ending = "csv" if command == "predict" else "json"
    run = shutil.copytree(penguins_run, tmp_path / "run")
    shutil.copy(PENGUINS, "rows.csv")
    needed = ["rows.csv", "run/checkpoints/best.ckpt", "run/checkpoints/last.ckpt", "run/config.yaml", PENGUINS]
    refused = (
        [f"run/{name}.json" for name in ("metrics", "status", "columns")] if command == "evaluate" else ["rows.csv"]
    )
    for index, file in enumerate(needed):
        for link in (Path(f"soft{index}.{ending}"), Path(f"hard{index}.{ending}")):
            link.symlink_to(Path(file).absolute()) if "soft" in link.name else os.link(file, link)
            refused.append(str(link))
    os.mkfifo(f"pipe.{ending}")
    Path(f"device.{ending}").symlink_to("/dev/null")
    refused += [f"pipe.{ending}", f"device.{ending}", f"run/checkpoints/new.{ending}", f"{'x' * 248}.{ending}"]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.setattr(f"{MODULES[command]}.{command}", lambda *_: pytest.fail("computed before it was refused"))
    for output in refused:
        given = ["checkpoint=run/checkpoints/best.ckpt", "data.path=rows.csv", f"output={output}"]
        monkeypatch.setattr("sys.argv", [f"litmlp-{command}", *given])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        with pytest.raises(SystemExit) as end:
            import_module(MODULES[command]).main()
        assert end.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith(f"litmlp-{command}: output '{output}'"), said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
