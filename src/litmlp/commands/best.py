"""Go the whole way from a table to one model in a given time: search settings, train folds of the best, average them.

The folder of the command holds the model like that of a run, and all runs in `search` and `folds`. All of it can be
stopped at any moment: the same command goes on.
"""

if __name__ == "__main__":  # first of all: a signal or an error during the imports below must end in one sentence, too
    from litmlp import entry_points

    entry_points.best()

import argparse
import math
import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from litmlp import api, cli, folders, machine, paths, process, run_folder, top_level_keys
from litmlp.commands.train import cell, sweep
from litmlp.errors import InputError, Interrupted, JobsFailed, did_you_mean, install, shown
from litmlp.files import read_json
from litmlp.paths import display
from litmlp.sweeps.budget import FILE, SECONDS_TO_START, Budget
from litmlp.sweeps.folder import SweepFolder, identity
from litmlp.sweeps.folds import FOLDS, SEARCH, Trial, affordable, rounds, train_folds, trials, val_size
from litmlp.sweeps.progress import duration

KEYS = {"minutes": "60", "jobs": "", "output": ""}  # of this command; all other arguments are overrides of its runs
MIN_MINUTES = 0.5
MAX_JOBS = 4  # at the same time, unless more are asked for: one for each fold
SECONDS_PER_TRIAL, MAX_TRIALS = 5.0, 100  # more of them would choose by chance
CHOSEN = ("data.val_fold", "resume", "hydra.run.dir", "hydra.sweep.dir")  # keys that this command sets itself
VAL_SIZE = "val_size"  # the key of data that is chosen by the number of rows, unless it is given
ENSEMBLE = "ensemble"  # what the model's folder is called until its files are moved to that of the command


def best(overrides: Sequence[str], minutes: float, folder: Path, num_jobs: int) -> dict[str, Any]:
    """Search, train folds and write the model, or go on with what the folder holds; return the model's metrics.

    Validation rows choose settings and members. Test rows choose nothing.

    Args:
        overrides: as for a run.
        minutes: that all of it may take, with those of earlier calls that were stopped.
        folder: for all that is written.
        num_jobs: the number of runs at the same time.

    Raises:
        InputError: something given cannot be used.
        JobsFailed: no run succeeded.
    """
    check_extra()
    check_folder(folder)
    with run_folder.claimed(folder):
        try:
            budget = Budget(folder, 60 * minutes, list(overrides))
            if run_folder.metrics_of(folder) is not None:
                print("this is finished: give more minutes=, or another output=, to begin anew")
            else:
                with budget:
                    bound(budget, num_jobs)
                    average(trained(budget, folder, num_jobs), folder)
        except InputError:
            discard(folder)
            raise
    return read_json(folder / run_folder.METRICS)


def bound(budget: Budget, num_jobs: int) -> None:
    """Decide how long each run may be, and how many rows are for validation, unless this was decided before.

    Raises:
        InputError: runs cannot be trained.
    """
    if budget.bounds is not None:
        return
    config = api.compose(*searching(budget.overrides))
    from litmlp.config_check import arguments_of
    from litmlp.sweeps.pilot import pilot

    os.environ["OMP_NUM_THREADS"] = str(max(1, machine.cores() // num_jobs))  # as each of the runs will have
    measured, chosen = pilot(config), []
    if VAL_SIZE not in config["data"] and VAL_SIZE in arguments_of(resolve_name(config["data"]["_target_"]))[0]:
        num_rows, size = sum(measured.rows.values()), val_size(measured.rows)
        if size * num_rows < measured.rows["val"]:
            print(f"runs have data.{VAL_SIZE}={size}, since the table has {num_rows:,} rows", flush=True)
            measured, chosen = measured.with_val_size(size), [f"+data.{VAL_SIZE}={size}"]
    bounds = budget.bound(measured.seconds, measured.steps, config["trainer"].get("max_epochs"), num_jobs)
    budget.bounds = bounds._replace(overrides=[*chosen, *bounds.overrides])
    budget.write()


def trained(budget: Budget, folder: Path, num_jobs: int) -> list[Trial]:
    """Search, and train folds of the best settings; return the trials whose runs are candidates for the ensemble."""
    if not (folder / FOLDS).exists():
        search(budget, folder, num_jobs, budget.search_seconds(rounds(num_jobs)))
    while chosen := affordable(trials(folder), budget.left, num_jobs):
        names = ", ".join(f"#{trial.run.name}" for trial in chosen)
        print(f"\nother validation rows for {names}, {duration(budget.left)} left for all", flush=True)
        for run in train_folds(chosen, budget.left, num_jobs):
            score = cell((run_folder.metrics_of(run) or {}).get("objective")).strip()
            print(f"{display(run)}  {score}  {duration(max(0.0, budget.left))} left", flush=True)
    if complete := [trial for trial in trials(folder) if not trial.left]:
        return complete
    search(budget, folder, num_jobs, budget.left - max((trial.seconds for trial in trials(folder)), default=0.0))
    if not trials(folder):
        raise JobsFailed(f"no run succeeded, see {display(folder / 'search/results.csv')}")
    return [trial._replace(folds={}) for trial in trials(folder)]


def search(budget: Budget, folder: Path, num_jobs: int, seconds: float) -> None:
    """Search for so many seconds; if nothing was completed yet, for long enough that runs begin."""
    assert budget.bounds is not None
    seconds = seconds if trials(folder) else max(seconds, SECONDS_TO_START)
    if seconds <= 0:
        return
    num_trials = min(MAX_TRIALS, max(num_jobs, int(budget.seconds / SECONDS_PER_TRIAL)))
    # Runs that are trained together end together, maybe long after the time is over.
    at_once = ["hydra/launcher=basic"]
    if num_jobs > 1:
        at_once = ["hydra/launcher=joblib", f"hydra.sweeper.n_jobs={num_jobs}"]
    bounded = [f"hydra.sweeper.timeout={seconds:.1f}", f"hydra.sweeper.n_trials={num_trials}"]
    print(f"\nsearch: runs begin for {duration(seconds)}, {duration(max(0.0, budget.left))} left for all", flush=True)
    place = str(folder / SEARCH).replace("'", "\\'")
    try:
        sweep(
            *searching([*at_once, *bounded, *budget.bounds.overrides, *budget.overrides]), f"hydra.sweep.dir='{place}'"
        )
    except JobsFailed:  # other jobs may have succeeded
        if not SweepFolder(folder, {}).has_room():
            raise


def searching(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a search; the space that is searched may be among those given."""
    space = [] if any(override.startswith("sweep=") for override in overrides) else ["sweep=best"]
    return [*space, *overrides, "data.val_fold=0"]


def average(candidates: Sequence[Trial], folder: Path) -> None:
    """Write the model that averages the best of the candidates' runs to the folder."""
    from litmlp.commands.ensemble import ensemble

    model = folder / ENSEMBLE
    if run_folder.status_of(model).get("status") != "completed":
        for left in (model, *folder.glob(f".{ENSEMBLE}.*")):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        ensemble([run for trial in candidates for run in trial.runs], output=model)
    # The status comes last: until it is there, the next call goes on with what is left to be moved.
    for path in sorted(model.iterdir(), key=lambda path: path.name == run_folder.STATUS):
        if path.name != run_folder.LOCK:
            path.rename(folder / path.name)
    shutil.rmtree(model)


def check_extra() -> None:
    """Raise InputError if the packages that search are not installed."""
    if not all(map(find_spec, ("optuna", "joblib"))):
        raise InputError(f"a search needs Optuna and joblib: {install('sweep')}")


def check_folder(folder: Path) -> None:
    """Raise InputError if a folder holds anything but the work of this command."""
    names = {path.name for path in folder.iterdir()} - {run_folder.LOCK} if folder.is_dir() else set()
    if names and FILE not in names:
        raise InputError(f"'{display(folder)}' holds {min(names)}, but no {FILE}: give another output=")


def discard(folder: Path) -> None:
    """Remove the folder of a command that could not be used, if this process made it and no run has begun."""
    if not (folder / SEARCH).exists():
        for name in (FILE, run_folder.LOCK):
            (folder / name).unlink(missing_ok=True)
        folders.remove(folder)


def summary(model: dict[str, Any], single: dict[str, Any]) -> str:
    """Return the metrics of the model and of the best single run as a table of text."""
    names = [name.removeprefix("val/") for name in model if name.startswith("val/")]
    width = max(map(len, names))
    columns = [(metrics, split) for metrics in (model, single) for split in ("val", "test")]
    rows = [[name, *(cell(metrics.get(f"{split}/{name}")) for metrics, split in columns)] for name in names]
    heads = [["", "ensemble", "", "best run", ""], ["", *(split for _, split in columns)]]
    lines = [f"{name:{width}}" + "".join(f"  {text:>10}" for text in texts) for name, *texts in [*heads, *rows]]
    return "\n".join(["", *lines, ""])


def main() -> None:
    """Run the command `litmlp-best`."""
    with process.guarded("litmlp-best"), cli.in_sentences():
        overrides, minutes, folder, num_jobs = _arguments()
        try:
            metrics = best(overrides, minutes, folder, num_jobs)
        except (Interrupted, KeyboardInterrupt):
            print("stopped: type the same command again to go on")
            raise
        run = trials(folder)[0].run
        print(summary(metrics, run_folder.metrics_of(run) or {}))
        print(f"best run: {display(run)}")
        print(display(folder))


def _arguments() -> tuple[list[str], float, Path, int]:
    parser = argparse.ArgumentParser(prog="litmlp-best", description=__doc__)
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="key=value",
        help="data=<an option or a table's file>, for a file also data.target=<column>; minutes=60, for all of it; "
        f"jobs=<runs at the same time, by default the number of cores, at most {MAX_JOBS}>; output=<folder>; and any "
        "override of litmlp-train",
    )
    given = parser.parse_args().arguments
    own = KEYS | dict(text.split("=", 1) for text in given if text.partition("=")[0] in KEYS)
    overrides = [part for text in given if text.partition("=")[0] not in KEYS for part in _with_table(text)]
    for key in (text.partition("=")[0] for text in overrides):
        if key in CHOSEN:
            raise InputError(f"{key} is chosen by this command: leave it out")
        if key.isidentifier() and key not in top_level_keys.KEYS and not (paths.CONF / key).is_dir():
            raise InputError(f"there is no key '{key}': {did_you_mean(key, [*KEYS, *top_level_keys.KEYS])}")
    minutes, num_jobs = _minutes(own["minutes"]), _num_jobs(own["jobs"])
    folder = paths.expanded(own["output"]) if own["output"] else _default_folder(overrides, minutes)
    return overrides, minutes, folder.absolute(), num_jobs


def _with_table(override: str) -> list[str]:
    """Return an override, or two for a table's file in the place of an option of `data`."""
    key, _, value = override.partition("=")
    is_option = (paths.CONF / "data" / f"{value}.yaml").is_file()
    is_file = key == "data" and not is_option and (Path(value).suffix or Path(value).exists())
    return ["data=table", f"data.path={value}"] if is_file else [override]


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not MIN_MINUTES <= minutes < math.inf:
        raise InputError(f"minutes is {shown(text)}: give a number from {MIN_MINUTES} up, for starting takes seconds")
    return minutes


def _num_jobs(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise InputError(f"jobs is {shown(text)}: give a whole number from 1 up")
    return int(text) if text else min(MAX_JOBS, machine.cores())


def _default_folder(overrides: Sequence[str], minutes: float) -> Path:
    given = dict(text.split("=", 1) for text in overrides if "=" in text)
    name = given["data"] if given.get("data", "table") != "table" else Path(given.get("data.path", "")).stem
    return paths.runs() / "best" / f"{name or 'default'}-{identity({'overrides': overrides, 'minutes': minutes})}"
