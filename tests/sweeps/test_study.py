import itertools
import shutil
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from litmlp import paths
from litmlp.errors import InputError
from litmlp.files import write_json
from litmlp.sweeps import study
from litmlp.sweeps.folder import SweepFolder
from sweeping import ONE_BY_ONE, SEARCH, TINY, command, metrics, outcomes, records, sweep

SPACE: dict[str, Any] = {
    "++optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "++network.dropout": {"low": 0.0, "high": 0.5, "log": False},
    "++data.batch_size": {"low": 8, "high": 32, "step": 8},
    "optimizer": {"choices": ["adam", "sgd"]},
}
SAMPLERS = ["tpe", "random", "cmaes", "qmc"]
EXPERIMENTAL = "ignore::optuna.exceptions.ExperimentalWarning"
STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@pytest.fixture(autouse=True)
def _studies_of_its_own() -> None:
    study.open_storage.cache_clear()


def options(group: str, name: str) -> dict[str, Any]:
    with initialize_config_dir(str(paths.CONF / "hydra/sweeper" / group), version_base="1.3"):
        return OmegaConf.to_container(compose(name))


def new_study(folder: Path, sampler: str = "tpe", space: dict[str, Any] = SPACE) -> study.Study:
    description = {"space": space, "study_name": "s", "mode": "min", "sampler": options("sampler", sampler)}
    folder.mkdir(exist_ok=True)
    return study.Study(SweepFolder(folder, description | {"pruner": None, "fixed": []}), None)


def loaded(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=study.open_storage(str(folder / study.STUDY)))


def objective(params: dict[str, Any]) -> float:
    return (params["++optimizer.lr"] - 0.01) ** 2 + params["++network.dropout"]


def drawn(searched: study.Study, num: int, since: int = 0) -> list[dict[str, Any]]:
    found = []
    for number in range(since, num):
        trial = searched.ask(number, num)
        assert trial is not None
        searched.tell(trial.number, "completed", objective(trial.params))
        found.append(trial.params)
    return found


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        ({"choices": [1, 0.5, "a", True]}, CategoricalDistribution((1, 0.5, "a", True))),
        ({"low": 1, "high": 7, "step": 3}, IntDistribution(1, 7, step=3)),
        ({"low": 1, "high": 64, "log": True}, IntDistribution(1, 64, log=True)),
        ({"low": 0.0, "high": 0.75, "step": 0.25}, FloatDistribution(0, 0.75, step=0.25)),
        ({"low": 1e-4, "high": 1e-1, "log": True}, FloatDistribution(1e-4, 1e-1, log=True)),
    ],
)
def test_plain_values_are_distributions(plain: dict[str, Any], expected: Any):
    assert study.from_plain(plain) == expected


@pytest.mark.filterwarnings(EXPERIMENTAL)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_draw_inside_the_space_and_differ(sampler: str, tmp_path: Path):
    found = drawn(new_study(tmp_path / "a", sampler), 15)
    for params in found:
        assert params.keys() == SPACE.keys()
        assert 1e-4 <= params["++optimizer.lr"] <= 1e-1
        assert 0 <= params["++network.dropout"] <= 0.5
        assert params["++data.batch_size"] in (8, 16, 24, 32)
        assert params["optimizer"] in ("adam", "sgd")
    assert len({params["++optimizer.lr"] for params in found}) == 15
    assert len({params["optimizer"] for params in found}) == 2


@pytest.mark.filterwarnings(EXPERIMENTAL)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_a_job_draws_follows_from_its_number_and_the_history(sampler: str, tmp_path: Path):
    whole = drawn(new_study(tmp_path / "whole", sampler), 14)
    first = drawn(new_study(tmp_path / "stopped", sampler), 11)
    study.open_storage.cache_clear()  # as in another process
    assert [*first, *drawn(new_study(tmp_path / "stopped", sampler), 14, since=11)] == whole


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_another_seed_draws_other_values(sampler: str, tmp_path: Path):
    first = drawn(new_study(tmp_path / "a", sampler), 2)
    other = new_study(tmp_path / "b", sampler)
    other.sweep.description["sampler"]["seed"] = 43
    assert drawn(other, 2) != first


def test_logarithmic_intervals_are_drawn_from_evenly_by_magnitude(tmp_path: Path):
    found = [params["++optimizer.lr"] for params in drawn(new_study(tmp_path / "a", "random"), 60)]
    # 60 fair coins: below the geometric middle 30 times, give or take 4 standard deviations
    assert abs(sum(lr < 10**-2.5 for lr in found) - 30) < 4 * 60**0.5 / 2


@pytest.mark.filterwarnings(EXPERIMENTAL)
def test_the_grid_sampler_draws_all_combinations_in_order(tmp_path: Path):
    space = {
        "a": {"choices": ["x", "y"]},
        "b": {"low": 1, "high": 5, "step": 2},
        "c": {"low": 0.0, "high": 0.5, "step": 0.5},
    }
    searched = new_study(tmp_path / "a", "grid", space)
    found = [searched.ask(number, 12).params for number in range(12)]
    expected = itertools.product(["x", "y"], [1, 3, 5], [0.0, 0.5])
    assert [tuple(params.values()) for params in found] == list(expected)


@pytest.mark.parametrize("plain", [{"low": 0.0, "high": 1.0, "log": False}, {"low": 1, "high": 9, "log": True}])
def test_the_grid_sampler_refuses_what_has_no_end(plain: dict[str, Any]):
    with pytest.raises(InputError, match=r"^optimizer.lr is an interval, which a grid cannot enumerate"):
        study.grid({"++optimizer.lr": study.from_plain(plain)})


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, "true"), (1e-05, "1e-05"), (0.1 + 0.2, "0.30000000000000004"), (8, "8"), ("[4]", "[4]")],
)
def test_drawn_values_are_typed_to_the_digit(value: Any, expected: str):
    assert study.text(value) == expected


def test_a_job_that_was_killed_before_its_record_finds_its_trial_again(tmp_path: Path):
    searched = new_study(tmp_path / "a")
    killed = searched.ask(0, 5)
    trial = searched.ask(0, 5)
    assert killed is not None
    assert trial is not None
    assert (trial.number, trial.params) == (killed.number, killed.params)
    following = searched.ask(1, 5)
    assert following is not None
    assert following.number == 1


def test_a_trial_that_had_only_some_values_is_given_up(tmp_path: Path):
    searched = new_study(tmp_path / "a")
    half = searched.study.ask({"++optimizer.lr": searched.space["++optimizer.lr"]})
    half.set_user_attr("folder", str(searched.sweep.job(0)))
    trial = searched.ask(0, 5)
    assert trial is not None
    assert trial.number != half.number
    assert trial.params.keys() == SPACE.keys()
    assert searched.study.trials[half.number].state is TrialState.FAIL
    assert searched.num_trials() == 1


def test_a_job_that_was_killed_before_it_had_any_value_takes_its_trial(tmp_path: Path):
    searched = new_study(tmp_path / "a")
    searched.study.enqueue_trial({}, user_attrs={"folder": str(searched.sweep.job(0))})
    numbers = [trial.number for trial in map(searched.ask, range(3), [5] * 3) if trial is not None]
    assert numbers == [0, 1, 2]
    assert searched.num_trials() == 3


def test_a_trial_counts_for_other_machines_before_its_values_are_drawn(tmp_path: Path):
    """Two machines ask for the last trial, and the one that is first looks last."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    first, second = (study.Study(new_study(tmp_path / name).sweep, url) for name in ("first", "second"))
    asked_meanwhile = []

    class Slow(optuna.samplers.RandomSampler):
        def before_trial(self, *_: Any) -> None:
            asked_meanwhile.append(second.ask(0, 1))

    first.study.sampler = Slow()
    assert first._new_trial(0).number == 0
    assert asked_meanwhile == [None]
    assert first.num_trials() == 1


def test_jobs_of_a_group_share_those_values_that_give_shapes(tmp_path: Path):
    space = {
        "++network.hidden_sizes": {"choices": [f"[{width}]" for width in range(1, 100)]},
        "++optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    }
    searched = new_study(tmp_path, "random", space)
    searched.sweep.description["members"] = 3

    def ask(number: int) -> dict[str, Any]:
        trial = searched.ask(number, 9)
        assert trial is not None
        if not searched.values_of_group(number) and number >= 3:
            searched.share(trial.number)  # as a run does that can be trained with others
        return trial.params

    drawn = [ask(number) for number in range(9)]
    sizes = [params["++network.hidden_sizes"] for params in drawn]
    assert len({*sizes[:3]}) == 3  # nobody shares
    assert [len({*sizes[start : start + 3]}) for start in (3, 6)] == [1, 1]
    assert sizes[3] != sizes[6]
    assert len({params["++optimizer.lr"] for params in drawn}) == 9


def test_an_end_is_told_once(tmp_path: Path):
    searched = new_study(tmp_path / "a")
    trial = searched.ask(0, 5)
    assert trial is not None
    for score in (1.0, 2.0):
        searched.tell(trial.number, "completed", score)
    assert [(one.state, one.value) for one in searched.study.trials] == [(TrialState.COMPLETE, 1.0)]


def test_a_trial_that_failed_and_was_run_again_counts_anew(tmp_path: Path):
    searched = new_study(tmp_path / "a")
    trial = searched.ask(0, 5)
    assert trial is not None
    searched.tell(trial.number, "failed", None)
    searched.tell(trial.number, "completed", 1.0)
    assert [(one.state, one.value) for one in searched.study.trials] == [
        (TrialState.FAIL, None),
        (TrialState.COMPLETE, 1.0),
    ]
    assert searched.study.trials[1].params == trial.params


def test_a_line_that_was_cut_short_is_removed_and_the_search_goes_on(tmp_path: Path):
    whole = [*SEARCH, "hydra.sweeper.n_trials=4"]
    assert sweep(tmp_path / "whole", *whole).code == 0
    folder = tmp_path / "sweep"
    assert sweep(folder, *SEARCH, "hydra.sweeper.n_trials=2").code == 0
    lines = (folder / "study.log").read_bytes()
    (folder / "study.log").write_bytes(lines + b'{"op_code": 4, "worker_id": "ab')
    study.open_storage.cache_clear()
    assert sweep(folder, *whole).code == 0
    assert (folder / "study.log").read_bytes().startswith(lines + b"{")
    assert outcomes(folder) == outcomes(tmp_path / "whole")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search in which hopeless runs were ended, and one diverged."""
    folder = tmp_path_factory.mktemp("sweeps") / "pruned"
    arguments = [
        *(
            ONE_BY_ONE,
            SEARCH[0],
            "hydra/sweeper/sampler=grid",
            "optimizer=sgd",
            "trainer.max_epochs=6",
            "scheduler=none",
        ),
        *("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=2"),
        *("hydra.sweeper.pruner.n_warmup_steps=1", "optimizer.lr=1e-2,2e-2,1e-9,1e30"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        said = sweep(folder, *arguments)
    assert said.code == 1, said
    assert "4 jobs: 2 completed, 1 pruned, 1 failed" in said.out
    return folder


def test_a_hopeless_run_is_ended_early_and_its_folder_is_complete(pruned: Path):
    assert [status for status, _, _ in outcomes(pruned).values()] == ["completed", "completed", "pruned", "failed"]
    assert metrics(pruned / "0")["epochs"] == 6
    assert metrics(pruned / "2")["epochs"] == 2
    assert records(pruned)[2]["score"] == metrics(pruned / "2")["objective"]
    assert '"completed"' in (pruned / "2/status.json").read_text()
    assert (pruned / "2/checkpoints/best.ckpt").is_file()


def test_the_study_agrees_with_the_records(pruned: Path):
    trials = loaded(pruned).trials
    assert len(trials) == 4
    for number, job in records(pruned).items():
        trial = trials[job["trial"]]
        assert trial.state is STATES[job["status"]]
        assert trial.user_attrs["folder"] == str(pruned / str(number))
        assert [f"{key}={study.text(value)}" for key, value in trial.params.items()] == job["overrides"]
        if job["status"] == "completed":
            assert trial.value == job["score"]
            assert list(trial.intermediate_values) == list(range(6))


def running_again(folder: Path, number: int) -> None:
    """Take the end of a job off the record, as if it had been killed after its run was complete."""
    kept = {key: records(folder)[number][key] for key in ("number", "overrides", "trial")}
    write_json(folder / f"{number}/job.json", kept | {"status": "running"})


def test_a_job_that_was_killed_once_its_pruned_run_was_complete_is_pruned(pruned: Path, tmp_path: Path):
    shutil.copytree(pruned, tmp_path / "sweep")
    running_again(tmp_path / "sweep", 2)
    assert command("resume=sweep").code == 1  # as before, for one job diverged
    assert outcomes(tmp_path / "sweep") == outcomes(pruned)


def test_a_run_before_the_pruned_one_of_a_job_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of two repeats the second is ended in its first epoch, whose number is then 3."""
    monkeypatch.setattr(optuna.pruners.MedianPruner, "prune", lambda self, study, trial: trial.last_step >= 3)
    folder, pruner = tmp_path / "sweep", "hydra/sweeper/pruner=median"
    said = sweep(folder, *SEARCH, "hydra.sweeper.n_trials=1", pruner, "seed=0,1", "trainer.max_epochs=3")
    assert said.code == 0, said
    expected = outcomes(folder)
    assert expected[0][0] == "pruned"
    assert [metrics(folder / f"0/{index}")["epochs"] for index in (0, 1)] == [3, 1]
    running_again(folder, 0)
    command(f"resume={folder}")
    assert outcomes(folder) == expected


def test_epochs_of_repeats_are_counted_on(tmp_path: Path):
    folder = tmp_path / "sweep"
    said = sweep(
        folder, *SEARCH, "hydra.sweeper.n_trials=1", "hydra/sweeper/pruner=median", "seed=0,1", "trainer.max_epochs=3"
    )
    assert said.code == 0, said
    (trial,) = loaded(folder).trials
    assert list(trial.intermediate_values) == list(range(6))


def test_a_moved_folder_is_gone_on_with(search: Path, tmp_path: Path):
    shutil.copytree(search, tmp_path / "moved")
    assert command("-m", *TINY, *SEARCH, "seed=0,1", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=moved").code == 0
    assert [one.state for one in loaded(tmp_path / "moved").trials] == [TrialState.COMPLETE] * 4


@pytest.mark.parametrize("sampler", ["qmc", "grid"])
def test_no_sampler_of_ours_warns(sampler: str):
    study.make_sampler(options("sampler", sampler), {"x": study.from_plain({"low": 1, "high": 3, "step": 1})}, [0, 0])


def test_a_database_that_cannot_be_opened_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(study.time, "sleep", lambda seconds: None)
    with pytest.raises(InputError, match=r"hydra.sweeper.storage=foo://x cannot be opened \(.*\): check it"):
        study.open_storage("foo://x")


UNFINISHED = '{"op_code": 5, "worker_id": "", "trial_id": 0, "distribution": "{}"}'  # Optuna passes over it at the end
DAMAGE = [(line, is_last) for line in ("no journal", '{"op_code": 5}', "[1]", "\xff") for is_last in (False, True)]


@pytest.mark.parametrize(("line", "is_last"), [*DAMAGE, (UNFINISHED, False)])
def test_a_damaged_study_is_one_sentence(line: str, is_last: bool, tmp_path: Path):
    drawn(new_study(tmp_path), 2)
    file = tmp_path / study.STUDY
    lines = file.read_bytes().splitlines()
    lines.insert(len(lines) if is_last else 3, line.encode("latin-1"))
    file.write_bytes(b"\n".join(lines) + b"\n")
    study.open_storage.cache_clear()
    with pytest.raises(InputError, match=r"study\.log' is damaged, so the search cannot go on: choose another"):
        drawn(new_study(tmp_path), 3, since=2)


def test_a_job_that_lost_its_record_goes_on_with_its_trial(tmp_path: Path):
    first = new_study(tmp_path).ask(0, 3)
    again = new_study(tmp_path).ask(0, 3)
    assert first is not None
    assert again is not None
    assert (again.number, again.params) == (first.number, first.params)
