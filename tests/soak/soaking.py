"""What the soak tests share: a budget of time, counts, the smallest failing input, and commands that must end well."""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase

MAX_SECONDS = 10.0  # of the processor, for a small input
MAX_MEGABYTES = 2_000.0
CPU_LIMIT = 60  # seconds, after which a command is killed
EXAMPLES_A_ROUND = 25
LETTERS_OF_A_KIND = 60  # at the start of the last line of what an error says
SIGNS_OF_A_FAULT = ("Traceback (most recent call last)", "panicked at", "a fault of the code", "Segmentation fault")


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        code: the exit code; negative for a signal that killed it.
        seconds: of the processor.
        megabytes: the most memory that it held.
    """

    command: str
    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float
    megabytes: float

    def check(self, *codes: int) -> "Ended":
        """Return itself; raise AssertionError for a traceback, a wordless or costly end, or a code not in `codes`."""
        said = f"{self.command} {' '.join(self.arguments)}\n-> {self.code}\n{self.out[-2000:]}\n{self.err[-4000:]}"
        for sign in SIGNS_OF_A_FAULT:
            assert sign not in self.err + self.out, said
        assert self.code in (codes or (0, 2)), said
        if self.code != 0:
            *_, last = self.err.strip().splitlines() or [""]
            assert last.startswith(f"litmlp-{self.command}: "), said
            assert len(last) < 1000, said
        assert self.seconds < MAX_SECONDS, f"{self.seconds:.1f} s of the processor: {said}"
        assert self.megabytes < MAX_MEGABYTES, f"{self.megabytes:.0f} MB: {said}"
        return self


class Commands:
    """Starts commands from a process that has imported what they need; see `server.py`."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, Path(__file__).parent / "server.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "MPLBACKEND": "agg"},
        )
        self.megabytes = self._answer()["megabytes"]  # that the imports take

    def run(
        self,
        command: str,
        *arguments: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        cpu_limit: int = CPU_LIMIT,
        **surroundings: Any,
    ) -> Ended:
        """Run `train`, `evaluate`, `predict` or `report`, or the script of that path, in `folder`.

        Among its surroundings can be an encoding of the streams, those that are `closed`, standard output whose
        `reader_gone` is true, another file as `out`, `limits` as `resource` names them, a `file_limit` in bytes
        that can be raised, and a working directory that is removed first (`without_folder`).
        """
        assert self.server.stdin is not None
        with tempfile.TemporaryDirectory() as place:
            request = {
                "command": command,
                "arguments": arguments,
                "folder": str(folder),
                "out": f"{place}/out",
                "err": f"{place}/err",
                "environment": dict(environment or {}),
                "cpu_limit": cpu_limit,
                **surroundings,
            }
            self.server.stdin.write(json.dumps(request) + "\n")
            self.server.stdin.flush()
            answer = self._answer()
            out, err = (
                file.read_text(errors="replace") if (file := Path(place, name)).is_file() else ""
                for name in ("out", "err")
            )
        return Ended(command, arguments, answer["code"], out, err, answer["seconds"], answer["megabytes"])

    def _answer(self) -> dict[str, Any]:
        assert self.server.stdout is not None
        return json.loads(self.server.stdout.readline())


@lru_cache(maxsize=1)
def commands() -> Commands:
    """Return the one server of this process; it ends when its input does, so with this process."""
    return Commands()


class Soak:
    """A family of inputs, tried until its time is over.

    Args:
        name: what is tried.
        seconds: how long; at least one round is done.
        seed: from which all that is drawn follows.
    """

    def __init__(self, name: str, seconds: float, seed: int) -> None:
        self.name = name
        self.end = time.monotonic() + seconds
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.failures: list[tuple[str, str]] = []  # inputs, and what went wrong
        self.random = random.Random(f"{name} {seed}")

    def count(self, label: str) -> None:
        """Count one try that ended in the way `label`."""
        self.counts[label] += 1

    def rounds(self, least: int = 1) -> Iterator[random.Random]:
        """Yield the generator of random numbers of each round, until the time is over."""
        number = 0
        while number < least or time.monotonic() < self.end:
            yield random.Random(f"{self.name} {self.seed} {number}")
            number += 1

    @contextmanager
    def trial(self, described: str) -> Iterator[None]:
        """Keep what an error says of the input `described`, and go on."""
        try:
            yield
        except Exception as error:
            self.count("FAILED")
            said = str(error) if isinstance(error, AssertionError) else "".join(traceback.format_exception(error))
            self.failures.append((described, said))

    def explore(self, strategy: Any, check: Callable[[Any], str]) -> None:
        """Draw inputs from a strategy of Hypothesis; `check` returns how one ended, or raises AssertionError.

        A failing input is shrunk to the smallest one that fails.
        """
        for generator in self.rounds():
            settings = hypothesis.settings(
                max_examples=EXAMPLES_A_ROUND,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
                print_blob=False,
            )

            @hypothesis.seed(generator.getrandbits(64))
            @settings
            @hypothesis.given(strategy)
            def one_round(drawn: Any) -> None:
                if time.monotonic() < self.end or not self.counts:
                    self.count(check(drawn))

            one_round()

    def summary(self) -> str:
        """Return the counts in a line."""
        told = ", ".join(f"{count} {label}" for label, count in sorted(self.counts.items()))
        return f"{self.name}: {sum(self.counts.values())} tried: {told or 'nothing'}"

    def finish(self) -> None:
        """Raise AssertionError with the smallest input that failed of each kind, if any did."""
        smallest: dict[str, str] = {}
        for described, error in sorted(self.failures, key=lambda failure: len(failure[0])):
            kind = (error.strip().splitlines() or [""])[-1][:LETTERS_OF_A_KIND]
            smallest.setdefault(kind, f"{described}\n{error}")
        if smallest:
            told = "\n\n".join(smallest.values())
            raise AssertionError(
                f"{len(self.failures)} of {sum(self.counts.values())} failed with seed {self.seed}; the smallest of "
                f"each of {len(smallest)} kinds:\n{told}"
            )
