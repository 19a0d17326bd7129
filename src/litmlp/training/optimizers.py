"""The default optimizer: torch's AdamW with faster steps for small networks."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from litmlp.training.compat import adamw_kernels, has_step_hooks

log = logging.getLogger(__name__)

FOREACH_ADD, FUSED_STEP = adamw_kernels()


class AdamW(torch.optim.AdamW):
    """torch's AdamW with the same arguments and states, and steps that are equal to the bit.

    In each step, torch collects the parameters again and groups them by device and type. That takes several times as
    long as the step of a small network. This class keeps the groups from step to step and calls the fused kernel
    directly. Where the kept groups may not be valid, it calls torch's own step.

    Source: Loshchilov and Hutter (2019), "Decoupled Weight Decay Regularization".
    """

    fused_groups: "list[FusedGroup] | None" = None  # as of the last step; None if the kernel cannot be called directly

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters by their gradients; `closure` is as in torch."""
        if closure is None and self.fused_groups is not None and self._groups_are_valid():
            for fused_group in self.fused_groups:
                fused_group.step()
            return None
        loss = hooked(torch.optim.AdamW.step)(self, closure)
        self.fused_groups = fused_groups_of(self)
        return loss

    def _groups_are_valid(self) -> bool:
        # No gradient scaler, no step hooks, and the same tensors as in the last step: `load_state_dict` replaces the
        # states, `add_param_group` adds a group, and a frozen layer has no gradients.
        assert self.fused_groups is not None
        return (
            not hasattr(self, "grad_scale")
            and not has_step_hooks(self)
            and len(self.fused_groups) == len(self.param_groups)
            and all(
                fused_group.group is group
                and self.state[fused_group.parameters[0]]["exp_avg"] is fused_group.exp_avgs[0]
                and all(parameter.grad is not None for parameter in fused_group.parameters)
                for fused_group, group in zip(self.fused_groups, self.param_groups, strict=True)
            )
        )

    # torch wraps a `step` without this mark. The wrapper costs time, and `hooked` wraps torch's step where needed.
    step.hooked = True  # type: ignore[attr-defined]


def hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a step with hooks and a profiler entry, as torch wraps it on first use."""
    return step if getattr(step, "hooked", False) else torch.optim.Optimizer.profile_hook_step(step)


class FusedGroup(NamedTuple):
    """The arguments of the fused kernel for one group of parameters."""

    group: dict[str, Any]
    parameters: list[Tensor]
    exp_avgs: list[Tensor]
    exp_avg_sqs: list[Tensor]
    steps: list[Tensor]

    def step(self) -> None:
        """Take a step of this group."""
        group = self.group
        beta1, beta2 = group["betas"]
        with torch.no_grad():
            FOREACH_ADD(self.steps, 1)
            FUSED_STEP(
                self.parameters,
                [parameter.grad for parameter in self.parameters],  # none is None, see `AdamW._groups_are_valid`
                self.exp_avgs,
                self.exp_avg_sqs,
                [],  # max_exp_avg_sqs, for amsgrad only
                self.steps,
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=group["maximize"],
            )


def fused_groups_of(optimizer: torch.optim.Optimizer) -> list[FusedGroup] | None:
    """Return the groups of an optimizer that has taken a step, or None if the kernel cannot be called for one of them.

    It can be called for a group that is fused, without amsgrad, with a plain number as learning rate, and whose
    parameters all have a state, a gradient, the same device and the same type.
    """
    groups = []
    for group in optimizer.param_groups:
        parameters = group["params"]
        states = [optimizer.state[parameter] for parameter in parameters]
        if not (
            group["fused"]
            and not group["amsgrad"]
            and isinstance(group["lr"], float)
            and all(state and parameter.grad is not None for state, parameter in zip(states, parameters, strict=True))
            and len({(parameter.device, parameter.dtype) for parameter in parameters}) == 1
        ):
            return None
        lists = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq", "step"))
        groups.append(FusedGroup(group, parameters, *lists))
    return groups


def adamw_by_rows(
    params: Any,
    lr: float = 6e-3,
    betas: tuple[float, float] = (0.9, 0.95),
    weight_decay: float = 0.1,
    fused: bool = True,
    full_step: int = 256,
    step_rows: int = 256,
) -> AdamW:
    """Return AdamW with a learning rate that is lower if a step has few rows, since its gradient is then noisier.

    Source: the square root scaling rule of Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient
    Algorithms".

    Args:
        params: groups of parameters; passed in when a run starts.
        lr: learning rate for steps of `full_step` rows or more; for fewer rows, it is multiplied by the square root of
            step_rows / full_step.
        betas: of the running means of the gradient and of its square.
        weight_decay: a step takes the fraction lr * weight_decay off each weight.
        fused: whether one kernel updates all parameters.
        full_step: rows of a step for which `lr` is meant.
        step_rows: rows of a step; passed in when a run starts.
    """
    if full_step < 1:
        raise ValueError(f"full_step must be 1 or more, not {full_step}")
    if step_rows < full_step:
        lr *= (step_rows / full_step) ** 0.5
        log.info("the learning rate is %.2g, since a step has %d rows", lr, step_rows)
    return AdamW(params, lr=lr, betas=betas, weight_decay=weight_decay, fused=fused)
