"""Folders that this process made: no other folder is removed, however empty it is."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

_made: set[Path] = set()


class Watch(Callback):
    """Notes which folders are not there yet, just before Hydra makes that of a run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """See `Callback.on_run_start`."""
        if config.get("resume"):
            return
        with suppress(OmegaConfBaseException, OSError):  # Hydra meets the same error next, and raises it
            _note(Path(config.hydra.run.dir))


def make(folder: Path) -> None:
    """Make a folder and those above it."""
    _note(folder)
    folder.mkdir(parents=True, exist_ok=True)


def remove(folder: Path) -> None:
    """Remove a folder and those above it, as far as this process made them and they are empty."""
    absolute = folder.absolute()
    for path in (absolute, *absolute.parents):
        if path not in _made:
            return
        try:
            path.rmdir()
        except OSError:
            return
        _made.remove(path)


def _note(folder: Path) -> None:
    absolute = folder.absolute()
    _made.update(path for path in (absolute, *absolute.parents) if not path.exists())
