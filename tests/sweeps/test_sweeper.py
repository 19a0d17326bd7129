import itertools
import json
import shlex
import shutil
from pathlib import Path
from statistics import fmean

import pytest

from litmlp.sweeps import sweeper
from sweeping import (
    SEARCH,
    TINY,
    best,
    command,
    contents,
    metrics,
    outcomes,
    process,
    records,
    rows,
    sweep,
)

OPTUNA = SEARCH[0]
DIVERGES = ["optimizer=sgd", "optimizer.lr=1e30,1e-2", "trainer.max_epochs=2"]


def overrides(folder: Path) -> list[list[str]]:
    return [[text.removeprefix("++") for text in job["overrides"]] for job in records(folder).values()]


def test_a_grid_runs_every_combination_and_the_last_key_changes_fastest(grid: Path):
    expected = itertools.product(["optimizer.lr=0.001", "optimizer.lr=0.01"], ["seed=0", "seed=1"])
    assert overrides(grid) == [list(pair) for pair in expected]


def test_a_record_says_what_came_out(grid: Path):
    for number, job in records(grid).items():
        found = metrics(grid / str(number))
        assert (job["number"], job["status"], job["score"]) == (number, "completed", found["objective"])
        told = {name: value for name, value in found.items() if name.startswith(("val/", "test/"))}
        assert job["metrics"] == {**told, "epochs": 1, "fit_seconds": found["fit_seconds"]}
        assert job["seconds"] >= found["fit_seconds"] - 0.01


def test_results_are_the_records(grid: Path):
    found = {int(row["number"]): row for row in rows(grid)}
    assert found.keys() == records(grid).keys()
    for number, job in records(grid).items():
        row = found[number]
        assert (row["status"], float(row["score"])) == ("completed", job["score"])
        assert [f"++optimizer.lr={row['optimizer.lr']}", f"seed={row['seed']}"] == job["overrides"]
        assert {name: float(row[name]) for name in job["metrics"]} == job["metrics"]
        assert row["folder"] == str(grid / str(number))


def test_the_best_is_the_best_of_all_runs_and_its_command_repeats_it(grid: Path, tmp_path: Path):
    scores = {number: metrics(grid / str(number))["objective"] for number in records(grid)}
    found = best(grid)
    assert (found["score"], found["number"]) == min((score, number) for number, score in scores.items())
    assert Path(found["folder"]) == grid / str(found["number"])
    program, *arguments = shlex.split(found["command"])
    assert program == "litmlp-train"
    assert command(*arguments, "hydra.run.dir=again").code == 0
    again = metrics(tmp_path / "again")
    # Alone, its sums are rounded in another order than together with other runs.
    assert again["objective"] == pytest.approx(found["score"], rel=1e-5)
    assert again["test/loss"] == pytest.approx(metrics(Path(found["folder"]))["test/loss"], rel=1e-5)


@pytest.mark.parametrize("callbacks", ["default", "none"])
def test_a_job_draws_no_bar(callbacks: str, tmp_path: Path):
    said = sweep(tmp_path / "sweep", "seed=0,1", f"callbacks={callbacks}")
    assert (said.code, said.err) == (0, "")
    assert "2 jobs: 2 completed" in said.out
    assert "it/s" not in said.out
    assert "%|" not in said.out


def test_the_same_command_again_does_nothing(grid: Path):
    before = contents(grid)
    said = sweep(grid, "optimizer.lr=1e-3,1e-2", "seed=0,1")
    assert said.code == 0
    assert said.err == ""
    assert "4 of them are done" in said.out
    assert contents(grid) == before


def test_a_sweeps_folder_is_resumed_as_a_runs_is(grid: Path):
    before = contents(grid)
    said = command(f"resume={grid}")
    assert (said.code, said.err) == (0, "")
    assert contents(grid) == before


def test_another_command_is_refused_and_changes_nothing(grid: Path):
    before = contents(grid)
    said = sweep(grid, "optimizer.lr=1e-3,1e-2", "seed=0,1", "data.val_size=0.3")
    assert said.code == 2
    assert "made by another command (data.val_size differs)" in said.err
    assert contents(grid) == before


def test_what_does_not_change_results_may_change(grid: Path):
    before = contents(grid)
    assert sweep(grid, "seed=0,1", "optimizer.lr=1e-3,1e-2", "threads=2").code == 0
    after = contents(grid)
    assert b"threads=2" in after.pop("best.yaml")  # its command is the one that was typed last
    assert after == {name: content for name, content in before.items() if name != "best.yaml"}


def test_jobs_that_are_lost_are_made_again(grid: Path, tmp_path: Path):
    folder = tmp_path / "copy"
    shutil.copytree(grid, folder)
    shutil.rmtree(folder / "1")
    (folder / "results.csv").unlink()
    assert sweep(folder, "optimizer.lr=1e-3,1e-2", "seed=0,1").code == 0
    assert outcomes(folder) == outcomes(grid)
    assert sorted(row["number"] for row in rows(folder)) == ["0", "1", "2", "3"]


def test_values_may_be_configured(tmp_path: Path):
    folder = tmp_path / "sweep"
    params = "{optimizer.lr:'1e-3,1e-2',data.val_size:0.3,network.dropout:'0,0.5'}"
    said = sweep(folder, f"hydra.sweeper.params={params}", "seed=0,1", "network.dropout=0.1")
    assert said.code == 0, said
    lrs = [job["overrides"] for job in records(folder).values()]
    assert lrs == [[f"++optimizer.lr={lr}", f"seed={seed}"] for lr in ("0.001", "0.01") for seed in (0, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimizer.lr=interval(0,1)"], "optimizer.lr is an interval, which a grid cannot enumerate"),
        (["seed=range(3,3)"], "seed is an empty range"),
        ([OPTUNA, "optimizer.lr=tag(log,interval(0,1))"], "optimizer.lr is a logarithmic interval from 0.0"),
        ([OPTUNA, "optimizer.lr=interval(1,0)"], "optimizer.lr is an empty interval from 1.0 to 0.0"),
        (["optimizer.lrr=1,2"], "there is no config key 'optimizer.lrr': did you mean 'lr'?"),
        (["sed=1,2"], "there is no config key 'sed': did you mean 'seed'?"),
        (["optimizer=adam,sdg"], "optimizer has no option 'sdg': did you mean 'sgd'?"),
        (["optimizer.lr=1e-2,-1"], "optimizer.lr is -1: a learning rate is above 0"),
        (["seed=0,1", "network.dropout=0,2"], "network: litmlp.networks.MLP("),
        (["seed=0,1", "monitor=val/los"], "monitor is 'val/los'"),
        (
            ["seed=0,1", "hydra/launcher=basic", "hydra.sweeper.n_jobs=2"],
            "hydra.sweeper.n_jobs is 2, but jobs run one after another",
        ),
        (["seed=0,1", "hydra.sweeper.n_jobs=0"], "hydra.sweeper.n_jobs is 0: use a whole number from 1 up"),
        (["seed=0,1", "hydra.sweeper.on_failure=x"], "hydra.sweeper.on_failure is 'x': use continue or stop"),
        (["seed=0,1", "hydra.sweeper.retry_faild=true"], "there is no config key 'hydra.sweeper.retry_faild'"),
        (["seed=0,1", "hydra/launcher=jobib"], "hydra/launcher has no option 'jobib': did you mean 'joblib'?"),
        (["seed=0,1", "resume=nowhere"], "resume continues one run, or a sweep"),
        (
            ["seed=0,1", "trainer=ddp", "trainer.devices=2", "hydra/launcher=joblib"],
            "trainer.devices=2 would start processes inside those of hydra/launcher=joblib",
        ),
        ([OPTUNA], "nothing is searched"),
        ([OPTUNA, "seed=0,1"], "nothing is searched"),
        ([*SEARCH, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials is 0: use a whole number from 1 up"),
        ([*SEARCH, "hydra/sweeper/sampler=tp"], "hydra/sweeper/sampler has no option 'tp'"),
        pytest.param(
            [*SEARCH, "hydra.sweeper.n_trials=many"],
            "hydra.sweeper.n_trials is many",
        ),
        pytest.param(
            [*SEARCH, "hydra/sweeper/sampler=grid"],
            "optimizer.lr is an interval, which a grid cannot enumerate",
        ),
        pytest.param(
            ["seed=0,1", "hydra.sweeper.timeout=-1"],
            "hydra.sweeper.timeout is -1",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(arguments: list[str], message: str, tmp_path: Path):
    said = sweep(tmp_path / "sweep", *arguments)
    assert said.code == 2, said
    assert said.err.startswith(f"litmlp-train: {message}")
    assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_shuffled_sweep_is_gone_on_with(tmp_path: Path):
    shuffled = ["hydra.sweeper.timeout=1e-9", "seed=shuffle(range(0,9))"]
    assert sweep(tmp_path / "sweep", *shuffled).code == 0
    assert sweep(tmp_path / "sweep", *shuffled).code == 0


def test_a_failed_job_is_recorded_and_the_others_go_on(tmp_path: Path):
    folder = tmp_path / "sweep"
    said = sweep(folder, *DIVERGES)
    assert said.code == 1
    assert said.err == f"litmlp-train: 1 of 2 jobs failed, see {folder / 'results.csv'}\n"
    assert "2 jobs: 1 completed, 1 failed\n  #0 failed: the loss became nan" in said.out
    job = records(folder)[0]
    assert job["status"] == "failed"
    assert job["error"].startswith("the loss became nan in epoch 0: ")
    assert "TrainingDiverged" in job["traceback"]
    assert [(row["number"], row["status"]) for row in rows(folder)] == [("0", "failed"), ("1", "completed")]
    assert rows(folder)[0]["error"] == job["error"]
    assert best(folder)["number"] == 1

    before = contents(folder)
    again = sweep(folder, *DIVERGES)
    assert again.code == 1
    assert contents(folder) == before

    stamp = (folder / "1/job.json").stat().st_mtime_ns
    retried = sweep(folder, *DIVERGES, "hydra.sweeper.retry_failed=true")
    assert retried.code == 1
    assert json.loads((folder / "0/status.json").read_text())["status"] == "failed"
    assert contents(folder)["0/status.json"] != before["0/status.json"] or len(contents(folder)) > len(before)
    assert (folder / "1/job.json").stat().st_mtime_ns == stamp
    assert records(folder)[0]["status"] == "failed"


def test_a_failed_job_that_is_tried_again_can_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from litmlp.commands import train

    original = train.train
    folder = tmp_path / "sweep"

    def broken(config, *arguments, **options):
        if config["seed"] == 1:
            raise RuntimeError("no luck")
        return original(config, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(train, "train", broken)
        assert sweep(folder, "seed=0,1,2").code == 1
    assert [status for status, _, _ in outcomes(folder).values()] == ["completed", "failed", "completed"]
    assert records(folder)[1]["error"] == "no luck"
    assert "RuntimeError: no luck" in records(folder)[1]["traceback"]
    before = contents(folder / "0")
    assert sweep(folder, "seed=0,1,2", "hydra.sweeper.retry_failed=true").code == 0
    assert contents(folder / "0") == before
    job = records(folder)[1]
    assert (job["status"], job["score"]) == ("completed", metrics(folder / "1")["objective"])
    assert "error" not in job
    assert {row["number"]: row["status"] for row in rows(folder)} == dict.fromkeys("012", "completed")


def test_on_failure_stop_begins_no_more_and_a_second_start_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from litmlp.commands import train

    original = train.train
    folder = tmp_path / "sweep"

    def broken(config, *arguments, **options):
        if config["seed"] == 1:
            raise RuntimeError("no luck")
        return original(config, *arguments, **options)

    stop = ["seed=0,1,2", "hydra.sweeper.on_failure=stop"]
    with monkeypatch.context() as patch:
        patch.setattr(train, "train", broken)
        said = sweep(folder, *stop)
    assert said.code == 1
    assert "3 jobs: 1 completed, 1 failed, 1 not begun" in said.out
    assert [status for status, _, _ in outcomes(folder).values()] == ["completed", "failed"]
    assert sweep(folder, *stop).code == 0
    assert [status for status, _, _ in outcomes(folder).values()] == ["completed"] * 3


def test_no_job_begins_after_the_timeout(tmp_path: Path):
    folder = tmp_path / "sweep"
    said = sweep(folder, "seed=0,1", "hydra.sweeper.timeout=1e-9")
    assert said.code == 0
    assert "2 jobs: none done, 2 not begun" in said.out
    assert records(folder) == {}
    assert sweep(folder, "seed=0,1").code == 0
    assert len(records(folder)) == 2


def test_a_trial_repeats_seeds_and_its_score_is_their_mean(search: Path):
    assert list(records(search)) == [0, 1, 2]
    for number, job in records(search).items():
        runs = [metrics(search / str(number) / str(index)) for index in (0, 1)]
        assert job["score"] == fmean(run["objective"] for run in runs)
        assert job["metrics"]["test/loss"] == fmean(run["test/loss"] for run in runs)
        for seed in (0, 1):
            assert f"\nseed: {seed}\n" in (search / str(number) / str(seed) / "config.yaml").read_text()
        assert not (search / str(number) / "metrics.json").exists()
        assert [text.partition("=")[0] for text in job["overrides"]] == ["++optimizer.lr"]


def test_more_trials_leave_the_first_ones_untouched(search: Path, tmp_path: Path):
    folder = tmp_path / "copy"
    whole = sweep(tmp_path / "whole", *SEARCH, "hydra.sweeper.n_trials=4", "seed=0,1")
    assert whole.code == 0
    shutil.copytree(search, folder)
    before = {number: contents(folder / str(number)) for number in range(3)}
    said = sweep(folder, *SEARCH, "hydra.sweeper.n_trials=4", "seed=0,1")
    assert said.code == 0
    assert "4 jobs: 4 completed" in said.out
    assert {number: contents(folder / str(number)) for number in range(3)} == before
    assert outcomes(folder) == outcomes(tmp_path / "whole")


def test_fewer_trials_than_are_done_leave_all_of_them(search: Path):
    before = contents(search)
    said = sweep(search, *SEARCH, "hydra.sweeper.n_trials=2", "seed=0,1")
    assert (said.code, said.err) == (0, "")
    assert "3 jobs: 3 completed" in said.out
    assert contents(search) == before


def test_the_best_of_a_search_repeats_its_score(search: Path):
    found = best(search)
    assert found["score"] == min(job["score"] for job in records(search).values())
    arguments = shlex.split(found["command"])[1:]
    assert arguments[0] == "-m"
    assert command(*arguments, "hydra.sweep.dir=again").code == 0
    assert fmean(metrics(Path(f"again/{job}"))["objective"] for job in (0, 1)) == found["score"]


@pytest.mark.slow
def test_two_processes_share_the_jobs_of_a_sweep(tmp_path: Path):
    arguments = ["-m", *TINY, "trainer.max_epochs=20", "seed=range(0,8)", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    both = [process(*arguments) for _ in range(2)]
    for one in both:
        said, _ = one.communicate(timeout=100)
        assert one.returncode == 0, said
        assert "8 jobs: 8 completed" in said
    folder = tmp_path / "sweep"
    assert [status for status, _, _ in outcomes(folder).values()] == ["completed"] * 8
    assert sorted(row["number"] for row in rows(folder)) == list("01234567")
    for number in range(8):
        assert len(list((folder / str(number)).glob("events.out.tfevents.*"))) == 1


@pytest.mark.slow
def test_two_folders_search_together_through_a_database(tmp_path: Path):
    import optuna

    url = f"sqlite:///{tmp_path / 'study.db'}"
    arguments = ["-m", *TINY, *SEARCH, "hydra.sweeper.n_trials=6", f"hydra.sweeper.storage={url}"]
    both = [process(*arguments, f"hydra.sweep.dir={tmp_path / name}") for name in "ab"]
    for one in both:
        said, _ = one.communicate(timeout=100)
        assert one.returncode == 0, said
    found = [job for name in "ab" for job in records(tmp_path / name).values()]
    assert [job["status"] for job in found] == ["completed"] * 6
    assert len({tuple(job["overrides"]) for job in found}) == 6
    storage = optuna.storages.RDBStorage(url)
    trials = optuna.load_study(study_name=None, storage=storage).trials
    counted = [trial for trial in trials if "surplus" not in trial.user_attrs]
    assert sorted(trial.value for trial in counted) == sorted(job["score"] for job in found)
    storage.engine.dispose()


def test_each_value_is_tried_with_the_first_of_the_others():
    axes = {"a": ["1", "2"], "b": {"low": 0.5, "high": 2.0}, "c": {"choices": [True, "x"]}}
    assert sweeper.trials(axes) == [
        ["a=1", "b=0.5", "c=true"],
        ["a=2", "b=0.5", "c=true"],
        ["a=1", "b=2.0", "c=true"],
        ["a=1", "b=0.5", "c=x"],
    ]


def test_of_many_numbers_the_least_and_the_greatest_are_tried():
    assert sweeper.trials({"a": ["3", "1e-3", "2", "null"]}) == [["a=1e-3"], ["a=3"], ["a=null"]]


def test_a_search_starts_with_the_values_that_it_is_given(tmp_path: Path):
    space = ["data.batch_size=choice(32,64)", "network.dropout=interval(0,0.5)"]
    start = "hydra.sweeper.start=[{},{optimizer.lr:0.05,network.dropout:0.25},{data.batch_size:64}]"
    search = [*SEARCH, "hydra.sweeper.n_trials=4", *space, start]
    said = sweep(tmp_path / "search", *search)
    assert said.code == 0, said
    drawn = [dict(text.split("=") for text in texts) for texts in overrides(tmp_path / "search")]
    expected = {"optimizer.lr": "0.001", "data.batch_size": "32", "network.dropout": "0.0"}  # those of TINY
    assert drawn[0] == expected
    assert drawn[1] == expected | {"optimizer.lr": "0.05", "network.dropout": "0.25"}
    assert drawn[2] == expected | {"data.batch_size": "64"}
    assert drawn[3] not in drawn[:3]
    fixed = sweep(tmp_path / "fixed", *search, "optimizer.lr=0.01")  # is no longer searched
    assert fixed.code == 0, fixed
    assert overrides(tmp_path / "fixed")[1] == ["data.batch_size=32", "network.dropout=0.25"]
