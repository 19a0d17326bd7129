"""The study of a search: Optuna draws the values of each job, and remembers their scores."""

import math
import os
import socket
import time
import warnings
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import Trial, TrialState, create_trial

from litmlp.build import built
from litmlp.errors import InputError
from litmlp.populations import keys
from litmlp.sweeps.folder import SweepFolder
from litmlp.sweeps.space import Distribution

optuna.logging.set_verbosity(optuna.logging.WARNING)
STUDY = "study.log"
GRID = "optuna.samplers.GridSampler"
STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
SHARES = "shares its shapes"  # an attribute of a trial
ATTEMPTS = 4  # to open a database
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError)  # raised for a damaged journal
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)


class Study:
    """A sweep's study, as one of its jobs uses it.

    Args:
        sweep: the sweep's folder.
        storage: a database's URL, for searches on machines that share no folder; None for a file in the sweep's folder.
    """

    def __init__(self, sweep: SweepFolder, storage: str | None) -> None:
        self.sweep = sweep
        self.is_shared = storage is not None
        self.space = {key: from_plain(plain) for key, plain in sweep.description["space"].items()}
        try:
            self.study = optuna.create_study(
                storage=open_storage(storage or str(sweep.path / STUDY)),
                study_name=sweep.description["study_name"],
                direction="minimize" if sweep.description["mode"] == "min" else "maximize",
                sampler=optuna.samplers.RandomSampler(),  # a placeholder: `ask` sets one for its job
                pruner=built(sweep.description["pruner"]) or optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
        except DAMAGE as error:
            if self.is_shared:
                raise
            raise InputError(
                f"'{sweep.path / STUDY}' is damaged, so the search cannot go on: choose another hydra.sweep.dir"
            ) from error

    def ask(self, number: int, num_trials: int) -> Trial | None:
        """Return the trial that holds a job's values; None if other machines already have all the trials wanted.

        The values depend only on the job's number and on the trials before it. So a search that was stopped draws the
        same values as one that was not. The jobs of a group share those values that give shapes, so that their runs can
        be trained together.
        """
        if self.is_shared and self.num_trials() >= num_trials:
            return None
        # Each machine numbers its jobs from 0. Without the machine in the seed, all of them would draw the same values.
        machine = zlib.crc32(f"{socket.gethostname()}:{self.sweep.path}".encode()) if self.is_shared else 0
        sampler = make_sampler(self.sweep.description["sampler"], self.space, [number, machine])
        start = self.sweep.description.get("start", [])[self.num_trials() if self.is_shared else number :][:1]
        values = start[0] if start else self.values_of_group(number)
        self.study.sampler = with_values(sampler, values) if values else sampler
        with self._locked():
            if (begun := self._trial_of_job(number)) is not None:
                return begun
            trial = self._new_trial(number)
        # Machines share no lock, so several may have asked for the last trial. The trials with the lowest numbers stay.
        if self.is_shared and self._num_before(trial) >= num_trials:
            trial.set_user_attr("surplus", True)
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        return trial

    def share(self, number: int) -> None:
        """Let later jobs of the group take those values of this job's trial that give shapes."""
        self.trial(number).set_user_attr(SHARES, True)

    def trial(self, number: int) -> Trial:
        """Return the trial to which a job reports, also one that was stopped and continues."""
        return Trial(self.study, self._trial(number)._trial_id)

    def tell(self, number: int, status: str, score: float | None) -> None:
        """Record how a trial ended, at most once. A failed job that was run again is added as another trial."""
        state = STATES[status]
        trial = self._trial(number)
        if not trial.state.is_finished():
            self.study.tell(number, score if state is TrialState.COMPLETE else None, state)
        elif trial.state is TrialState.FAIL and state is not TrialState.FAIL:
            second = create_trial(
                state=state,
                value=score,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=trial.user_attrs,
            )
            self.study.add_trial(second)

    def num_trials(self) -> int:
        """Return how many trials of all machines count towards the number wanted."""
        return sum(self._counts(trial) for trial in self._trials())

    def values_of_group(self, number: int) -> dict[str, Any]:
        """Return the values that a job shares with others of its group; none if there is no other that shares its own.

        Only runs that pay to be trained together share values: see `share`.
        """
        first = number - number % self.sweep.group_size
        folders = [str(self.sweep.job(other)) for other in range(first, number)]
        sharing = {trial.user_attrs.get("folder"): trial for trial in self._trials() if SHARES in trial.user_attrs}
        trial = next((sharing[folder] for folder in folders if folder in sharing), None)
        return {} if trial is None else {key: value for key, value in trial.params.items() if not keys.is_free(key)}

    def _locked(self) -> AbstractContextManager[None]:
        return nullcontext() if self.is_shared else self.sweep.locked()

    def _trial_of_job(self, number: int) -> Trial | None:
        # There is one if the job was killed before it wrote its record, or if its record was damaged later.
        if self.is_shared:
            return None
        for trial in self._trials():
            is_of_job = Path(trial.user_attrs.get("folder", "")).name == str(number)
            if is_of_job and "surplus" not in trial.user_attrs and trial.state is not TrialState.WAITING:
                begun = Trial(self.study, trial._trial_id)
                if trial.params.keys() == self.space.keys():
                    return begun
                begun.set_user_attr("surplus", True)  # the job was killed while it drew the values
                self.study.tell(begun, state=TrialState.FAIL)
        return None

    def _new_trial(self, number: int) -> Trial:
        # The folder is there from the beginning: without it a trial does not count, so another machine that looked in
        # between would take one trial too many. Another machine may get this trial, and this one another's.
        folder = str(self.sweep.job(number))
        self.study.enqueue_trial({}, user_attrs={"folder": folder})
        trial = self.study.ask(self.space)
        trial.set_user_attr("folder", folder)
        return trial

    def _counts(self, trial: optuna.trial.FrozenTrial) -> bool:
        return trial.state in COUNTED and "folder" in trial.user_attrs and "surplus" not in trial.user_attrs

    def _num_before(self, trial: Trial) -> int:
        return sum(self._counts(other) for other in self._trials()[: trial.number])

    def _trial(self, number: int) -> optuna.trial.FrozenTrial:
        trials = self._trials()
        if number >= len(trials):
            raise InputError(
                f"'{self.sweep.path / STUDY}' has lost trial {number}, so the search cannot go on: choose another "
                "hydra.sweep.dir"
            )
        return trials[number]

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        return self.study.get_trials(deepcopy=False)


class FileLockOfStudy(JournalFileOpenLock):
    """A lock on a study's file, which ends with the process that holds it, even if that is killed.

    When the lock is taken, an incomplete last line is removed: a full disk cuts lines short, and Optuna cannot read on
    once another line follows.

    Args:
        path: the study's file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.lock = FileLock(f"{path}.lock")

    def acquire(self) -> bool:
        """Take the lock."""
        self.lock.acquire()
        with self.path.open("rb+") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return True
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.truncate(self.path.read_bytes().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Release the lock."""
        self.lock.release()


@lru_cache(maxsize=4)
def open_storage(location: str) -> BaseStorage:
    """Return the storage of a study, opened once per process: a database for a URL, else a file of Optuna's journal."""
    if "://" not in location:
        Path(location).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(location, FileLockOfStudy(location)))
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            return RDBStorage(location)
        except Exception as error:
            if not attempts_left:
                reason = str(error).splitlines()[0]
                raise InputError(f"hydra.sweeper.storage={location} cannot be opened ({reason}): check it") from error
            time.sleep(0.5)  # another machine may be making the tables
    raise AssertionError


def from_plain(plain: Distribution) -> BaseDistribution:
    """Return Optuna's distribution for one of `space.distribution`."""
    if "choices" in plain:
        return CategoricalDistribution(plain["choices"])
    are_whole = all(isinstance(plain[end], int) for end in ("low", "high"))
    return IntDistribution(**plain) if are_whole else FloatDistribution(**plain)


def make_sampler(
    config: Mapping[str, Any], space: Mapping[str, BaseDistribution], job: Sequence[int]
) -> optuna.samplers.BaseSampler:
    """Build the sampler of one job, seeded by the configured seed, and by the job's number and machine in `job`."""
    target = config["_target_"]
    seed = int(np.random.SeedSequence([config.get("seed", 0), *job]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if target == GRID:
            return with_values(optuna.samplers.RandomSampler(), grid(space)[job[0]])
        if target == "optuna.samplers.QMCSampler":  # counts its points in the study, so that all jobs share one seed
            return built(config)
        return built(config, seed=seed)


def with_values(sampler: optuna.samplers.BaseSampler, values: Mapping[str, Any]) -> optuna.samplers.BaseSampler:
    """Return a sampler that takes these values, and draws those of other keys."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(dict(values), sampler)


def grid(space: Mapping[str, BaseDistribution]) -> list[dict[str, Any]]:
    """Return each combination of values; raise InputError for a key whose values cannot be enumerated."""
    axes = []
    for key, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution):
            axes.append(list(distribution.choices))
            continue
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        if distribution.step is None or distribution.log:
            raise InputError(f"{key.lstrip('+')} is an interval, which a grid cannot enumerate: list values or a range")
        count = round((distribution.high - distribution.low) / distribution.step) + 1
        axes.append([distribution.low + index * distribution.step for index in range(count)])
    return [dict(zip(space, values, strict=True)) for values in product(*axes)]


def overrides(params: Mapping[str, Any], order: Mapping[str, Any]) -> list[str]:
    """Return drawn values as overrides, in the order of the keys of `order`."""
    return [f"{key}={text(params[key])}" for key in order]


def text(value: Any) -> str:
    """Return a drawn value as the text of an override."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return str(value)
