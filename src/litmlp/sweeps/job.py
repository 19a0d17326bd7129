"""One job of a sweep. The launcher decides in which process and on which machine it runs."""

import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from litmlp import cli, machine, process, run_folder
from litmlp.errors import InputError, no_room
from litmlp.files import read_yaml
from litmlp.populations import keys
from litmlp.sweeps.folder import Row, SweepFolder
from litmlp.trust import check_config

if TYPE_CHECKING:
    import lightning.pytorch as L

    from litmlp.callbacks import Pruning
    from litmlp.sweeps.study import Study
    from litmlp.sweeps.workers import Workers

FEWEST = 16  # jobs of a part of a sweep; with fewer, a step of several runs costs nearly as much as their own steps


@dataclass
class Job:
    """What a launcher calls for each job. It writes a record before and after training, so that it can be repeated.

    Attributes:
        sweep: the sweep's folder.
        loader: the config loader that composes the job's config.
        master: the config of the sweep's command.
        side_by_side: the number of jobs that use this machine at the same time.
        num_trials: the number of trials that a search wants; None for a grid.
        storage: the URL of the database that holds the study; None if the study is a file in the sweep's folder.
        deadline: the time after which no job begins, in seconds since 1970.
        stops_on_failure: whether no job begins after another one has failed.
        members: the number of runs that are trained together at most; `auto` for as many as pay and fit.
        together: the numbers of the jobs that one launched job stands for, by the first of them; absent for itself.
        processes: the number of processes, with this one, that train the jobs that were launched as one, at most.
        workers: the other ones, while there are any.
        parent: the process with which the job's own process ends; None if it goes on without the sweep's command.
    """

    sweep: SweepFolder
    loader: Any
    master: DictConfig
    side_by_side: int = 1
    num_trials: int | None = None
    storage: str | None = None
    deadline: float = math.inf
    stops_on_failure: bool = False
    members: int | str = 1
    together: Mapping[int, Sequence[int]] = field(default_factory=dict)
    processes: int = 1
    workers: "Workers | None" = None
    parent: int | None = None

    def __call__(self, config: DictConfig) -> None:
        """Run the job whose folder Hydra made, unless the job is done or another process runs it."""
        del config  # lacks the values of this job: they are known only once its record is read or its trial is drawn
        if self.parent is not None:
            process.end_with(self.parent)
        number = int(HydraConfig.get().sweep.subdir)
        numbers = self.together.get(number, [number])
        if self.processes == 1 or len(numbers) == 1:
            self.train(numbers)
            return
        from litmlp.sweeps.workers import Workers

        self.workers = Workers(self, self.chunks(numbers, self.processes), min(self.processes, len(numbers)))
        try:
            self.workers.run()
        finally:
            self.workers = None

    def train(self, numbers: Sequence[int], share: Callable[[], None] = lambda: None) -> None:
        """Train the runs of jobs together, as far as they can be.

        Args:
            numbers: of the jobs.
            share: is called if they are trained one by one, so that other processes may take some of them.
        """
        try:
            if len(numbers) == 1:
                self.run(numbers[0])
                return
            from litmlp.populations.together import Work, train_together

            train_together([Work(partial(self.run, one), self.shape(one)) for one in numbers], self.members, share)
        finally:
            self.sweep.flush()

    def chunks(self, numbers: Sequence[int], processes: int, fewest: int = FEWEST) -> list[list[int]]:
        """Return jobs in parts that several processes train, each with jobs that can be trained together.

        Args:
            numbers: of the jobs.
            processes: the number of processes.
            fewest: jobs of a part, if there are as many that can be trained together.
        """
        size = keys.MOST if self.members == "auto" else int(self.members)
        size = min(size, max(fewest, -(-len(numbers) // processes)))
        alike: dict[Any, list[int]] = {}
        for number in numbers:
            alike.setdefault(self.shape(number), []).append(number)
        return [some[start : start + size] for some in alike.values() for start in range(0, len(some), size)]

    def shape(self, number: int) -> Any:
        """Return what tells jobs apart that can hardly be trained together."""
        if self.num_trials is not None:
            return number // self.sweep.group_size
        return keys.shaping(grid_overrides(self.sweep.description["space"], number))

    def run(self, number: int) -> None:
        """Run a job unless it is done, or another process runs it."""
        if not self._may_begin():
            return
        machine.divide(self.side_by_side, self.sweep.path)
        try:
            with run_folder.claimed(self.sweep.job(number)):
                if not self.sweep.is_done(number):  # asked under the claim: another process may just have ended it
                    self._execute(number)
        except run_folder.Busy:
            return

    def _may_begin(self) -> bool:
        if time.time() > self.deadline or not self.sweep.has_room():
            return False
        return not (self.stops_on_failure and any(row["status"] == "failed" for row in self.sweep.rows()))

    def _execute(self, number: int) -> None:
        study = self._study()
        record = self._started(number, study)
        if record is None:
            return
        self.sweep.write(record)  # before training: a job that is killed continues with the same values and trial
        from litmlp.populations.baton import seconds

        started = seconds()
        try:
            results, is_pruned = self._train(number, record, study)
            outcome = {"status": "pruned" if is_pruned else "completed", **_mean(results)}
        except Exception as error:
            if (stop := cli.interruption(error)) is not None:
                raise stop from error
            if not self.sweep.has_room():
                return  # the full disk stopped the job, which has not failed: it continues when there is room
            if no_room(error) is not None:
                raise
            outcome = {"status": "failed", "error": cli.sentence(error), "traceback": traceback.format_exc()}
        self._finish(record | outcome | {"seconds": round(seconds() - started, 2)}, study)

    def fail(self, number: int, reason: str) -> None:
        """Record that a job failed whose own process died before it could record this."""
        outcome = {"status": "failed", "error": reason, "traceback": None, "seconds": 0.0}
        self._finish(self.sweep.record(number) | outcome, self._study())

    def _finish(self, record: Row, study: "Study | None") -> None:
        # The study comes first. A job that is killed in between is still recorded as running: it runs again, and tells
        # the study again, which changes nothing. In the other order the study would never know how the trial ended.
        if study is not None:
            study.tell(record["trial"], record["status"], record.get("score"))
        self.sweep.finish(record)

    def _started(self, number: int, study: "Study | None") -> Row | None:
        """Return the record of a job that starts, with its overrides; None if the search needs no more trials."""
        stored = self.sweep.record(number)
        if stored:
            kept = {key: stored[key] for key in ("number", "overrides", "trial") if key in stored}
            return kept | {"status": "running"}
        new = {"number": number, "status": "running"}
        if study is None:
            return new | {"overrides": grid_overrides(self.sweep.description["space"], number)}
        from litmlp.sweeps.study import overrides

        assert self.num_trials is not None
        trial = study.ask(number, self.num_trials)
        if trial is None:
            return None
        return new | {"overrides": overrides(trial.params, study.space), "trial": trial.number}

    def _train(self, number: int, record: Row, study: "Study | None") -> tuple[list[Row], bool]:
        """Train once, or once for each combination of seeds and folds; return the metrics, and whether it was pruned.

        A run that is already complete is not trained again: only its metrics are read.
        """
        from litmlp.commands.train import train

        results = []
        for index, (folder, repeat) in enumerate(self._repeats(number)):
            metrics, pruning = run_folder.metrics_of(folder), None
            if metrics is None or (study is not None and self.sweep.description["pruner"] is not None):
                has_config = run_folder.has_config(folder)
                config = self._stored(folder) if has_config else self._composed([*record["overrides"], *repeat])
                pruning = self._pruning(record, study, config, index)
            if metrics is None:
                callbacks: list[L.Callback] = [pruning] if pruning else []
                callbacks += self._beginning(number, record, study)
                columns = self.sweep.description["columns"]
                metrics = train(config, folder, resume=True, callbacks=callbacks, columns=columns)
            results.append(metrics)
            if pruning is not None and pruning.has_ended(metrics["epochs"]):
                return results, True
        return results, False

    def _stored(self, folder: Path) -> dict[str, Any]:
        """Return the config of a stopped run; raise InputError if it names a class that the user must confirm first."""
        file = folder / run_folder.CONFIG
        config, overrides = read_yaml(file), (*self.sweep.description["fixed"], *self.sweep.description["space"])
        check_config(config, file, [override.partition("=")[0].lstrip("+~") for override in overrides])
        return config

    def _repeats(self, number: int) -> Iterator[tuple[Path, Sequence[str]]]:
        """Yield the folder and the overrides of each run of a job."""
        repeats = self.sweep.description["repeats"]
        folder = self.sweep.job(number)
        if not repeats:
            yield folder, ()
            return
        for index in range(count(repeats)):
            yield folder / str(index), grid_overrides(repeats, index)

    def _composed(self, overrides: Sequence[str]) -> dict[str, Any]:
        composed = self.loader.load_sweep_config(self.master, [*self.sweep.description["fixed"], *overrides])
        config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        return cli.resolved(config)

    def _study(self) -> "Study | None":
        if self.num_trials is None:
            return None
        from litmlp.sweeps.study import Study

        return Study(self.sweep, self.storage)

    def _beginning(self, number: int, record: Row, study: "Study | None") -> list["L.Callback"]:
        """Return a callback for the beginning of training, when it is known what a run needs.

        It lets later jobs of a search share values with this one, if its run can be trained with others; and it starts
        other processes.
        """
        shares = study is not None and self.members != 1 and not study.values_of_group(number)
        if not shares and self.workers is None:
            return []
        from litmlp.callbacks.base import AtFitStart
        from litmlp.populations.size import most_members

        def begin(trainer: "L.Trainer") -> None:
            if shares and most_members(trainer) > 1:
                assert study is not None
                study.share(record["trial"])
            if self.workers is not None:
                self.workers.begin()

        return [AtFitStart(begin)]

    def _pruning(self, record: Row, study: "Study | None", config: dict[str, Any], index: int) -> "Pruning | None":
        if study is None or self.sweep.description["pruner"] is None:
            return None
        from litmlp.callbacks import Pruning

        # All runs of a job report to one trial, so their epochs are numbered on from run to run.
        first_epoch = index * int(config["trainer"].get("max_epochs") or 0)
        return Pruning(study.trial(record["trial"]), config["monitor"], first_epoch)


def count(axes: dict[str, list[str]]) -> int:
    """Return the number of combinations of all axes' values."""
    return math.prod(len(texts) for texts in axes.values())


def grid_overrides(axes: dict[str, list[str]], number: int) -> list[str]:
    """Return the overrides of the combination that has this number; the last axis changes fastest."""
    overrides = []
    for key, texts in reversed(axes.items()):
        number, index = divmod(number, len(texts))
        overrides.append(f"{key}={texts[index]}")
    return overrides[::-1]


def _mean(results: list[Row]) -> Row:
    objectives = [result["objective"] for result in results]
    if any(value is None or not math.isfinite(value) for value in objectives):
        raise InputError("the objective is not a finite number")
    names = [name for name in results[0] if name.startswith(("val/", "test/")) or name in ("epochs", "fit_seconds")]
    return {
        "score": fmean(objectives),
        "metrics": {name: _mean_of([result.get(name) for result in results]) for name in names},
    }


def _mean_of(values: list[float | None]) -> float | None:
    """Return the mean of one metric over the runs of a job; the first known value where some run has none."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(values) == 1 or len(known) < len(values):
        return known[0] if known else None
    return fmean(known)
