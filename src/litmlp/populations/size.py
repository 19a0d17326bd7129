"""Chooses how many runs are trained together."""

from typing import Any

from litmlp import machine
from litmlp.populations.keys import MOST

# Multiplications of a forward pass of one run, on a CPU. Measured: with 0.6 million, a step of 16 runs takes half the
# time of 16 steps, with 1.2 million two thirds, with 2.2 million and more as long or longer.
PRODUCTS = 1_500_000
FRACTION_OF_MEMORY = 0.25
COPIES = 12  # of a run's parameters: also gradients, the optimizer's state, checkpoints, temporary ones
BYTES_OF_RUN = 4_000_000  # besides its parameters and its rows


def most_members(trainer: Any) -> int:
    """Return how many runs like this one are trained together at most; 1 if a step of one keeps a core busy."""
    if trainer.strategy.root_device.type == "cpu" and products(trainer) > PRODUCTS:
        return 1
    tables = trainer.datamodule.tables.values()
    needed = BYTES_OF_RUN + sum(tensor.nbytes for table in tables for tensor in table if tensor is not None)
    needed += COPIES * sum(parameter.nbytes for parameter in trainer.lightning_module.parameters())
    return max(1, min(MOST, int(FRACTION_OF_MEMORY * machine.memory() / needed)))


def products(trainer: Any) -> int:
    """Return the number of multiplications of a run's forward pass."""
    return machine.products(trainer.lightning_module.network, trainer.datamodule.batch_size)
