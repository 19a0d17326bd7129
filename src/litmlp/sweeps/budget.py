"""The time that `litmlp-best` may take. What was spent is stored, so that a stopped command does not begin anew."""

import math
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from litmlp.errors import InputError
from litmlp.files import read_json, write_json
from litmlp.paths import display

FILE = "budget.json"
SECONDS_BETWEEN_WRITES = 1.0
SEARCH = 0.5  # the fraction of the time after which no run of the search begins; the rest is for folds
RUNS = 10  # that should fit into the time: some to search, and folds of the best
MIN_EPOCHS, MIN_STEPS = 10, 2500  # a run with fewer is worse than fewer runs
SLOWER = 1.25  # how much longer an epoch takes beside other runs
SECONDS_TO_START = 8.0  # of the processes in which runs are trained


class Bounds(NamedTuple):
    """What keeps each run short enough.

    Attributes:
        overrides: for each run.
        run: the seconds that a run with the default settings then takes, about.
    """

    overrides: list[str]
    run: float


class Budget:
    """Counts the seconds in which this context and earlier ones of the same folder lasted.

    Args:
        folder: what it is stored in.
        seconds: that may be spent in all.
        overrides: of the command; a folder belongs to one command.

    Attributes:
        bounds: of each run; None before they are known. They are stored with the time, because runs that belong
            together must not differ in them.
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
        self.bounds = Bounds(**stored["bounds"]) if stored.get("bounds") else None
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

    def write(self) -> None:
        """Store what was spent."""
        content = {"seconds": self.seconds, "overrides": self.overrides, "spent": self.spent}
        write_json(self.file, content | {"bounds": self.bounds and self.bounds._asdict()})

    def search_seconds(self, fold_rounds: int) -> float:
        """Return for how long the search may begin runs; after it, folds of its best settings take so many rounds."""
        assert self.bounds is not None
        last = self.left - self.bounds.run  # a run that begins then is over in time
        rest = last - fold_rounds * self.bounds.run
        return last if rest < 0 else min(rest, SEARCH * self.seconds - self.spent)

    def bound(self, seconds_per_epoch: float, steps_per_epoch: int, max_epochs: int | None, num_jobs: int) -> Bounds:
        """Return what keeps each run short enough.

        The learning rate follows the number of epochs. So fewer epochs are better than as many that time cuts off; the
        limit of time is for runs that take longer than those with the default settings.

        Args:
            seconds_per_epoch: with the default settings.
            steps_per_epoch: the same.
            max_epochs: of a run that nothing bounds; None or -1 for no limit.
            num_jobs: the number of runs at the same time.
        """
        epoch, rest = seconds_per_epoch * SLOWER, max(2.0, self.left - SECONDS_TO_START)
        least = max(MIN_EPOCHS, MIN_STEPS / steps_per_epoch)
        most = max_epochs if max_epochs is not None and max_epochs > 0 else math.inf
        epochs = min(most, max(rest * num_jobs / RUNS / epoch, least), rest / epoch)
        part = [] if epochs >= 1 else [f"trainer.limit_train_batches={max(0.001, epochs):.3f}"]
        # A run that begins when the search has spent its part ends in time.
        longest = max(epochs * epoch, (1 - SEARCH) * self.seconds - self.reserve)
        overrides = [f"trainer.max_epochs={max(1, int(epochs))}", *part, f"trainer.max_time={_time(longest)}"]
        return Bounds(overrides, round(epochs * epoch, 3))

    def _watch(self) -> None:
        while not self.ended.wait(SECONDS_BETWEEN_WRITES):
            self.write()


def _time(seconds: float) -> str:
    minutes, seconds = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24:02}:{hours % 24:02}:{minutes:02}:{seconds:02}"
