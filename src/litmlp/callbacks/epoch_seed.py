"""Reproducible epochs."""

import lightning.pytorch as pl
import numpy as np
import torch


class EpochSeed(pl.Callback):
    """Seeds torch from (seed, epoch, rank) as each epoch begins.

    What an epoch draws, dropout for one, then depends on no earlier epoch: a resumed run draws the same.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed all devices."""
        sequence = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        seed = int(sequence.generate_state(1)[0])
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would keep a stack trace of each call
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)
