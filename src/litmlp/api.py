"""Composing and training from Python, with the overrides of the command."""

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

from litmlp import cli, paths, run
from litmlp.errors import InputError, shown
from litmlp.files import read_yaml

if TYPE_CHECKING:
    import lightning.pytorch as L

    from litmlp.model import Model

SEEDS = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")  # environment variables that Lightning sets


class Run(NamedTuple):
    """A run that is over.

    Attributes:
        folder: where all of it is kept.
        metrics: `val/...` and `test/...` of the best weights, `objective`, `epochs`, `steps`, and more.
    """

    folder: Path
    metrics: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """What was asked for, as plain values."""
        return read_yaml(self.folder / run.CONFIG)

    def load(self) -> "Model":
        """Return the model with the best weights."""
        from litmlp.model import load

        return load(self.folder)


def compose(*overrides: str) -> dict[str, Any]:
    """Return the config of a run, as plain values.

    Args:
        *overrides: as the command `litmlp-train` takes them, such as `data=penguins` or `trainer.max_epochs=5`.

    Raises:
        InputError: an override cannot be followed; the sentence says why, as that of the command does.
    """
    with cli.in_sentences():
        return cli.resolved(_composed(overrides)[0])


def train(
    *overrides: str, frame: Any = None, folder: str | Path | None = None, callbacks: Sequence["L.Callback"] = ()
) -> Run:
    """Do a run, as the command `litmlp-train` does, and leave Python as it was: generators, threads, warnings.

    Args:
        *overrides: as the command takes them, `resume=<a run's folder>` among them.
        frame: rows to learn from, for `data=table` or another table, whose `path` is then of no use: a frame of Polars
            or pandas, or a dict of arrays.
        folder: where the run is kept; as the config says if None.
        callbacks: of Lightning, more than those of the config.

    Raises:
        InputError: the config or the data cannot be used.
        TrainingDiverged: the loss became infinite or no number.
    """
    from litmlp.commands.train import begin

    with cli.in_sentences(), undisturbed():
        config, chosen, typed = _composed(overrides, is_table=frame is not None)
        place = Path(chosen if folder is None else folder)
        metrics = begin(config, place, typed, frame=frame, callbacks=callbacks)
    return Run(place, metrics)


def _composed(overrides: Sequence[str], is_table: bool = False) -> tuple[DictConfig, str, list[str]]:
    # The config, the folder that it names, and the overrides as Hydra wants them; perhaps for a table without a file.
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
    # For a program that uses Hydra itself: there is one of it in a process.
    before, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = before  # another object by now


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back, in the end, what a run changes of its process: generators, threads, precision, warnings, loggers."""
    import numpy as np
    import torch

    of_python, of_numpy, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()
    precision, logger = torch.get_float32_matmul_precision(), logging.getLogger("lightning.pytorch")
    level, environment = logger.level, {name: os.environ.get(name) for name in SEEDS}
    with warnings.catch_warnings(), torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(precision)
            logger.setLevel(level)
            for name, value in environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
