"""Learning-rate schedules in Lightning's format: the scheduler, the interval of its steps, and its metric if any."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau


def cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0.05, final: float = 0.0) -> dict[str, Any]:
    """Raise the rate linearly for a fraction `warmup` of the steps, then lower it along a cosine to a fraction `final`.

    Source: Loshchilov and Hutter 2017, "SGDR", without restarts.
    """
    if not (0 <= warmup < 1 and 0 <= final <= 1):
        raise ValueError(f"warmup={warmup} must be a fraction from 0 to below 1, and final={final} one from 0 to 1")
    warmup_steps = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}


def one_cycle(optimizer: Optimizer, total_steps: int, warmup: float = 0.3) -> dict[str, Any]:
    """Raise the rate to the optimizer's for a fraction `warmup` of the steps, then lower it to almost 0.

    Source: Smith and Topin 2018, "Super-Convergence", as in `torch.optim.lr_scheduler.OneCycleLR`.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    # One step more than the optimizer takes: Lightning also steps the schedule after the optimizer's last step.
    return {"scheduler": OneCycleLR(optimizer, rates, total_steps + 1, pct_start=warmup), "interval": "step"}


def reduce_on_plateau(
    optimizer: Optimizer, monitor: str, mode: str, factor: float = 0.3, patience: int = 5
) -> dict[str, Any]:
    """Multiply the rate by `factor` when `monitor` has not improved for `patience` epochs."""
    scheduler = ReduceLROnPlateau(optimizer, "min" if mode == "min" else "max", factor, patience)
    return {"scheduler": scheduler, "interval": "epoch", "monitor": monitor}
