"""The callback that makes an epoch's random numbers reproducible."""

from functools import lru_cache
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch

from litmlp.callbacks.base import Callback


class EpochSeed(Callback):
    """Seeds torch from (seed, epoch, rank) at the start of each epoch.

    The random numbers of an epoch, such as those for dropout, then do not depend on earlier epochs, so a resumed run
    draws the same ones. A run that resumes within an epoch restores the generators' states from the checkpoint.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.resumed: dict[str, torch.Tensor] = {}  # the generators' states in the checkpoint

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore the generators' states of a resumed run; a new epoch replaces them in `on_train_epoch_start`."""
        if "cpu" in self.resumed:
            torch.set_rng_state(self.resumed["cpu"])
        if "cuda" in self.resumed and pl_module.device.type == "cuda":
            torch.cuda.set_rng_state(self.resumed["cuda"], pl_module.device)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Seed all devices."""
        seed = seed_of(self.seed, trainer.current_epoch, trainer.global_rank)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed also stores a stack trace for each call
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the generators' states."""
        state = {"cpu": torch.get_rng_state()}
        return state | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts."""
        self.resumed = state_dict


@lru_cache(2**12)  # the runs of a sweep have the same seeds
def seed_of(*numbers: int) -> int:
    """Return a seed that depends on all of the numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
