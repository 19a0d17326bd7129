"""Runs the jobs of a sweep in one process, which takes the steps of many of them together."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

SUBDIR = "hydra.sweep.subdir="


class PopulationLauncher(Launcher):
    """Trains jobs together whose networks have the same structure. Other functions than jobs run one after another.

    Args:
        members: how many runs are trained together at most; `auto` for as many as pay.
    """

    def __init__(self, members: int | str = "auto") -> None:
        self.members = members

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the objects that Hydra passes."""
        self.context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs, and return what they returned."""
        from litmlp.sweeps.job import Job

        setup_globals()
        if not isinstance(self.task_function, Job):
            return [self._run(list(overrides), number) for number, overrides in enumerate(job_overrides, initial_job_idx)]
        from litmlp.populations.population import train_together

        works = [partial(self.task_function.run, _number(overrides)) for overrides in job_overrides]
        train_together(works, self.members)
        return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]

    def _run(self, overrides: list[str], number: int) -> JobReturn:
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        HydraConfig.instance().set_config(config)
        return run_job(
            hydra_context=self.context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _number(overrides: Sequence[str]) -> int:
    (text,) = (override.removeprefix(SUBDIR) for override in overrides if override.startswith(SUBDIR))
    return int(text.strip("'"))
