"""From a table to one model, in small: whole, stopped and gone on with, and refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import litmlp
from litmlp import run_folder
from litmlp.commands import best as command_module
from litmlp.commands import train
from litmlp.commands.best import best, bound
from litmlp.errors import InputError
from litmlp.files import read_json, read_yaml
from litmlp.paths import ROOT
from litmlp.sweeps.budget import FILE, Budget
from litmlp.sweeps.folds import trials
from sweeping import Finished, command, contents, records, rows

PENGUINS = ROOT / "data/penguins.csv"
SMALL = [
    *("trainer.max_epochs=2", "trainer.accelerator=cpu", "network.hidden_sizes=[4]", "network.members=4"),
    *("network.member_layers=first", "threads=1"),
]
TABLE = [f"data={PENGUINS}", "data.target=species", *SMALL, "hydra.sweeper.n_trials=2"]


def typed(*arguments: str) -> Finished:
    return command(*arguments, name="best")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    folder = tmp_path_factory.mktemp("best") / "mine"
    said = typed(*TABLE, "minutes=2", "jobs=1", f"output={folder}")
    assert said.code == 0, said
    return folder, said


def test_the_way_leads_to_one_model_that_predicts(whole: tuple[Path, Finished]):
    folder, _ = whole
    rows = pl.read_csv(PENGUINS, null_values="NA").drop_nulls("species")
    predicted = litmlp.load(folder).predict(PENGUINS)
    assert len(predicted) == len(pl.read_csv(PENGUINS, null_values="NA"))
    assert set(predicted["prediction"]) <= set(rows["species"])
    config = read_yaml(folder / "config.yaml")
    assert config["network"]["_target_"].endswith("Ensemble")
    assert config["data"]["path"] == str(PENGUINS)


def test_the_best_settings_have_a_run_for_each_set_of_validation_rows(whole: tuple[Path, Finished]):
    folder, _ = whole
    ranked = trials(folder)
    assert len(ranked) == 2
    for trial in ranked:
        configs = [read_yaml(run / "config.yaml") for run in trial.runs]
        assert [config["data"].pop("val_fold") for config in configs] == [0, 1, 2, 3, 4]
        assert all(config == configs[0] for config in configs)


def test_runs_have_a_validation_set_that_suits_the_number_of_rows(tmp_path: Path):
    table = pl.DataFrame({"x": range(20_000), "y": [float(x % 7) for x in range(20_000)]})
    table.write_csv(tmp_path / "table.csv")
    budget = Budget(tmp_path, 60, [f"data={tmp_path / 'table.csv'}"])
    for given, expected in (([], 0.05), (["data.val_size=0.1"], 0.1)):
        budget.overrides = ["data=table", f"data.path={tmp_path / 'table.csv'}", "data.target=y", *SMALL, *given]
        budget.bounds = None
        bound(budget, 1)
        config = litmlp.compose(*budget.bounds.overrides, *budget.overrides)
        assert config["data"]["val_size"] == expected


def test_the_model_averages_some_of_these_runs_and_all_folds_of_each(whole: tuple[Path, Finished]):
    folder, _ = whole
    weights = read_yaml(folder / "config.yaml")["ensemble"]
    members = {Path(run).resolve(): weight for run, weight in weights.items()}
    chosen = [trial for trial in trials(folder) if trial.run.resolve() in members]
    assert members.keys() == {run.resolve() for trial in chosen for run in trial.runs}
    for trial in chosen:
        assert len({round(members[run.resolve()], 4) for run in trial.runs}) == 1


def test_the_first_trial_has_the_default_settings(whole: tuple[Path, Finished]):
    folder, _ = whole
    assert records(folder / "search")[0]["overrides"] != records(folder / "search")[1]["overrides"]
    tried = read_yaml(folder / "search/0/config.yaml")
    own = litmlp.compose("sweep=best", "data=table", f"data.path={PENGUINS}", "data.target=species", *SMALL)
    assert tried["network"] == own["network"]
    assert tried["optimizer"]["lr"] == own["optimizer"]["lr"]


def test_the_summary_has_the_scores_of_the_model_beside_those_of_the_best_run(whole: tuple[Path, Finished]):
    folder, said = whole
    model, single = read_json(folder / "metrics.json"), read_json(trials(folder)[0].run / "metrics.json")
    (line,) = (line for line in said.out.splitlines() if line.startswith("accuracy"))
    scores = [metrics[f"{split}/accuracy"] for metrics in (model, single) for split in ("val", "test")]
    assert line.split()[1:] == [f"{score:.4f}" for score in scores]
    assert said.out.splitlines()[-1] == str(folder)


def test_what_is_finished_is_not_begun_again(whole: tuple[Path, Finished]):
    folder, said = whole
    before = contents(folder)
    again = typed(*TABLE, "minutes=2", "jobs=1", f"output={folder}")
    assert again.code == 0
    assert again.out.startswith("this is finished")
    assert again.out.splitlines()[-8:] == said.out.splitlines()[-8:]
    assert contents(folder) == before


def test_the_other_commands_use_the_folder(whole: tuple[Path, Finished], tmp_path: Path):
    folder, _ = whole
    evaluated = command(f"checkpoint={folder}", f"output={tmp_path / 'e.json'}", name="evaluate")
    assert evaluated.code == 0, evaluated
    assert json.loads((tmp_path / "e.json").read_text()) == pytest.approx(
        {name: value for name, value in read_json(folder / "metrics.json").items() if name.startswith("test/")},
        abs=1e-6,
    )
    assert command(str(folder), name="report").code == 0


def test_another_command_needs_another_folder(whole: tuple[Path, Finished]):
    folder, _ = whole
    said = typed(*TABLE, "minutes=3", "jobs=1", f"output={folder}")
    assert said.code == 2
    assert "holds the work of another command, with other seconds: type that one" in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["minuts=3"], "there is no key 'minuts': did you mean 'minutes'?"),
        (["minutes=soon"], "minutes is 'soon': give a number from 0.5 up"),
        (["minutes=nan"], "minutes is 'nan': give a number from 0.5 up"),
        (["minutes=-1"], "minutes is '-1': give a number from 0.5 up"),
        (["minutes=0.1"], "minutes is '0.1': give a number from 0.5 up, for starting takes seconds"),
        (["jobs=0"], "jobs is '0': give a whole number from 1 up"),
        (["data.val_fold=1"], "data.val_fold is chosen by this command: leave it out"),
        (["resume=runs"], "resume is chosen by this command: leave it out"),
        (["data=califrnia"], "data has no option 'califrnia': did you mean 'california'?"),
        (["data=nowhere.csv", "data.target=y"], "there is no file 'nowhere.csv'"),
        (["data=nowhere.csv"], "no data.target is given: add data.target=..."),
        ([f"data={PENGUINS}", "data.target=specis"], "there is no target column 'specis': did you mean 'species'?"),
        (["data=penguins", "optimizer.lrr=1"], "there is no config key 'optimizer.lrr': did you mean 'lr'?"),
        (["data=penguins", "seed=0,1"], "seed is given several values, 0,1"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(arguments: list[str], message: str, tmp_path: Path):
    said = typed(*arguments, *(["output=mine"] if "data" in arguments[0] else []))
    assert said.code == 2, said
    assert said.err.startswith(f"litmlp-best: {message}")
    assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_files_is_not_used(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    said = typed("data=penguins", "output=mine")
    assert "holds notes.txt, but no budget.json: give another output=" in said.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_only_one_process_at_a_time_works_in_a_folder(tmp_path: Path):
    from filelock import FileLock

    (tmp_path / "mine").mkdir()
    with FileLock(tmp_path / "mine/.lock"):
        said = typed("data=penguins", "output=mine")
    assert said.code == 2
    assert "is still running: stop that one first" in said.err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(command_module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install .*\[sweep\]"):
        best(["data=penguins"], 1.0, tmp_path / "mine", 1)
    assert not list(tmp_path.iterdir())


def test_the_same_command_has_the_same_folder_and_others_have_others():
    def folder(*arguments: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["litmlp-best", *arguments])
            return command_module._arguments()[2]

    assert folder("data=penguins") == folder("data=penguins", "minutes=60", "jobs=1")
    assert folder("data=penguins").parent == ROOT / "runs/best"
    names = [folder("data=penguins"), folder("data=penguins", "minutes=5"), folder("data=penguins", "seed=1")]
    assert len({*names}) == 3
    assert all(name.name.startswith("penguins-") for name in names)
    assert folder("data=some/mine.csv", "data.target=y").name.startswith("mine-")


@pytest.mark.slow
def test_runs_that_all_fail_are_told(tmp_path: Path):
    said = typed("data=penguins", *SMALL, "optimizer.lr=1e30", "hydra.sweeper.n_trials=2", "jobs=1", "output=mine")
    assert said.code == 1
    assert said.err == "litmlp-best: no run succeeded, see mine/search/results.csv\n"
    assert {row["status"] for row in rows(tmp_path / "mine/search")} == {"failed"}


@pytest.mark.slow
def test_a_run_that_fails_does_not_end_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def failing(config: dict[str, Any], folder: Path, *arguments: Any, **more: Any) -> dict[str, Any]:
        if str(folder).endswith(("search/0", "folds/1/3")):
            config = config | {"optimizer": config["optimizer"] | {"lr": 1e30}}
        return trained(config, folder, *arguments, **more)

    trained = train.train
    monkeypatch.setattr(train, "train", failing)
    said = typed("data=penguins", *SMALL, "hydra.sweeper.n_trials=3", "minutes=2", "jobs=1", "output=mine")
    assert said.code == 0, said
    assert {row["number"]: row["status"] for row in rows(tmp_path / "mine/search")}["0"] == "failed"
    assert run_folder.status_of(tmp_path / "mine/folds/1/3")["status"] == "failed"
    runs = read_yaml(tmp_path / "mine/config.yaml")["ensemble"]
    assert runs.keys() == {"mine/search/2", *(f"mine/folds/2/{fold}" for fold in range(1, 5))}


@pytest.mark.slow
def test_a_table_without_other_validation_rows_gives_a_model_of_the_search(tmp_path: Path):
    rows = pl.DataFrame(
        {"x": [i % 13 for i in range(200)], "time": range(200), "y": [i % 13 * 0.5 for i in range(200)]}
    )
    rows.write_csv("table.csv")
    table = ["data=table.csv", "data.target=y", "data.time_column=time", *SMALL, "hydra.sweeper.n_trials=2"]
    said = typed(*table, "minutes=1", "jobs=1", "output=mine")
    assert said.code == 0, said
    assert {Path(run).parent.name for run in read_yaml(tmp_path / "mine/config.yaml")["ensemble"]} == {"search"}


def begun(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "litmlp.commands.best", *arguments, f"output={folder}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def living() -> dict[int, int]:
    """The parent of each process that has not ended."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent, *_ = status.read_text().rpartition(")")[2].split()
            parents |= {int(status.parent.name): int(parent)} if state != "Z" else {}
    return parents


def descendants(pid: int) -> set[int]:
    """The processes that a process has started, and those that these have started."""
    children = {child for child, parent in living().items() if parent == pid}
    return children.union(*map(descendants, children))


def wait_for(condition: Callable[[], Any], process: subprocess.Popen | None = None) -> None:
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


def finished(folder: Path) -> dict[Path, dict[str, bytes]]:
    """The files of each run that is complete, without the record of its job, which is written later."""
    runs = {file.parent for file in folder.rglob("metrics.json") if run_folder.metrics_of(file.parent) is not None}
    return {run: {name: text for name, text in contents(run).items() if name != "job.json"} for run in runs}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a system without /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_was_stopped_goes_on(number: int, tmp_path: Path):
    folder = tmp_path / "mine"
    longer = ["trainer.max_epochs=60", "~callbacks.early_stopping", *SMALL[1:]]  # a run takes seconds
    command = ["data=penguins", *longer, "hydra.sweeper.n_trials=3", "minutes=30", "jobs=2"]
    before: dict[Path, dict[str, bytes]] = {}
    spent = 0.0
    for awaited in ("search/2/job.json", "folds/*/*/status.json"):
        process = begun(folder, *command)
        wait_for(lambda: [*folder.glob(awaited)], process)  # noqa: B023
        workers = descendants(process.pid)
        os.kill(process.pid, number)
        said, _ = process.communicate()
        assert process.returncode in (-number, 128 + number), said
        wait_for(lambda: not workers & living().keys())  # noqa: B023
        now = finished(folder)
        assert {run: now[run] for run in before} == before
        before = now
        assert spent < read_json(folder / FILE)["spent"]
        spent = read_json(folder / FILE)["spent"]
    process = begun(folder, *command)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    now = finished(folder)
    assert {run: now[run] for run in before} == before
    assert spent < read_json(folder / FILE)["spent"]
    assert len(trials(folder)) == 3
    assert not any(trial.left for trial in trials(folder))
    assert len(litmlp.load(folder).predict(PENGUINS)) == 344


@pytest.mark.slow
def test_a_minute_is_enough_for_a_model_of_houses(tmp_path: Path):
    said = typed("data=california", "minutes=1", "output=mine")
    assert said.code == 0, said
    metrics = read_json(tmp_path / "mine/metrics.json")
    bounds = read_json(tmp_path / "mine" / FILE)["bounds"]
    assert bounds["run"] < 60
    assert metrics["val/rmse"] <= min(
        run_folder.metrics_of(trial.run)["val/rmse"] for trial in trials(tmp_path / "mine")
    )
    assert metrics["test/rmse"] < 0.6  # a linear model has 0.73, the mean 1.15
