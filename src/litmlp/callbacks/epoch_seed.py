"""Reproducible epochs."""

from typing import Any

import lightning.pytorch as L
import numpy as np
import torch

from litmlp.callbacks.base import Callback


class EpochSeed(Callback):
    """Seeds torch from (seed, epoch, rank) as each epoch begins.

    What an epoch draws, dropout for one, then depends on no earlier epoch: a resumed run draws the same. One that
    resumes within an epoch goes on with the generators' states.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.resumed: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on where a checkpoint was written."""
        if "cpu" in self.resumed:
            torch.set_rng_state(self.resumed["cpu"])
        if "cuda" in self.resumed and pl_module.device.type == "cuda":
            torch.cuda.set_rng_state(self.resumed["cuda"], pl_module.device)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Seed all devices."""
        sequence = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        seed = int(sequence.generate_state(1)[0])
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would keep a stack trace of each call
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the generators' states."""
        state = {"cpu": torch.get_rng_state()}
        return state | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts."""
        self.resumed = state_dict
