"""Access to private names of libraries. Besides `loop.py` and `populations/member.py`, no other module uses one.

Each function says what the library's public interface lacks. A function imports its library only when it is called.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

TESTED = ((2, 6), (2, 7))  # the loop was tested with Lightning from the first version up to, not including, the second


def untested_lightning() -> str:
    """Return Lightning's version if the loop was not tested with it, else an empty string."""
    import lightning

    major, minor, *_ = lightning.__version__.split(".")
    return "" if TESTED[0] <= (int(major), int(minor)) < TESTED[1] else lightning.__version__


@cache
def read_entry_points_once() -> None:
    """Let Lightning read the entry points of all installed packages once per process, not again for each trainer.

    This takes longer than everything else that a trainer does when it is made, and Lightning has no switch for it.
    """
    if untested_lightning():
        return
    registry: Any = import_module("lightning.fabric.utilities.registry")
    registry.entry_points = cache(registry.entry_points)


def checkpoint_of(trainer: Any, weights_only: bool) -> dict[str, Any]:
    """Return the checkpoint that `Trainer.save_checkpoint` would write.

    `save_checkpoint` writes its file directly, but the caller changes the checkpoint before it is written.
    """
    return trainer._checkpoint_connector.dump_checkpoint(weights_only=weights_only)


def can_go_on_within_epoch(trainer: Any) -> bool:
    """Tell whether Lightning could resume within the epoch from a checkpoint written after the current batch.

    It could not while gradients accumulate, at the end of the epoch, or if a validation comes next. Lightning has no
    public way to ask for any of these.
    """
    loop = trainer.fit_loop.epoch_loop
    validates = loop._should_check_val_fx(trainer.fit_loop._data_fetcher)
    return not (loop._should_accumulate() or loop._num_ready_batches_reached() or validates)


def event_writer(summary_writer: Any) -> Any:
    """Return the writer of single events to a file: torch's `SummaryWriter` has no public method for a whole event."""
    return summary_writer._get_file_writer()


def number_of_event_file() -> int:
    """Return a number that TensorBoard gives to no other event file of this process: its writers count them inside."""
    writer: Any = import_module("tensorboard.summary.writer.event_file_writer")
    return writer._global_uid.get()


def summary_writer(folder: str, event_file: Callable[[str], Any]) -> Any:
    """Return torch's `SummaryWriter` for events of a folder, which go to `event_file`.

    With public names, they always go to TensorBoard's own writer, which has a thread for each file.
    """
    from torch.utils.tensorboard import FileWriter, SummaryWriter

    class File(FileWriter):
        def __init__(self) -> None:
            self.event_writer = event_file(folder)

    class Writer(SummaryWriter):
        file_writer: Any
        all_writers: Any

        def _get_file_writer(self) -> Any:
            if self.file_writer is None:
                self.file_writer = File()
                self.all_writers = {folder: self.file_writer}
            return self.file_writer

    return Writer(folder)


def dispatch_mode() -> type:
    """Return torch's class whose `__torch_dispatch__` sees each operation; torch documents it under this name only."""
    from torch.utils._python_dispatch import TorchDispatchMode

    return TorchDispatchMode


def adamw_kernels() -> tuple[Callable[..., None], Callable[..., None]]:
    """Return two kernels: one adds a number to each tensor of a list, the other is the step of `AdamW(fused=True)`.

    torch has no public name for either.
    """
    import torch

    return torch._foreach_add_, torch._fused_adamw_


def has_hooks(tensor: Any) -> bool:
    """Tell whether a tensor has hooks for its gradient: torch lets them be registered in public, but not listed."""
    return bool(tensor._backward_hooks)


def changes_of(tensor: Any) -> int:
    """Return how often a tensor was changed in place, for which torch has no public name."""
    return 0 if tensor.is_inference() else int(tensor._version)


def has_step_hooks(optimizer: Any) -> bool:
    """Tell whether an optimizer has hooks for its steps: torch lets them be registered in public, but not listed."""
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


def raise_in_thread(thread: int, error: BaseException) -> None:
    """Let another thread raise an error as soon as it runs Python code; Python offers this in its C interface only.

    Python makes the error itself, from a class that takes no arguments.
    """
    import ctypes

    class Raised(type(error)):  # type: ignore[misc]
        def __init__(self) -> None:
            BaseException.__init__(self, *error.args)
            self.__dict__.update(error.__dict__)

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Raised))


def arguments_parser() -> argparse.ArgumentParser:
    """Return the parser of Hydra's flags: Hydra has no public one, and prints itself what its parser refuses."""
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def apply_overrides(overrides: Sequence["Override"], config: "DictConfig") -> None:
    """Apply overrides of values to a composed config: with public names, Hydra has to compose all of it again."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)


def is_empty(node: "DictConfig") -> bool:
    """Tell whether a node of a config is None or `???`: OmegaConf's public functions need the parent node for that."""
    return node._is_none() or node._is_missing()


def outcome(job: Any) -> Any:
    """Return what a Hydra job returned or raised: the public `JobReturn.return_value` prints an error and raises it."""
    return job._return_value


def is_of_compiler(error: Exception) -> bool:
    """Tell whether torch's compiler raised an error; it has several private classes for them."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
