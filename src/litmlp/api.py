"""Composes configs and trains from Python, with the same overrides as the command."""

import logging
import os
import random
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

SEEDS = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")  # environment variables that Lightning sets


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


def compose(*overrides: str) -> dict[str, Any]:
    """Return the config of a run, as plain values.

    Args:
        *overrides: overrides as for the command `litmlp-train`, such as `data=penguins` or `trainer.max_epochs=5`.

    Raises:
        InputError: an override cannot be applied; the message is the same as the command's.
    """
    with cli.in_sentences():
        return cli.resolved(_composed(overrides)[0])


def train(
    *overrides: str, frame: Any = None, folder: str | Path | None = None, callbacks: Sequence["L.Callback"] = ()
) -> Run:
    """Train like the command `litmlp-train`, then restore the process's random generators, threads and warnings.

    Args:
        *overrides: overrides as for the command, including `resume=<a run's folder>`.
        frame: rows to learn from, instead of the file at `data.path`: a frame of Polars or pandas, or a dict of arrays.
            It is for `data=table` or another table.
        folder: the run's folder; the config's if None.
        callbacks: Lightning callbacks in addition to those of the config.

    Raises:
        InputError: the config or the data cannot be used.
        TrainingDiverged: the loss became infinite or NaN.
    """
    from litmlp.commands.train import begin

    with cli.in_sentences(), undisturbed():
        config, configured_folder, typed = _composed(overrides, is_table=frame is not None)
        run_folder = Path(configured_folder if folder is None else folder)
        metrics = begin(config, run_folder, typed, frame=frame, callbacks=callbacks)
    return Run(run_folder, metrics)


def _composed(overrides: Sequence[str], is_table: bool = False) -> tuple[DictConfig, str, list[str]]:
    """Return the config, the run's folder that it names, and the overrides in Hydra's syntax.

    With `is_table`, the rows come from Python: `data=table` is the default, and `data.path` may be missing.
    """
    for override in overrides:
        if override.startswith("-"):
            raise InputError(f"{shown(override)} is for the command line: give overrides, such as data=penguins")
    typed = cli.typed(list(overrides), open_keys=True)
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
    """Restore at the end what a run changes in its process.

    These are the states of random generators, the number of threads, the precision of matrix products, warnings, the
    level of Lightning's logger, and environment variables.
    """
    import numpy as np
    import torch

    python_state, numpy_state, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()
    precision, logger = torch.get_float32_matmul_precision(), logging.getLogger("lightning.pytorch")
    level, environment = logger.level, {name: os.environ.get(name) for name in SEEDS}
    with warnings.catch_warnings(), torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(precision)
            logger.setLevel(level)
            for name, value in environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
