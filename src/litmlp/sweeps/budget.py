"""The time that `litmlp-best` may take. What was spent is stored, so that a stopped command does not begin anew."""

import math
import threading
import time
from pathlib import Path
from typing import Any

from litmlp.errors import InputError
from litmlp.files import read_json, write_json
from litmlp.paths import display

FILE = "budget.json"
SECONDS_BETWEEN_WRITES = 1.0
SEARCH = 0.5  # the fraction of the time after which no run of the search begins; the rest is for folds
RUNS = 10  # that should fit into the time on each core, if each is as long as the shortest useful one
MIN_EPOCHS = 10  # fewer are only for budgets into which not even one such run would fit


class Budget:
    """Counts the seconds in which this context and earlier ones of the same folder lasted.

    Args:
        folder: what it is stored in.
        seconds: that may be spent in all.
        overrides: of the command; a folder belongs to one command.

    Attributes:
        bounds: overrides that keep each run short enough; None before they are known. They are stored with the time,
            because runs that belong together must not differ in them.
    """

    def __init__(self, folder: Path, seconds: float, overrides: list[str]) -> None:
        self.file = folder / FILE
        self.seconds = seconds
        self.overrides = overrides
        stored = read_json(self.file) if self.file.exists() else {}
        for name, given in {"seconds": seconds, "overrides": overrides}.items():
            if stored and stored.get(name) != given:
                raise InputError(
                    f"'{display(folder)}' holds the work of another command, with other {name}: type that one, or give "
                    "another output="
                )
        self.bounds: list[str] | None = stored.get("bounds")
        self.before = float(stored.get("spent", 0.0))
        self.started = time.perf_counter()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Budget":
        self.write()
        self.thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.ended.set()
        self.thread.join()
        self.write()

    @property
    def spent(self) -> float:
        """The seconds that were spent."""
        return self.before + time.perf_counter() - self.started

    @property
    def reserve(self) -> float:
        """The seconds that are kept for choosing and writing the model."""
        return max(5.0, 0.03 * self.seconds)

    @property
    def left(self) -> float:
        """The seconds that are left for training."""
        return self.seconds - self.reserve - self.spent

    @property
    def longest(self) -> float:
        """The seconds that a run may train: one that the search begins last then ends in time."""
        return max(2.0, (1 - SEARCH) * self.seconds - self.reserve)

    def write(self) -> None:
        """Store what was spent."""
        content = {"seconds": self.seconds, "overrides": self.overrides, "bounds": self.bounds, "spent": self.spent}
        write_json(self.file, content)

    def _watch(self) -> None:
        while not self.ended.wait(SECONDS_BETWEEN_WRITES):
            self.write()


def bounds(epoch: float, max_epochs: int | None, share: float, longest: float) -> list[str]:
    """Return the overrides that keep each run short enough.

    The learning rate follows the number of epochs. So fewer epochs are better than as many that time cuts off; the
    limit of time is for runs that take longer than those of the default settings.

    Args:
        epoch: the seconds that an epoch takes with the default settings.
        max_epochs: of a run that nothing bounds; None or -1 for no limit.
        share: the seconds of a run with which enough of them fit into the time.
        longest: the seconds that a run may train at most.
    """
    most = max_epochs if max_epochs is not None and max_epochs > 0 else math.inf
    epochs = min(most, max(share / epoch, MIN_EPOCHS), longest / epoch)
    part = [] if epochs >= 1 else [f"trainer.limit_train_batches={max(0.001, epochs):.3f}"]
    minutes, seconds = divmod(math.ceil(longest), 60)
    hours, minutes = divmod(minutes, 60)
    limit = f"{hours // 24:02}:{hours % 24:02}:{minutes:02}:{seconds:02}"
    return [f"trainer.max_epochs={max(1, int(epochs))}", *part, f"trainer.max_time={limit}"]
