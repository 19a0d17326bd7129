"""Hydra's launcher for populations: all jobs run in the sweep's own process."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from litmlp.sweeps import launching


class PopulationLauncher(Launcher):
    """Runs jobs one after another in this process. The sweeper joins those jobs to one that are trained together.

    Args:
        processes: the number of processes that train the runs of a sweep; `auto` for one per core or GPU in a grid, and
            one in a search, whose trials would otherwise depend on which process is faster.
    """

    def __init__(self, processes: int | str = "auto") -> None:
        self.processes = processes  # read by the sweeper: a job that stands for others starts processes itself

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the objects that Hydra passes."""
        self.context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs, and return what they returned."""
        setup_globals()
        hydra = self.config.hydra
        returned = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            returned.append(launching.run(self.context, self.task_function, self.config, overrides, number))
            configure_log(hydra.hydra_logging, hydra.verbose)  # closes the job's log file
        return returned
