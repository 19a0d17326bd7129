import itertools
import json
import math
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from litmlp.errors import InputError
from litmlp.sweeps.folder import SweepFolder, identity
from sweeping import best, rows

DESCRIPTION: dict[str, Any] = {
    "kind": "grid",
    "space": {"++optimizer.lr": ["0.1", "0.2"], "seed": ["0", "1"]},
    "repeats": {},
    "monitor": "val/loss",
    "mode": "min",
    "fixed": ["data=penguins", "++data.name='it\\'s, a table'"],
    "config": {"data": {"noise": 0.5}, "seed": 42},
}


def opened(path: Path, **changes: Any) -> SweepFolder:
    return SweepFolder.open(path, DESCRIPTION | changes, ["data=penguins"])


def record(number: int, score: float | None = 0.5, status: str = "completed", **more: Any) -> dict[str, Any]:
    overrides = ["++optimizer.lr=0.1", f"seed={number}"]
    return {"number": number, "status": status, "overrides": overrides, "seconds": 1.5, "score": score, **more}


def finished(sweep: SweepFolder, *found: dict[str, Any]) -> SweepFolder:
    for one in found:
        sweep.job(one["number"]).mkdir(exist_ok=True)
        sweep.finish(one)
    sweep.flush()
    return sweep


def test_a_folder_holds_what_was_asked(tmp_path: Path):
    opened(tmp_path / "sweep")
    stored = yaml.safe_load((tmp_path / "sweep/sweep.yaml").read_text())
    assert stored == {"command": ["data=penguins"], **DESCRIPTION}


def test_the_same_sweep_goes_on(tmp_path: Path):
    finished(opened(tmp_path), record(0))
    again = opened(tmp_path, fixed=["typed in another order"])
    assert again.is_done(0)
    assert again.description["fixed"] == ["typed in another order"]  # the same config; what is stored is not believed


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"space": {"++optimizer.lr": ["0.1", "0.2"], "seed": ["0", "2"]}}, "space.seed"),
        ({"space": {"++optimizer.lr": ["0.1", "0.2"]}}, "space.seed"),
        ({"config": {"data": {"noise": 0.4}, "seed": 42}}, "data.noise"),
        ({"config": {"data": {"noise": 0.5, "rows": 3}, "seed": 42}}, "data.rows"),
        ({"mode": "max"}, "mode"),
    ],
)
def test_another_commands_folder_is_refused(changes: dict[str, Any], key: str, tmp_path: Path):
    opened(tmp_path)
    before = (tmp_path / "sweep.yaml").read_bytes()
    with pytest.raises(InputError, match=rf"holds a sweep made by another command \({key} differs\): choose another"):
        opened(tmp_path, **changes)
    assert (tmp_path / "sweep.yaml").read_bytes() == before


@pytest.mark.parametrize("name", ["0/notes.txt", "12/notes.txt", "results.csv", "best.yaml", "study.log", ".lock"])
def test_a_folder_that_holds_files_of_the_users_is_refused_and_not_touched(name: str, tmp_path: Path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=rf"holds {name.split('/')[0]} but no sweep\.yaml"):
        opened(tmp_path)
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [Path(name)]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[]", "{", "command: [data=penguins]", "a: &a [*a]", "\0", "- " * 3000])
def test_a_sweep_yaml_that_is_no_sweeps_is_refused_and_not_touched(content: str, tmp_path: Path):
    (tmp_path / "sweep.yaml").write_text(content)
    with pytest.raises(InputError, match=r"sweep\.yaml' is damaged or does not describe a sweep: choose"):
        opened(tmp_path)
    assert (tmp_path / "sweep.yaml").read_text() == content


WRONG = [{"number": 1}, {"number": "../1"}, {"status": [1]}, {"overrides": ["a"]}, {"overrides": "a=1"}, {"trial": "x"}]
WRONG += [{"metrics": 1.5}, {"metrics": {"epochs": "nan"}}, {"score": 10**400}, {"seconds": None, "score": True}]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", *(json.dumps(record(0) | wrong) for wrong in WRONG)])
def test_a_damaged_record_is_one_that_was_not_begun(content: str, tmp_path: Path):
    sweep = finished(opened(tmp_path), record(0), record(1))
    (tmp_path / "0/job.json").write_text(content)
    assert sweep.record(0) == {}
    assert not sweep.is_done(0)
    sweep.collect()
    assert [row["number"] for row in rows(tmp_path)] == ["1"]


def test_results_are_a_row_a_job(tmp_path: Path):
    metrics = {"val/loss": 0.5, "epochs": 3}
    finished(
        opened(tmp_path),
        record(1, metrics=metrics),
        record(0, None, "failed", error='it said "no", twice\nand left'),
    )
    common = {"seconds": "1.5", "optimizer.lr": "0.1"}
    assert rows(tmp_path) == [
        {"number": "1", "status": "completed", "score": "0.5", **common, "seed": "1", "val/loss": "0.5", "epochs": "3"}
        | {"folder": str(tmp_path / "1"), "error": ""},
        {"number": "0", "status": "failed", "score": "", **common, "seed": "0", "val/loss": "", "epochs": ""}
        | {"folder": str(tmp_path / "0"), "error": 'it said "no", twice\nand left'},
    ]


def test_a_job_that_ends_twice_is_one_row(tmp_path: Path):
    finished(opened(tmp_path), record(0, None, "failed", error="no"), record(0, 0.25))
    assert [(row["status"], row["score"], row["error"]) for row in rows(tmp_path)] == [("completed", "0.25", "")]


def test_results_are_collected_from_the_records(tmp_path: Path):
    sweep = opened(tmp_path)
    for number in (10, 2, 9):
        sweep.job(number).mkdir()
        sweep.write(record(number))
    sweep.job(3).mkdir()
    sweep.write({"number": 3, "status": "running", "overrides": []})
    (tmp_path / "4").mkdir()
    assert sweep.rows() == []
    sweep.collect()
    assert [row["number"] for row in rows(tmp_path)] == ["2", "9", "10"]
    assert sweep.numbers() == [2, 3, 9, 10]


@pytest.mark.parametrize("status", ["completed", "pruned", "failed"])
def test_an_end_is_an_end_good_or_bad(status: str, tmp_path: Path):
    assert finished(opened(tmp_path), record(0, status=status)).is_done(0)


def test_what_runs_or_has_not_begun_is_not_done(tmp_path: Path):
    sweep = opened(tmp_path)
    assert sweep.record(0) == {}
    assert not sweep.is_done(0)
    sweep.job(0).mkdir()
    sweep.write({"number": 0, "status": "running", "overrides": []})
    assert not sweep.is_done(0)


@pytest.mark.parametrize(("mode", "number"), [("min", 2), ("max", 1)])
def test_the_best_is_the_completed_job_with_the_best_score(mode: str, number: int, tmp_path: Path):
    scores = [(0, 0.5, "completed"), (1, 10.0, "completed"), (2, 9e-2, "completed"), (3, 1e-9, "pruned")]
    found = [record(n, score, status) for n, score, status in scores]
    finished(opened(tmp_path, mode=mode), *found, record(4, None, "failed"), record(5, 100.0, "pruned"))
    assert best(tmp_path)["number"] == number


def test_the_best_has_a_command_that_a_shell_takes_apart_again(tmp_path: Path):
    finished(opened(tmp_path), record(3))
    overrides = ["data=penguins", "data.name='it\\'s, a table'", "optimizer.lr=0.1", "seed=3"]
    assert best(tmp_path) == {
        "number": 3,
        "score": 0.5,
        "monitor": "val/loss",
        "folder": str(tmp_path / "3"),
        "overrides": overrides,
        "command": shlex.join(["litmlp-train", *overrides]),
    }
    assert shlex.split(best(tmp_path)["command"]) == ["litmlp-train", *overrides]


def test_without_a_score_there_is_no_best(tmp_path: Path):
    sweep = finished(opened(tmp_path), record(0, None, "failed"), record(1, 0.1, "pruned"))
    assert sweep.best(sweep.rows()) is None
    assert not (tmp_path / "best.yaml").exists()


def test_rows_may_be_written_later_but_not_those_of_failures(tmp_path: Path):
    sweep = finished(opened(tmp_path), record(0))
    sweep.next_write = math.inf
    for one in (record(1), record(2)):
        sweep.job(one["number"]).mkdir()
        sweep.finish(one)
        assert sweep.is_done(one["number"])
        assert [row["number"] for row in rows(tmp_path)] == ["0"]
    sweep.job(3).mkdir()
    sweep.finish(record(3, None, "failed", error="no luck"))
    assert [row["number"] for row in rows(tmp_path)] == ["0", "1", "2", "3"]
    sweep.next_write = math.inf
    finished(sweep, record(4))
    assert [row["number"] for row in rows(tmp_path)] == ["0", "1", "2", "3", "4"]
    assert sweep.unwritten == []


def test_rows_of_processes_that_end_together_are_all_kept(tmp_path: Path):
    opened(tmp_path)
    script = (
        "import sys, pathlib\nfrom litmlp.files import read_yaml\n"
        "from litmlp.sweeps.folder import SweepFolder\n"
        "sweep = SweepFolder(pathlib.Path('.'), read_yaml(pathlib.Path('sweep.yaml')))\n"
        "print(flush=True); sys.stdin.readline()\n"
        "for n in range(int(sys.argv[1]), 40, 2):\n"
        "    sweep.job(n).mkdir()\n"
        "    sweep.finish({'number': n, 'status': 'completed', 'overrides': [], 'seconds': 0, 'score': 1.0})\n"
        "sweep.flush()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen([sys.executable, "-c", script, str(n)], **pipes) for n in (0, 1)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert sorted(int(row["number"]) for row in rows(tmp_path)) == list(range(40))


def test_a_description_in_another_order_is_the_same_sweep():
    first = identity(DESCRIPTION)
    assert len(first) == 8
    assert identity(DESCRIPTION | {"fixed": []}) == first
    for items in itertools.islice(itertools.permutations(DESCRIPTION.items()), 3):
        assert identity(dict(items)) == first
    assert identity(DESCRIPTION | {"mode": "max"}) != first


def test_axes_in_another_order_go_on_in_the_first_order(tmp_path: Path):
    turned = dict(reversed(DESCRIPTION["space"].items()))
    assert identity(DESCRIPTION | {"space": turned}) == identity(DESCRIPTION)
    opened(tmp_path)
    assert list(opened(tmp_path, space=turned).description["space"]) == list(DESCRIPTION["space"])
