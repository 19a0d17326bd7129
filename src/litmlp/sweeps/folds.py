"""Trains the best settings of a search once more, on its other validation rows, as long as there is time."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from litmlp import machine, process, run_folder
from litmlp.files import read_yaml
from litmlp.sweeps.folder import SweepFolder

SEARCH, FOLDS = "search", "folds"  # folders in that of the command
NUM_FOLDS = 5  # the disjoint sets of validation rows of which each settings have a run
VAL_ROWS, MIN_VAL_SIZE = 1000, 0.05  # validation rows that suffice to compare runs, and the smallest fraction of them
MARGIN = 1.1  # by which a run may take longer than the one before it with the same settings


class Trial(NamedTuple):
    """Settings that the search has tried.

    Attributes:
        run: the folder of the run that the search made.
        seconds: which that run took.
        folds: the folders of the runs with other validation rows, by the number of these.
    """

    run: Path
    seconds: float
    folds: dict[int, Path]

    @property
    def runs(self) -> list[Path]:
        """The folders of all runs."""
        return [self.run, *self.folds.values()]

    @property
    def left(self) -> dict[int, Path]:
        """The folds that were not trained yet."""
        return {fold: run for fold, run in self.folds.items() if run_folder.metrics_of(run) is None}

    @property
    def has_failed(self) -> bool:
        """Whether a fold failed."""
        return any(run_folder.status_of(run).get("status") == "failed" for run in self.folds.values())


def trials(folder: Path) -> list[Trial]:
    """Return what the search in a command's folder has completed, the best first."""
    search, folds = folder / SEARCH, folder / FOLDS
    if not (search / "sweep.yaml").is_file():
        return []
    sweep = SweepFolder(search, read_yaml(search / "sweep.yaml"))
    records = [sweep.record(number) for number in sweep.numbers()]
    done = [record for record in records if record.get("status") == "completed"]
    sign = 1 if sweep.description["mode"] == "min" else -1
    return [
        Trial(
            search / str(record["number"]),
            max(record["seconds"], record["metrics"]["fit_seconds"]),  # a run that was resumed has the second of all
            {fold: folds / str(record["number"]) / str(fold) for fold in range(1, NUM_FOLDS)},
        )
        for record in sorted(done, key=lambda record: sign * record["score"])
        if run_folder.best_checkpoint(search / str(record["number"]))
    ]


def rounds(num_jobs: int) -> int:
    """Return how many times in succession as many folds as run at the same time must be trained for one trial."""
    return math.ceil((NUM_FOLDS - 1) / num_jobs)


def val_size(rows: Mapping[str, int]) -> float:
    """Return the fraction of the rows for validation, which is smaller for a large table, so that more are learned.

    Args:
        rows: the number of rows of each split with the usual fraction, which is the largest one.
    """
    num_rows = sum(rows.values())
    return round(min(rows["val"] / num_rows, max(MIN_VAL_SIZE, VAL_ROWS / num_rows)), 3)


def affordable(ranked: Sequence[Trial], seconds: float, num_jobs: int) -> list[Trial]:
    """Return the best trials all of whose missing folds can be trained in these seconds, so many at a time."""
    chosen, work = [], 0.0
    for trial in ranked:
        more = len(trial.left) * trial.seconds * MARGIN
        if more and not trial.has_failed and work + more <= num_jobs * seconds and trial.seconds * MARGIN <= seconds:
            chosen.append(trial)
            work += more
    return chosen


def train_folds(chosen: Sequence[Trial], seconds: float, num_jobs: int) -> Iterator[Path]:
    """Train the missing folds of trials, and yield the folder of each that was trained; none begins after `seconds`."""
    from joblib import Parallel, delayed

    runs = [(trial.run, fold, folder) for trial in chosen for fold, folder in trial.left.items()]
    # With these settings, which are those of Hydra's launcher, the processes of the search are used again.
    alike: dict[str, Any] = {"prefer": "processes", "max_nbytes": None}
    parallel = Parallel(num_jobs, return_as="generator_unordered", batch_size=1, **alike)
    deadline, parent = time.time() + seconds, os.getpid()
    for folder in parallel(delayed(_train)(*run, num_jobs, deadline, parent) for run in runs):
        if folder is not None:
            yield folder


def _train(tried: Path, fold: int, folder: Path, num_jobs: int, deadline: float, parent: int) -> Path | None:
    process.end_with(parent)
    machine.divide(num_jobs, folder.parents[1])
    if time.time() > deadline:
        return None
    from litmlp.commands.train import train

    config: dict[str, Any] = read_yaml(tried / run_folder.CONFIG)
    try:
        train(config | {"data": config["data"] | {"val_fold": fold}}, folder, resume=True, columns=())
    except run_folder.Busy:  # by a process whose command was killed, and which ends soon
        time.sleep(1)
    except Exception:  # the run's status holds the error, and the others go on
        return folder
    return folder
