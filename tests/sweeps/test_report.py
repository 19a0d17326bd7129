import csv
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from unittest import mock

import pytest
import yaml

from litmlp.errors import InputError
from litmlp.files import write_json, write_yaml
from litmlp.sweeps import report
from litmlp.sweeps.report import compare


def a_run(folder: Path, score: float | None, status: str = "completed", **config: Any) -> Path:
    """A run's folder, as far as a report reads it."""
    folder.mkdir(parents=True)
    settings = {
        "seed": 0,
        "monitor": "val/loss",
        "mode": "min",
        "optimizer": {"lr": 0.1},
        "logger": {"where": str(folder)},
    }
    write_yaml(folder / "config.yaml", settings | config)
    write_json(folder / "status.json", {"status": status})
    if score is not None:
        metrics = {
            "val/loss": score,
            "test/loss": 2 * score,
            "val/rmse": -score,
            "objective": score,
            "fit_seconds": 1.5,
        }
        write_json(folder / "metrics.json", metrics)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two rates with three seeds each, a failed run, and one under way."""
    scores = {0.1: [3.0, 5.0, 4.0], 0.01: [1.0, 2.0, 6.0]}
    for rate, row in scores.items():
        for seed, score in enumerate(row):
            a_run(tmp_path / "runs" / f"{rate}-{seed}", score, optimizer={"lr": rate}, seed=seed)
    a_run(tmp_path / "runs/bad", None, "failed", optimizer={"lr": 9})
    a_run(tmp_path / "runs/now", None, "running", optimizer={"lr": 8})
    return tmp_path / "runs"


def test_seeds_are_averaged_and_groups_ranked(runs: Path):
    found = compare([runs])
    assert [group.values for group in found.groups] == [{"optimizer.lr": "0.01"}, {"optimizer.lr": "0.1"}]
    assert [group.mean for group in found.groups] == [mean([1, 2, 6]), 4]
    assert [group.deviation for group in found.groups] == pytest.approx([stdev([1, 2, 6]), 1])
    assert [group.runs[0].folder.name for group in found.groups] == ["0.01-0", "0.1-0"]
    assert found.keys == ["optimizer.lr"]
    assert found.counts == {"completed": 6, "failed": 1, "running": 1}


def test_the_better_direction_is_the_monitors_or_the_one_given(runs: Path):
    assert compare([runs], "val/rmse", "max").groups[0].values == {"optimizer.lr": "0.01"}
    assert compare([runs], "val/rmse", "min").groups[0].values == {"optimizer.lr": "0.1"}


def test_folds_are_averaged_too_and_a_single_run_has_no_deviation(tmp_path: Path):
    for fold in range(2):
        a_run(tmp_path / f"{fold}", 1.0 + fold, data={"fold": fold})
    (group,) = compare([tmp_path]).groups
    assert (group.mean, group.scores) == (1.5, [1, 2])
    (single,) = compare([tmp_path / "0"]).groups
    assert single.deviation is None


def test_jobs_of_a_sweep_are_told_apart_by_what_was_typed(tmp_path: Path):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"fixed": ["data=penguins"]}))
    for number, optimizer in enumerate(("adam", "sgd")):
        folder = a_run(tmp_path / str(number), 1.0 + number, optimizer={"_target_": optimizer, "lr": number})
        (folder / "job.json").write_text(json.dumps({"overrides": [f"optimizer={optimizer}"], "status": "completed"}))
    found = compare([tmp_path])
    assert found.keys == ["optimizer"]
    assert [group.values["optimizer"] for group in found.groups] == ["adam", "sgd"]


def test_a_pruned_job_is_counted_as_such(tmp_path: Path):
    (a_run(tmp_path / "0", 1.0) / "job.json").write_text(json.dumps({"overrides": [], "status": "pruned"}))
    assert compare([tmp_path]).counts == {"pruned": 1}


DAMAGE: list[str | None] = [
    "",
    "{",
    "[]",
    "null",
    "\0",
    "[" * 9999,
    "{'a': ",
    '{"status": [1]}',
    "a: &a [*a]",
    "{}",
    None,
]
NUMBERS = ['"nan"', "NaN", "1e999", "1" + "0" * 400, "true", "[1]"]


@pytest.mark.parametrize("name", ["status.json", "config.yaml", "metrics.json", "job.json"])
@pytest.mark.parametrize("content", DAMAGE)
def test_the_damaged_run_is_named_and_the_others_are_reported(
    name: str, content: str | None, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    damaged(runs / "0.01-2" / name, content)
    assert said(capsys, "runs").splitlines()[:3] == said(capsys, *others(runs, "0.01-2")).splitlines()[:3]
    *_, counts, sentence = said(capsys, "runs").splitlines()
    assert counts == "runs: 5 completed, 1 failed, 1 running, 1 damaged"
    assert sentence.startswith(f"not used: 'runs/0.01-2/{name}' is damaged, for ")


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_are_none_damage_their_run_alone(number: str, runs: Path, capsys: pytest.CaptureFixture[str]):
    file = runs / "0.1-0/metrics.json"
    file.write_text(file.read_text().replace('"val/loss": 3.0', f'"val/loss": {number}'))
    *_, counts, sentence = said(capsys, "runs").splitlines()
    assert counts.endswith(", 1 damaged")
    assert sentence.startswith("not used: 'runs/0.1-0/metrics.json' is damaged, for ")
    assert sentence.endswith(": resume=runs/0.1-0 writes it anew")


def test_a_damaged_sweep_keeps_its_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for number in range(2):
        job = {"overrides": [f"optimizer.lr={number}"], "status": "completed"}
        (a_run(tmp_path / f"sweep/{number}", 1.0 + number) / "job.json").write_text(json.dumps(job))
    for content in DAMAGE:
        damaged(tmp_path / "sweep/sweep.yaml", content)
        _, first, second, counts, sentence = said(capsys, "sweep").splitlines()
        assert (first.split()[3:5], second.split()[3:5]) == (["2", "0"], ["4", "1"])
        assert counts == "runs: 2 completed"
        assert sentence.startswith("not used: 'sweep/sweep.yaml' is damaged")


def test_a_run_that_was_stopped_before_it_was_asked_anything_hinders_no_report(runs: Path):
    (a_run(runs / "killed", None, "running") / "config.yaml").unlink()
    assert len(compare([runs]).groups) == 2


def damaged(file: Path, content: str | None) -> None:
    """Write other content to a file, or make a folder of it."""
    if file.is_dir():
        file.rmdir()
    file.unlink(missing_ok=True)
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)


def others(runs: Path, name: str) -> list[str]:
    return [str(folder) for folder in sorted(runs.iterdir()) if folder.name != name]


def said(capsys: pytest.CaptureFixture[str], *folders: str) -> str:
    with mock.patch.object(sys, "argv", ["litmlp-report", *folders]):
        report.main()
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["empty"], "there is no run in "),
        (["runs", "--metric", "val/los"], "no run has the metric 'val/los': did you mean 'val/loss'?"),
        (["nowhere"], "there is no file 'nowhere'"),
    ],
)
def test_nonsense_is_one_sentence(runs: Path, tmp_path: Path, arguments: list[str], sentence: str):
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "litmlp.sweeps.report", *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"litmlp-report: {sentence}")
    assert done.stderr.count("\n") == 1


def test_scores_that_cannot_be_compared_are_refused(tmp_path: Path):
    a_run(tmp_path / "a", 1.0)
    a_run(tmp_path / "b", 2.0, monitor="val/rmse")
    with pytest.raises(InputError, match=r"different metrics \(val/loss, val/rmse\): add --metric and --mode"):
        compare([tmp_path])
    assert len(compare([tmp_path], "val/loss", "min").groups) == 2


def test_the_command_prints_a_table_and_needs_no_torch(runs: Path, tmp_path: Path):
    script = (
        "import sys; sys.argv = ['x', 'runs']\n"
        "from litmlp.sweeps.report import main; main(); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    header, first, second, last = done.stdout.splitlines()
    assert header.split() == ["val/loss", "runs", "test/loss", "lr", "seconds", "best", "run"]
    assert first.split() == ["1", "3", "±", "2.6", "3", "6", "0.01", "1.5", str(Path("runs", "0.01-0"))]
    assert second.split()[:4] == ["2", "4", "±", "1"]
    assert last == "runs: 6 completed, 1 failed, 1 running"


def test_what_is_written_can_be_read(runs: Path, tmp_path: Path):
    for index in range(6):
        a_run(runs / f"more-{index}", float(index), network={"width": index}, optimizer={"lr": 10.0**-index})
    report.write(compare([runs]), tmp_path / "written")
    rows = list(csv.DictReader((tmp_path / "written/report.csv").read_text().splitlines()))
    assert [float(row["mean"]) for row in rows] == sorted(float(row["mean"]) for row in rows)
    assert float(next(row for row in rows if row["optimizer.lr"] == "0.01" and row["runs"] == "3")["test/loss"]) == 6
    text = (tmp_path / "written/report.md").read_text()
    names = {"best_so_far", "hyperparameters", "parallel_coordinates", "importances"}
    assert {path.stem for path in (tmp_path / "written").glob("*.png")} == names
    assert all(f"({name}.png)" in text for name in names)
    assert sum(line.startswith("| ") for line in text.splitlines()) == 2 + len(rows)  # header and rule
