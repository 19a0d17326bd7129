"""Composes configs and trains from Python, with the same overrides as the command."""

import logging
import os
import random
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from litmlp import cli, paths, run_folder
from litmlp.errors import InputError, shown
from litmlp.files import read_yaml

if TYPE_CHECKING:
    import lightning.pytorch as L

    from litmlp.model import Model

# Environment variables that Lightning sets.
ENVIRONMENT = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "CUBLAS_WORKSPACE_CONFIG")

_one_at_a_time = threading.RLock()  # Hydra and the random generators exist once in a process


class Run(NamedTuple):
    """A finished run.

    Attributes:
        folder: the run's folder, which holds all of its files.
        metrics: `val/...` and `test/...` of the best weights, `objective`, `epochs`, `steps`, and more.
    """

    folder: Path
    metrics: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The run's config, as plain values."""
        return read_yaml(self.folder / run_folder.CONFIG)

    def load(self) -> "Model":
        """Return the model with the best weights."""
        from litmlp.model import load

        return load(self.folder)

    def __fspath__(self) -> str:
        """Return the folder, so that a run can be given where a path is expected."""
        return str(self.folder)


def compose(*overrides: str) -> dict[str, Any]:
    """Return the config of a run, as plain values.

    Args:
        *overrides: overrides as for the command `litmlp-train`, such as `data=penguins` or `trainer.max_epochs=5`.

    Raises:
        InputError: an override cannot be applied, or there is no such key; the message is the same as the command's.
    """
    from litmlp.config_check import check_names

    with cli.in_sentences(), _one_at_a_time:
        config = cli.resolved(_composed(overrides)[0])
        check_names(config)
        return config


def train(
    *overrides: str,
    frame: Any = None,
    folder: str | Path | None = None,
    callbacks: "L.Callback | Sequence[L.Callback] | None" = None,
) -> Run:
    """Train like the command `litmlp-train`, then restore the process's random generators, threads and warnings.

    One run is trained at a time: calls in other threads wait.

    Args:
        *overrides: overrides as for the command, including `resume=<a run's folder>`.
        frame: rows to learn from, instead of the file at `data.path`: a frame of Polars or pandas, or a dict of arrays.
            It is for `data=table` or another table. To resume a run that learned from a frame, give the same frame.
        folder: the run's folder; the config's if None.
        callbacks: Lightning callbacks in addition to those of the config.

    Raises:
        InputError: the config or the data cannot be used.
        TrainingDiverged: the loss became infinite or NaN.
        KeyboardInterrupt: Ctrl-C was pressed. The run can be resumed.
    """
    from lightning.pytorch import Callback

    from litmlp.commands.train import begin

    extra = [callbacks] if isinstance(callbacks, Callback) else [*(callbacks or ())]
    if wrong := [one for one in extra if not isinstance(one, Callback)]:
        raise InputError(f"callbacks hold {shown(wrong[0])}: give objects of Lightning's Callback")
    with cli.in_sentences(), undisturbed():
        config, configured_folder, typed = _composed(overrides, is_table=frame is not None)
        if config.resume and folder is not None:
            raise InputError("a run is resumed in its own folder: leave folder out")
        place = paths.expanded(configured_folder if folder is None else folder)
        metrics = begin(config, place, typed, frame=frame, callbacks=extra)
    return Run(place, metrics)


def _composed(overrides: Sequence[str], is_table: bool = False) -> tuple[DictConfig, str, list[str]]:
    """Return the config, the run's folder that it names, and the overrides in Hydra's syntax.

    With `is_table`, the rows come from Python: `data=table` is the default, and `data.path` may be missing. A resumed
    run has its data in its own config.
    """
    for override in overrides:
        if not isinstance(override, str):
            raise InputError(f"{shown(override)} is no override: give texts, such as 'data=penguins', one by one")
        if override.startswith("-"):
            raise InputError(f"{shown(override)} is for the command line: give overrides, such as data=penguins")
    typed = cli.typed(list(overrides), open_keys=True)
    is_table = is_table and not any(override.startswith("resume=") for override in typed)
    if is_table and not any(override.startswith("data=") for override in typed):
        typed = ["data=table", *typed]
    with _hydra_set_aside(), hydra.initialize_config_dir(str(paths.CONF), version_base="1.3"):
        whole = hydra.compose("train", typed, return_hydra_config=True)
        folder = whole.hydra.run.dir
    if is_table and (OmegaConf.is_missing(whole.data, "path") or "path" in whole.data):
        with open_dict(whole):
            whole.data.path = None
    config: Any = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    return config, folder, typed


@contextmanager
def _hydra_set_aside() -> Iterator[None]:
    # The caller's program may use Hydra itself, but a process has only one global Hydra.
    before, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = before  # `instance()` may return another object than before


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let one thread at a time train, and restore at the end what a run changes in its process.

    These are the states of random generators, the number of threads, the precision of matrix products, the choice of
    deterministic algorithms, warnings, the level of Lightning's logger, and environment variables.
    """
    import numpy as np
    import torch

    # Only a device that the caller has used has a state to restore. To ask others for theirs would start all GPUs.
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with _one_at_a_time, warnings.catch_warnings(), torch.random.fork_rng(devices):
        python_state, numpy_state, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()
        precision, logger = torch.get_float32_matmul_precision(), logging.getLogger("lightning.pytorch")
        is_deterministic = torch.are_deterministic_algorithms_enabled()
        warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
        cudnn = torch.backends.cudnn
        flags = cudnn.benchmark, cudnn.deterministic
        level, environment = logger.level, {name: os.environ.get(name) for name in ENVIRONMENT}
        try:
            with torch.inference_mode(False), torch.enable_grad():  # the caller may have turned gradients off
                yield
        except SystemExit as end:
            # Lightning turns Ctrl-C into the end of the process, but a program or a notebook handles it itself.
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from end
            raise
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(precision)
            torch.use_deterministic_algorithms(is_deterministic, warn_only=warns_only)
            cudnn.benchmark, cudnn.deterministic = flags
            logger.setLevel(level)
            for name, value in environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
