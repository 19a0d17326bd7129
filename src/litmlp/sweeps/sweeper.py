"""This project's sweepers for Hydra: they find the jobs that are left, launch them, and print how all jobs ended."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from litmlp import cli, paths, run_folder
from litmlp.errors import InputError, Interrupted, JobsFailed, install, no_room
from litmlp.machine import cores
from litmlp.populations.keys import MOST
from litmlp.sweeps import report, space
from litmlp.sweeps.composer import Composer
from litmlp.sweeps.folder import SweepFolder, identity
from litmlp.sweeps.job import Job, count
from litmlp.sweeps.progress import Progress, summary
from litmlp.training import compat

SECONDS_BETWEEN_LOOKS = 1.0
IRRELEVANT = ("threads", "resume")  # config keys that do not change the results
ROWS_REPORTED = 10
AUTO = "auto"
ONE_DEVICE = ("1", "auto", "[0]")  # values of trainer.devices
ROUNDS = 4  # of a search whose trials are drawn in groups
NO_CONSOLE = "hydra.job_logging.root.handlers=[]"  # the sweep itself prints one line for each job
LAUNCHERS = {
    "BasicLauncher": "basic",
    "JoblibLauncher": "joblib",
    "PopulationLauncher": "population",
    "RayLauncher": "ray",
    "LocalLauncher": "submitit_local",
    "SlurmLauncher": "submitit_slurm",
}


class ResumableSweeper(Sweeper):
    """Runs the jobs of a sweep that are not done yet.

    Args:
        params: the values of keys that vary, as key to text, in addition to those of the command line.
        n_jobs: the number of jobs that run at the same time; null leaves it to the launcher. With the launcher
            `population`, the number of runs that are trained together.
        members: the number of runs that each process of another launcher trains together; `auto` for as many as pay.
        timeout: the seconds after which no further job begins.
        on_failure: `continue`, or `stop`, with which no job begins after one has failed.
        retry_failed: run jobs again that have failed before.
    """

    def __init__(
        self,
        params: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        members: int | str | None = None,
        timeout: float | None = None,
        on_failure: str = "continue",
        retry_failed: bool = False,
    ) -> None:
        self.params = params
        self.n_jobs = n_jobs
        self.members = members
        self.timeout = timeout
        self.on_failure = on_failure
        self.retry_failed = retry_failed
        if params is not None and not isinstance(params, Mapping):
            raise InputError(f"hydra.sweeper.params is {params!r}: write key=value,value on the command line instead")
        if on_failure not in ("continue", "stop"):
            raise InputError(f"hydra.sweeper.on_failure is '{on_failure}': use continue or stop")
        if n_jobs is not None:
            check_count("n_jobs", n_jobs)
        if members not in (None, "auto"):
            check_count("members", members)
        if timeout is not None and (not isinstance(timeout, int | float) or timeout <= 0):
            raise InputError(f"hydra.sweeper.timeout is {timeout}: use a number of seconds above 0, or null")

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the objects that Hydra passes."""
        self.config: DictConfig
        self.loader = hydra_context.config_loader
        self.context = HydraContext(Composer(self.loader), hydra_context.callbacks)  # type: ignore[arg-type]
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Run the jobs that are left of the sweep that the command describes, and print a summary of all jobs."""
        launcher = self._launcher_name()
        axes = space.parse(self.params, arguments, self.loader)
        fixed = [argument for argument in arguments if not _is_axis(argument, self.loader)]
        fixed = [*space.fixed(self.params), *fixed]
        base = self._composed(fixed)
        for key in sorted({"monitor", "mode"} - base.keys()):
            raise InputError(f"the config has no {key}, but a run needs it: leave ~{key} out")
        description = self._describe(axes, base) | {
            "monitor": base["monitor"],
            "mode": base["mode"],
            "fixed": fixed,
            "config": {key: value for key, value in base.items() if key not in IRRELEVANT},
        }
        description |= self._named(description)
        description["columns"] = self._check(description, launcher)
        members = self._members(launcher)
        if members != 1:
            description |= self._grouped(members)
        sweep = SweepFolder.open(self._folder(description), description, self._command())
        sweep.collect()
        # The number of trials is no part of the description: a sweep can have more jobs than the command asks for.
        total = max(self._total(sweep), *(number + 1 for number in sweep.numbers()), 1)
        # With `stop`, a failure of an earlier command would keep all jobs from beginning.
        if self.retry_failed or self.on_failure == "stop":
            self._reset_failed(sweep, total)
        side_by_side = self._side_by_side(launcher)
        if launcher == "population":
            side_by_side = min(side_by_side, total)  # fewer jobs leave each more cores
        job = Job(
            sweep=sweep,
            loader=self.context.config_loader,
            master=self._master(sweep.path),
            side_by_side=side_by_side,
            deadline=time.time() + self.timeout if self.timeout else float("inf"),
            stops_on_failure=self.on_failure == "stop",
            members=members,
            processes=side_by_side if launcher == "population" else 1,
            parent=os.getpid() if launcher == "joblib" else None,
            **self._of_search(),
        )
        print(f"{total} jobs, in {paths.display(sweep.path)}", flush=True)
        try:
            with Progress(sweep, total, job.deadline):
                self._run(job, range(total), launcher)
        except (Interrupted, KeyboardInterrupt):
            print(f"stopped: type the same command again, or litmlp-train resume={paths.display(sweep.path)}")
            raise
        sweep.collect()
        if any(row["status"] != "failed" for row in sweep.rows()):
            print(f"\n{report.text(report.compare([sweep.path]), ROWS_REPORTED)}")
        print(summary(sweep, total, is_shared=job.storage is not None))
        if not sweep.has_room():
            raise JobsFailed("the disk is full: make room, and type the same command again")
        if failed := [row for row in sweep.rows() if row["status"] == "failed"]:
            raise JobsFailed(f"{len(failed)} of {total} jobs failed, see {sweep.path / 'results.csv'}")

    # Grid and Search override these.

    def _describe(self, axes: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        """Return the values of the axes as a description holds them; raise InputError if they cannot be swept.

        Args:
            axes: the override of each key that varies.
            base: the config without them.
        """
        raise NotImplementedError

    def _named(self, description: dict[str, Any]) -> dict[str, Any]:
        """Return the study's name, which a grid does not have, as an entry of the description."""
        return {}

    def _grouped(self, members: int | str) -> dict[str, Any]:
        """Return the number of jobs that share values, which a grid does not have, as an entry of the description."""
        return {}

    def _total(self, sweep: SweepFolder) -> int:
        """Return the number of jobs that the command asks for."""
        raise NotImplementedError

    def _of_search(self) -> dict[str, Any]:
        """Return the arguments of `Job` that only a search has."""
        return {}

    # Launching.

    def _run(self, job: Job, numbers: Sequence[int], launcher: str) -> None:
        """Launch jobs until all of them are done, or until none of those left may begin."""
        while left := [number for number in numbers if not job.sweep.is_done(number)]:
            num_left = len(left)
            # Submitit starts all jobs that it is given on this machine at once.
            size = self._side_by_side(launcher) if launcher == "submitit_local" else num_left
            for start in range(0, num_left, size):
                self._launch(job, left[start : start + size])
            if len([number for number in left if not job.sweep.is_done(number)]) < num_left:
                continue
            if not any(run_folder.is_claimed(job.sweep.job(number)) for number in left):
                return  # they may not begin, because of the timeout, a failure or a full disk
            time.sleep(SECONDS_BETWEEN_LOOKS)  # another process runs them

    def _launch(self, job: Job, numbers: list[int]) -> None:
        master = job.master
        launcher = Plugins.instance().instantiate_launcher(hydra_context=self.context, task_function=job, config=master)
        job.together = self._chunks(job, numbers)
        fixed = job.sweep.description["fixed"]  # Hydra composes a config with them, though each job composes its own
        folder = str(job.sweep.path).replace("'", "\\'")
        overrides = [
            (
                *fixed,
                f"hydra.sweep.dir='{folder}'",
                f"hydra.sweep.subdir='{number}'",
                NO_CONSOLE,
            )
            for number in job.together
        ]
        try:
            for done in launcher.launch(overrides, initial_job_idx=numbers[0]):
                if isinstance(error := compat.outcome(done), Exception):
                    raise error
        except Exception as error:
            if isinstance(error, InputError) or no_room(error) is not None:
                raise
            # A job whose process was killed is still recorded as running, but its claim ended with the process.
            suspects = [n for n in numbers if job.sweep.record(n).get("status") == "running"]
            suspects = [n for n in suspects if not run_folder.is_claimed(job.sweep.job(n))]
            if not suspects:
                raise InputError(f"the launcher failed: {cli.sentence(error)}") from error
            if len(numbers) == 1:
                job.fail(numbers[0], f"its process died and left no error: {cli.sentence(error)}")
                return
            for number in suspects:  # one of them killed the process of all: alone, it shows which one it is
                self._launch(job, [number])

    def _chunks(self, job: Job, numbers: Sequence[int]) -> dict[int, list[int]]:
        """Return the numbers of those jobs that are launched as one, by the first of them."""
        if job.members == 1:
            return {number: [number] for number in numbers}
        if self._launcher_name() == "population":
            return {numbers[0]: list(numbers)}
        return {chunk[0]: chunk for chunk in job.chunks(numbers, self._processes(), fewest=1)}

    def _processes(self) -> int:
        """Return the number of processes that the launcher runs at the same time, as far as it says so."""
        launcher = self._launcher_name()
        return self.n_jobs or (self._side_by_side(launcher) if launcher in ("joblib", "submitit_local") else cores())

    def _members(self, launcher: str) -> int | str:
        """Return the number of runs that a process trains together; `auto` for as many as pay."""
        if launcher == "population":
            return self.members or self.n_jobs or "auto"
        return self.members or 1

    def _master(self, folder: Path) -> DictConfig:
        master = self.config.copy()
        with read_write(master), open_dict(master):
            master.hydra.sweep.dir = str(folder)
            if self.n_jobs and "n_jobs" in master.hydra.launcher:
                master.hydra.launcher.n_jobs = self.n_jobs
            if self.n_jobs and "array_parallelism" in master.hydra.launcher:
                master.hydra.launcher.array_parallelism = self.n_jobs
            if self.n_jobs and "ray" in master.hydra.launcher:
                master.hydra.launcher.ray.remote.num_cpus = max(1, cores() // self.n_jobs)
        return master

    def _side_by_side(self, launcher: str) -> int:
        if launcher == "joblib":
            n_jobs = self.n_jobs or int(self.config.hydra.launcher.n_jobs)
            return n_jobs if n_jobs > 0 else max(1, cores() + 1 + n_jobs)  # as joblib counts: -1 is all cores
        if launcher == "submitit_local":
            return self.n_jobs or max(1, cores() // (self.config.hydra.launcher.cpus_per_task or 1))
        if launcher == "population":
            return self._processes_of_population()
        return 1  # jobs run one after another, or the launcher gives each job cores of its own

    def _processes_of_population(self) -> int:
        """Return the number of processes that train the runs of the launcher `population`."""
        setting = self.config.hydra.launcher.get("processes", AUTO)
        if setting != AUTO:
            check_count("processes", setting, "hydra.launcher")
            return int(setting)
        trainer = self.config.trainer
        if str(trainer.get("devices", 1)) not in ONE_DEVICE:
            return 1
        if trainer.get("accelerator") != "cpu":
            import torch

            if torch.accelerator.is_available():
                return max(1, torch.accelerator.device_count())
        return cores()

    def _launcher_name(self) -> str:
        target = str(self.config.hydra.launcher.get("_target_", ""))
        name = LAUNCHERS.get(target.rpartition(".")[2], target)
        if name == "basic" and (self.n_jobs or 1) > 1:
            raise InputError(
                f"hydra.sweeper.n_jobs is {self.n_jobs}, but jobs run one after another: add hydra/launcher=joblib"
            )
        return name

    # Describing the sweep.

    def _folder(self, description: dict[str, Any]) -> Path:
        configured = str(self.config.hydra.sweep.dir)
        if configured:
            return Path(configured).absolute()
        name = OmegaConf.select(self.config, "hydra.runtime.choices.data") or "sweep"
        return paths.runs().absolute() / "sweeps" / f"{name}-{identity(description)}"

    def _command(self) -> list[str]:
        """Return the overrides that start this sweep again, in any folder."""
        overrides = self.config.hydra.overrides
        added_later = ("hydra.mode=", "hydra.sweep.dir=")
        return [*(line for line in overrides.hydra if not line.startswith(added_later)), *overrides.task]

    def _composed(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the config with these overrides as plain values; interpolations are not resolved."""
        composed = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        plain: dict[str, Any] = OmegaConf.to_container(composed, resolve=False)  # type: ignore[assignment]
        return {key: value for key, value in plain.items() if key != "hydra"}

    def _check(self, description: dict[str, Any], launcher: str) -> list[str]:
        """Check the config for the values of each axis; return the names of all hyperparameters."""
        from litmlp.auto_task import with_task
        from litmlp.config_check import check
        from litmlp.loggers import hyperparameters

        columns: set[str] = set()
        for overrides in trials({**description["space"], **description["repeats"]}):
            composed = self.context.config_loader.load_sweep_config(self.config, [*description["fixed"], *overrides])
            config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
            if config.resume:
                raise InputError("resume continues one run, or a sweep: give its folder, and no -m")
            plain = with_task(cli.resolved(config))
            check(plain)
            columns |= hyperparameters(plain).keys()
            has_several = str(plain["trainer"].get("devices", 1)) not in ONE_DEVICE
            if has_several and launcher in ("joblib", "ray"):
                raise InputError(
                    f"trainer.devices={plain['trainer']['devices']} would start processes inside those of "
                    f"hydra/launcher={launcher}: give each job one device, or leave the launcher out"
                )
        return sorted(columns)

    def _reset_failed(self, sweep: SweepFolder, total: int) -> None:
        """Record failed jobs as running, so that they run again with the same values."""
        for number in range(total):
            record = sweep.record(number)
            if record.get("status") == "failed":
                sweep.write(record | {"status": "running"})
        sweep.collect()


class Grid(ResumableSweeper):
    """Runs every combination of the values given; the last key changes fastest."""

    def _describe(self, axes: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        values = {key: space.values(override) for key, override in axes.items()}
        return {"kind": "grid", "space": values, "repeats": {}}

    def _total(self, sweep: SweepFolder) -> int:
        return count(sweep.description["space"])


class Search(ResumableSweeper):
    """Runs jobs with values that Optuna draws, which learns from the scores of earlier jobs.

    Args:
        sampler: draws the values, a `_target_` of `optuna.samplers`.
        pruner: decides which runs end early, a `_target_` of `optuna.pruners`; null for none.
        n_trials: the total number of jobs.
        repeat: keys that are not searched: each trial runs once for each of their values, and the mean is its score.
        storage: the URL of a database, for searches on machines that share no folder.
        study_name: the study's name in that database; null derives it from the command.
        start: the values of the first jobs, in which they differ from the config without the search.
        arguments: those of `ResumableSweeper`.
    """

    def __init__(
        self,
        sampler: DictConfig,
        pruner: DictConfig | None = None,
        n_trials: int = 20,
        repeat: Sequence[str] = ("seed", "data.fold"),
        storage: str | None = None,
        study_name: str | None = None,
        start: Sequence[Mapping[str, Any]] = (),
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.sampler = sampler
        self.pruner = pruner
        self.n_trials = n_trials
        self.repeat = repeat
        self.storage = storage
        self.study_name = study_name
        self.start = start
        check_count("n_trials", n_trials)

    def _describe(self, axes: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            raise InputError(f"a search needs Optuna: {install('sweep')}") from error
        from litmlp.sweeps.study import GRID, from_plain, grid, open_storage

        repeats = {key: space.values(axis) for key, axis in axes.items() if space.shown(key) in self.repeat}
        searched = {key: space.distribution(axis) for key, axis in axes.items() if key not in repeats}
        if not searched:
            raise InputError("nothing is searched: give a key a choice(...) or an interval(...), or add sweep=mlp")
        if self.sampler["_target_"] == GRID:
            grid({key: from_plain(plain) for key, plain in searched.items()})
        if self.storage is not None:
            open_storage(self.storage)
        return {
            "kind": "search",
            "space": searched,
            "repeats": repeats,
            "sampler": OmegaConf.to_container(self.sampler, resolve=True),
            "pruner": OmegaConf.to_container(self.pruner, resolve=True) if self.pruner else None,
            **({"start": self._starts(searched, base)} if self.start else {}),
        }

    def _starts(self, searched: dict[str, space.Distribution], base: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the values of each of the first jobs; a key is absent where the default is none that is searched."""
        own = {key: space.fitting(plain, space.default(base, key)) for key, plain in searched.items()}
        own = {key: value for key, value in own.items() if value is not None}
        starts = []
        for changes in self.start:
            start = dict(own)
            for key, plain in searched.items():
                if (name := space.shown(key)) in changes:
                    start[key] = space.fitting(plain, value := changes[name])
                    if start[key] is None:
                        raise InputError(
                            f"hydra.sweeper.start has {name}={value}, which is not searched: give one of its values"
                        )
            starts += [start] if start not in starts else []  # keys with a fixed value may make them alike
        return starts

    def _named(self, description: dict[str, Any]) -> dict[str, Any]:
        return {"study_name": self.study_name or identity(description)}

    def _grouped(self, members: int | str) -> dict[str, Any]:
        # With few trials, larger groups would leave the sampler nothing to learn from.
        most = max(2, min(MOST, self.n_trials // ROUNDS)) if members == "auto" else int(members)
        return {"members": most}

    def _processes_of_population(self) -> int:
        # Several processes would ask for trials in an order that no seed gives.
        return 1 if self.config.hydra.launcher.get("processes", AUTO) == AUTO else super()._processes_of_population()

    def _total(self, sweep: SweepFolder) -> int:
        from litmlp.sweeps.study import GRID, from_plain, grid

        if sweep.description["sampler"]["_target_"] != GRID:
            return self.n_trials
        return min(self.n_trials, len(grid({key: from_plain(p) for key, p in sweep.description["space"].items()})))

    def _of_search(self) -> dict[str, Any]:
        return {"num_trials": self.n_trials, "storage": self.storage}


def check_count(name: str, value: Any, of: str = "hydra.sweeper") -> None:
    """Raise InputError unless a setting is a whole number from 1 up."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{of}.{name} is {value}: use a whole number from 1 up")


def trials(axes: dict[str, Any]) -> list[list[str]]:
    """Return combinations to check, in which only one value at a time is not the first of its axis.

    Each value of each axis occurs, but only the smallest and the largest of its numbers.
    """
    texts = {key: _texts(axis) for key, axis in axes.items()}
    first = {key: values[0] for key, values in texts.items()}
    combinations = [first, *({**first, key: text} for key, values in texts.items() for text in values[1:])]
    return [[f"{key}={text}" for key, text in combination.items()] for combination in combinations]


def _texts(axis: Any) -> list[str]:
    if isinstance(axis, list):
        numbers = [(float(text), text) for text in axis if _is_number(text)]
        words = [text for text in axis if not _is_number(text)]
        return list(dict.fromkeys([*(text for _, text in numbers and (min(numbers), max(numbers))), *words]))
    from litmlp.sweeps.study import text

    return [text(value) for value in axis.get("choices", [axis.get("low"), axis.get("high")])]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_axis(argument: str, loader: Any) -> bool:
    return bool(space.parse(None, [argument], loader))
