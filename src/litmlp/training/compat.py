"""What libraries have no public name for. Beside the loop, no other module reaches for a private name of one.

Each function says which public name would replace it. Libraries are imported as they are used.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

TESTED = ((2, 6), (2, 7))  # versions of Lightning, from the first up to but not including the second


def untested_lightning() -> str:
    """Return Lightning's version if the loop was not tried with it; empty if it was."""
    import lightning

    major, minor, *_ = lightning.__version__.split(".")
    return "" if TESTED[0] <= (int(major), int(minor)) < TESTED[1] else lightning.__version__


def checkpoint_of(trainer: Any, weights_only: bool) -> dict[str, Any]:
    """Return what `Trainer.save_checkpoint` would write: it writes a file at once, and this is to be changed first."""
    return trainer._checkpoint_connector.dump_checkpoint(weights_only=weights_only)


def can_go_on_within_epoch(trainer: Any) -> bool:
    """Tell whether a checkpoint written after this batch is one that Lightning goes on from within the epoch.

    Not while gradients accumulate, at the epoch's end, or before a validation: Lightning has no public name for what
    comes next.
    """
    loop = trainer.fit_loop.epoch_loop
    validates = loop._should_check_val_fx(trainer.fit_loop._data_fetcher)
    return not (loop._should_accumulate() or loop._num_ready_batches_reached() or validates)


def event_writer(summary_writer: Any) -> Any:
    """Return what writes single events to a file: torch's `SummaryWriter` takes no event as a whole."""
    return summary_writer._get_file_writer()


def dispatch_mode() -> type:
    """Return torch's class whose `__torch_dispatch__` sees each operation: it is documented, but only here."""
    from torch.utils._python_dispatch import TorchDispatchMode

    return TorchDispatchMode


def adamw_kernels() -> tuple[Callable[..., None], Callable[..., None]]:
    """Return `add a number to each of some tensors`, and the fused step that `AdamW(fused=True)` calls."""
    import torch

    return torch._foreach_add_, torch._fused_adamw_


def has_step_hooks(optimizer: Any) -> bool:
    """Tell whether somebody wants to be told of an optimizer's steps: hooks can be registered, but not listed."""
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


def arguments_parser() -> argparse.ArgumentParser:
    """Return the parser of Hydra's flags, whose refusals Hydra prints itself."""
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def apply_overrides(overrides: Sequence["Override"], config: "DictConfig") -> None:
    """Change a composed config by overrides of values: in public, Hydra composes the whole of it anew."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)


def is_empty(node: "DictConfig") -> bool:
    """Tell whether a node of a config is None or `???`: OmegaConf answers in public only with the node above it."""
    return node._is_none() or node._is_missing()


def outcome(job: Any) -> Any:
    """Return what a job of Hydra returned or raised: `JobReturn.return_value` prints the error before it raises it."""
    return job._return_value
