"""The recipes, taken literally in a copy of the project: files are made, none is changed, and what is typed runs."""

import ast
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from conftest import copy_project
from litmlp.files import read_json
from litmlp.paths import ROOT

FOLDER = ROOT / "docs/recipes"
INDEX = dict(re.findall(r"^- \[.*\]\((\w+)\.md\): (\d) files?$", (FOLDER / "README.md").read_text(), flags=re.M))
PAGES = {name: (FOLDER / f"{name}.md").read_text(encoding="utf-8") for name in INDEX}


def files(page: str) -> dict[str, str]:
    return dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)```$", page, flags=re.S | re.M))


def commands(page: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", page, flags=re.S)
    return [line for block in blocks for line in block.splitlines()]


ADDED = {name: text for page in PAGES.values() for name, text in files(page).items()}


def test_all_pages_are_in_the_index():
    assert {path.stem for path in FOLDER.glob("*.md")} == {*INDEX, "README"}


@pytest.mark.parametrize("name", PAGES)
def test_a_recipe_makes_as_many_files_as_it_says_and_changes_none(name: str):
    made = files(PAGES[name])
    assert sum(not path.startswith("tests/") for path in made) == int(INDEX[name])
    assert [path for path in made if (ROOT / path).exists()] == []
    assert PAGES[name].count("```") == 2 * len(made) + 2 * PAGES[name].count("```bash")
    for path, text in made.items():
        (ast.parse if path.endswith(".py") else yaml.safe_load)(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("recipes") / "project")
    for name, text in ADDED.items():
        (folder / name).parent.mkdir(exist_ok=True)
        with (folder / name).open("x") as file:
            file.write(text)
    return folder


def run(project: Path, *command: str) -> str:
    programs = Path(sys.executable).parent
    environment = os.environ | {"PYTHONPATH": str(project / "src"), "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def metrics(folder: Path) -> dict[str, float]:
    return read_json(folder / "metrics.json")


def same(evaluated: Path, trained: dict[str, float]) -> bool:
    measured = json.loads(evaluated.read_text())
    return len(measured) > 2 and all(trained[name] == pytest.approx(value) for name, value in measured.items())


def table(runs: Path) -> None:
    assert same(runs / "weight/evaluate-val.json", metrics(runs / "weight"))
    columns = json.loads((runs / "weight/columns.json").read_text())["columns"]
    assert "year" not in columns or columns["year"].startswith("left out")
    assert metrics(runs / "weight")["test/r2"] > 0.6


def optimizer(runs: Path) -> None:
    (sweep,) = (runs / "sweeps").glob("penguins-*")
    rows = list(csv.DictReader((sweep / "results.csv").read_text().splitlines()))
    found = [row for row in rows if row["status"] == "completed"]
    assert len(found) == 2


def network(runs: Path) -> None:
    assert metrics(runs / "residual")["test/accuracy"] > 0.95
    predictions = pl.read_csv(runs.parent / "predictions.csv")
    truth = pl.read_csv(runs.parent / "data/penguins.csv", null_values="NA")["species"]
    assert (predictions["prediction"] == truth).mean() > 0.95


def query(runs: Path) -> None:
    assert metrics(runs / "query")["test/accuracy"] > 0.95
    assert same(runs / "query/evaluate-test.json", metrics(runs / "query"))
    penguins = pl.read_csv(runs.parent / "data/penguins.csv", null_values="NA")
    sizes = re.search(r"(\d+) train, (\d+) val, (\d+) test rows", (runs / "query/train.log").read_text())
    assert sizes is not None
    assert sum(map(int, sizes.groups())) == len(penguins.filter(pl.col("year") >= 2008)) < len(penguins)
    assert (pl.read_csv(runs.parent / "species.csv")["prediction"] == penguins["species"]).mean() > 0.9


def task(runs: Path) -> None:
    assert metrics(runs / "quantile")["epochs"] == 12
    assert metrics(runs / "quantile")["test/coverage"] == pytest.approx(0.9, abs=0.04)
    quantiles = pl.read_csv(runs.parent / "quantiles.csv")
    assert quantiles.columns == ["quantile_0.05", "quantile_0.5", "quantile_0.95"]
    rows = quantiles.to_numpy()
    assert (rows[:, 0] <= rows[:, 1]).all()
    assert (rows[:, 1] <= rows[:, 2]).all()
    observed = pl.read_parquet(runs.parent / "data/california.parquet")["MedHouseVal"].to_numpy()
    assert ((observed >= rows[:, 0]) & (observed <= rows[:, 2])).mean() == pytest.approx(0.9, abs=0.04)


def metric(runs: Path) -> None:
    found = metrics(runs / "largest")
    assert found["objective"] == found["val/largest"] > found["val/rmse"]
    assert same(runs / "largest/evaluate-test.json", found)


def callback(runs: Path) -> None:
    rows = list(csv.DictReader((runs / "worst/worst_rows.csv").read_text().splitlines()))
    losses = [float(row["loss"]) for row in rows]
    assert len(rows) == 10
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > metrics(runs / "worst")["test/loss"]
    assert {row["species"] for row in rows} <= {"Adelie", "Chinstrap", "Gentoo"}


def logger(runs: Path) -> None:
    lines = [json.loads(line) for line in (runs / "lines/metrics.jsonl").read_text().splitlines()]
    assert sum("val/loss" in line for line in lines) == 3
    assert lines[-1]["test/accuracy"] == pytest.approx(metrics(runs / "lines")["test/accuracy"])


CLAIMS: dict[str, Callable[[Path], None]] = {
    claim.__name__: claim for claim in (table, optimizer, network, query, task, metric, callback, logger)
}

# part: playground


def data(runs: Path) -> None:
    assert metrics(runs / "moons")["test/accuracy"] > 0.95
    assert same(runs / "moons/evaluate-test.json", metrics(runs / "moons"))
    assert (runs / "moons/plots/planar-regions.png").is_file()


CLAIMS["data"] = data
# end of part: playground


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_what_is_typed_runs_and_does_what_the_page_says(name: str, project: Path):
    for command in commands(PAGES[name]):
        run(project, "sh", "-c", command)
    CLAIMS[name](project / "runs")


@pytest.mark.slow
def test_the_projects_tests_and_its_style_hold_with_all_of_them(project: Path):
    python = [name for name in ADDED if name.endswith(".py")]
    run(project, sys.executable, "-m", "ruff", "check", *python)
    run(project, sys.executable, "-m", "ruff", "format", "--check", *python)
    run(project, sys.executable, "-m", "mypy", "src")
    options = [Path(name).stem for name in ADDED if name.startswith("conf/") and name != "conf/data/query.yaml"]
    chosen = " or ".join([*options, "monitor", "design", "hydra"])
    said = run(project, sys.executable, "-m", "pytest", "-q", "tests/test_conf.py", "-k", chosen)
    assert int(re.findall(r"(\d+) passed", said)[0]) >= len(options)
    run(project, sys.executable, "-m", "pytest", "-q", *(name for name in python if name.startswith("tests/")))
