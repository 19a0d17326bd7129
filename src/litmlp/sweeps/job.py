"""One job of a sweep, in whatever process, on whatever machine a launcher puts it."""

import math
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from litmlp import cli, machine, run
from litmlp.errors import InputError, no_room
from litmlp.files import read_yaml
from litmlp.sweeps.folder import Row, SweepFolder
from litmlp.trust import check_config

if TYPE_CHECKING:
    from litmlp.callbacks import Pruning
    from litmlp.sweeps.study import Study


@dataclass
class Job:
    """What a launcher calls for each job. All that it does is on record before and after, so that it can be repeated.

    Attributes:
        sweep: the sweep.
        loader: Hydra's, which composes the job's config.
        master: the config of the sweep's command.
        side_by_side: how many jobs share this machine.
        num_trials: how many are wanted of a search; None for a grid.
        storage: where the study is kept, if not in the sweep's folder.
        deadline: no job begins after this moment, in seconds since 1970.
        stops_on_failure: none begins after one failed, either.
    """

    sweep: SweepFolder
    loader: Any
    master: DictConfig
    side_by_side: int = 1
    num_trials: int | None = None
    storage: str | None = None
    deadline: float = math.inf
    stops_on_failure: bool = False

    def __call__(self, config: DictConfig) -> None:
        """Do the job whose folder Hydra made, unless it is done or another process has it."""
        del config  # of the command, without what this job varies
        number = int(HydraConfig.get().sweep.subdir)
        if not self._may_begin():
            return
        machine.divide(self.side_by_side, self.sweep.path)
        try:
            with run.claimed(self.sweep.job(number)):
                if not self.sweep.is_done(number):
                    self._do(number)
        except run.Busy:
            return

    def _may_begin(self) -> bool:
        if time.time() > self.deadline or not self.sweep.has_room():
            return False
        return not (self.stops_on_failure and any(row["status"] == "failed" for row in self.sweep.rows()))

    def _do(self, number: int) -> None:
        study = self._study()
        record = self._begin(number, study)
        if record is None:
            return
        self.sweep.write(record)
        started = time.perf_counter()
        try:
            results, is_pruned = self._train(number, record, study)
            end = {"status": "pruned" if is_pruned else "completed", **_mean(results)}
        except Exception as error:
            if (stop := cli.interruption(error)) is not None:
                raise stop from error
            if not self.sweep.has_room():
                return  # nothing is wrong with the job: it goes on when there is room
            if no_room(error) is not None:
                raise
            end = {"status": "failed", "error": cli.sentence(error), "traceback": traceback.format_exc()}
        self._finish(record | end | {"seconds": round(time.perf_counter() - started, 2)}, study)

    def fail(self, number: int, reason: str) -> None:
        """Put on record that a job failed which cannot do so itself."""
        end = {"status": "failed", "error": reason, "traceback": None, "seconds": 0.0}
        self._finish(self.sweep.record(number) | end, self._study())

    def _finish(self, record: Row, study: "Study | None") -> None:
        if study is not None:
            study.tell(record["trial"], record["status"], record.get("score"))
        self.sweep.finish(record)

    def _begin(self, number: int, study: "Study | None") -> Row | None:
        """Return the job's record; None if a search needs no more."""
        before = self.sweep.record(number)
        if before:
            kept = {key: before[key] for key in ("number", "overrides", "trial") if key in before}
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
        """Train once, or for each combination of seeds and folds; a run that is complete is only read."""
        from litmlp.commands.train import train

        results = []
        for index, (folder, repeat) in enumerate(self._repeats(number)):
            metrics, pruning = run.metrics_of(folder), None
            if metrics is None or (study is not None and self.sweep.description["pruner"] is not None):
                has_config = run.has_config(folder)
                config = self._stored(folder) if has_config else self._composed([*record["overrides"], *repeat])
                pruning = self._pruning(record, study, config, index)
            if metrics is None:
                callbacks, columns = [pruning] if pruning else [], self.sweep.description["columns"]
                metrics = train(config, folder, resume=True, callbacks=callbacks, columns=columns)
            results.append(metrics)
            if pruning is not None and pruning.has_ended(metrics["epochs"]):
                return results, True
        return results, False

    def _stored(self, folder: Path) -> dict[str, Any]:
        file = folder / run.CONFIG
        config, typed = read_yaml(file), (*self.sweep.description["fixed"], *self.sweep.description["space"])
        check_config(config, file, [text.partition("=")[0].lstrip("+~") for text in typed])
        return config

    def _repeats(self, number: int) -> Iterator[tuple[Path, Sequence[str]]]:
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

    def _pruning(self, record: Row, study: "Study | None", config: dict[str, Any], index: int) -> "Pruning | None":
        if study is None or self.sweep.description["pruner"] is None:
            return None
        from litmlp.callbacks import Pruning

        first = index * int(config["trainer"].get("max_epochs") or 0)
        return Pruning(study.trial(record["trial"]), config["monitor"], first)


def count(axes: dict[str, list[str]]) -> int:
    """Return the number of combinations of the values of all axes."""
    return math.prod(len(texts) for texts in axes.values())


def grid_overrides(axes: dict[str, list[str]], number: int) -> list[str]:
    """Return the overrides of one combination; the last axis changes fastest."""
    chosen = []
    for key, texts in reversed(axes.items()):
        number, index = divmod(number, len(texts))
        chosen.append(f"{key}={texts[index]}")
    return chosen[::-1]


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
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(values) == 1 or len(known) < len(values):
        return known[0] if known else None
    return fmean(known)
