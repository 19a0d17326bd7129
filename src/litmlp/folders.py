"""Remembers which folders this process made: no other folder is ever removed, even if it is empty."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

_made: set[Path] = set()


class Watch(Callback):
    """Records which folders do not exist yet, just before Hydra makes the folder of a run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """See `Callback.on_run_start`."""
        if config.get("resume"):
            return
        with suppress(OmegaConfBaseException, OSError):  # Hydra meets the same error next, and raises it
            _record(Path(config.hydra.run.dir))


def make(folder: Path) -> None:
    """Make a folder and its parents."""
    _record(folder)
    folder.mkdir(parents=True, exist_ok=True)


def remove(folder: Path) -> None:
    """Remove a folder and its parents, as long as this process made them and they are empty."""
    absolute = folder.absolute()
    for path in (absolute, *absolute.parents):
        if path not in _made:
            return
        try:
            path.rmdir()
        except OSError:
            return
        _made.remove(path)


def _record(folder: Path) -> None:
    absolute = folder.absolute()
    _made.update(path for path in (absolute, *absolute.parents) if not path.exists())
