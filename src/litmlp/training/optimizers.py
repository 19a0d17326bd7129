"""The default optimizer, quicker on small networks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from litmlp.training.compat import adamw_kernels, has_step_hooks

ADD_TO_EACH, FUSED_STEP = adamw_kernels()


class AdamW(torch.optim.AdamW):
    """torch's AdamW: the same arguments, states and, to the bit, steps.

    What torch looks up anew in each step (which parameters there are, of what kinds, on which devices) takes several
    times as long as the step of a small network. Here that is kept from step to step, and the fused kernel is called
    at once. Whatever is not the usual case takes torch's own way.

    Source: Loshchilov and Hutter (2019), "Decoupled Weight Decay Regularization".
    """

    usual: "list[Usual] | None" = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters by their gradients; `closure` as in torch."""
        if closure is None and self.usual is not None and self._is_usual():
            for usual in self.usual:
                usual.step()
            return None
        loss = hooked(torch.optim.AdamW.step)(self, closure)
        self.usual = usual_groups(self)
        return loss

    def _is_usual(self) -> bool:
        # No scaler of gradients, nobody who wants to be told, and the tensors are those of the last step.
        assert self.usual is not None
        return (
            not hasattr(self, "grad_scale")
            and not has_step_hooks(self)
            and len(self.usual) == len(self.param_groups)
            and all(
                usual.group is group
                and self.state[usual.parameters[0]]["exp_avg"] is usual.means[0]
                and all(parameter.grad is not None for parameter in usual.parameters)
                for usual, group in zip(self.usual, self.param_groups, strict=True)
            )
        )

    step.hooked = True  # type: ignore[attr-defined]  # so that torch does not wrap it


def hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return torch's own step with its hooks and its mark for the profiler, as torch wraps it on first use."""
    return step if getattr(step, "hooked", False) else torch.optim.Optimizer.profile_hook_step(step)


class Usual(NamedTuple):
    """What the fused kernel takes, of one group of parameters."""

    group: dict[str, Any]
    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]

    def step(self) -> None:
        """Take a step of this group."""
        group = self.group
        beta1, beta2 = group["betas"]
        with torch.no_grad():
            ADD_TO_EACH(self.steps, 1)
            FUSED_STEP(
                self.parameters,
                [parameter.grad for parameter in self.parameters],  # none is None
                self.means,
                self.squares,
                [],
                self.steps,
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=group["maximize"],
            )


def usual_groups(optimizer: torch.optim.Optimizer) -> list[Usual] | None:
    """Return the groups of an optimizer that has taken a step, or None where one of them is not the usual case."""
    found = []
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
        found.append(Usual(group, parameters, *lists))
    return found
