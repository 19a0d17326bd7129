"""Runs jobs with Ray, on the cores of this machine or on a cluster."""

from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from litmlp.sweeps import launching


class RayLauncher(Launcher):
    """Runs each job as a Ray task. Ray assigns cores and GPUs to it, and starts it again if its machine is lost.

    Hydra's own launcher for Ray takes the same settings, but cannot be installed beside a current joblib.

    Args:
        ray: the arguments of `ray.init` as `init`, and those of `ray.remote` as `remote`.
    """

    def __init__(self, ray: DictConfig) -> None:
        self.settings = ray

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the objects that Hydra passes."""
        self.context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs, and return what they returned."""
        import ray

        settings: dict[str, Any] = OmegaConf.to_container(self.settings, resolve=True)  # type: ignore[assignment]
        if not ray.is_initialized():
            ray.init(**settings["init"])
        task = ray.remote(**settings["remote"])(_run) if settings["remote"] else ray.remote(_run)
        state = Singleton.get_state()
        numbered = enumerate(job_overrides, initial_job_idx)
        shared = ray.put((self.context, self.task_function, self.config, state))
        return ray.get([task.remote(shared, list(overrides), number) for number, overrides in numbered])


def _run(shared: tuple[HydraContext, TaskFunction, DictConfig, Any], overrides: list[str], number: int) -> JobReturn:
    # Ray's worker is a new process: Hydra's singletons and resolvers are set up in it first.
    context, task_function, master, state = shared
    setup_globals()
    Singleton.set_state(state)
    return launching.run(context, task_function, master, overrides, number)
