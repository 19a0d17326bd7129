"""Storms of signals on commands as a user starts them, from the first moment to the last."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from litmlp.entry_points import MODULES
from soak.soaking import SIGNS_OF_A_FAULT, Soak
from soak.test_environment import SHORT, STRANGE, assert_whole, finished  # noqa: F401

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_PAUSE = 0.05  # seconds, between two signals of a storm
LONGEST_WAIT = 12.0  # before it


@pytest.mark.soak
def test_signals(soak: Soak, finished: Path, tmp_path: Path) -> None:  # noqa: F811
    commands = [
        ["train", *SHORT, "trainer.max_epochs=1000000"],
        ["train", "-m", "seed=0,1", *SHORT, "trainer.max_epochs=1000000"],
        ["train", *SHORT],
        ["train", "--help"],
        ["evaluate", f"checkpoint={finished}/run", f"data.path={finished}/{STRANGE}.csv", "output=out.json"],
        ["report", str(finished)],
    ]
    for number, generator in enumerate(soak.rounds(least=1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        name, *arguments = generator.choice(commands)
        if name == "train" and "--help" not in arguments:
            arguments.append(f"hydra.{'sweep' if '-m' in arguments else 'run'}.dir={folder}/mine")
        wait = generator.choice([0.0, generator.uniform(0, 1), generator.uniform(0, LONGEST_WAIT)])
        kinds = generator.choice([ENDING, ENDING[1:]])
        storm = [generator.choice(kinds) for _ in range(generator.randint(1, 20))]
        with soak.trial(f"{name} {arguments}, after {wait:.2f} s {[one.name for one in storm]}"):
            code, err = stormed(name, arguments, folder, wait, storm, generator)
            assert not [sign for sign in SIGNS_OF_A_FAULT if sign in err], err
            assert "Exception ignored" not in err, err
            assert code in (0, *(128 + one for one in storm), *(-one for one in storm)), f"{code} {err}"
            assert_whole(folder)
            soak.count(f"{name} {'completed' if code == 0 else 'stopped'}")


def stormed(
    name: str, arguments: list[str], folder: Path, wait: float, storm: list[signal.Signals], generator: random.Random
) -> tuple[int, str]:
    """Start a command, send signals, and return its exit code and what it said on stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", MODULES[name], *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        restore_signals=True,
        preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in ENDING],  # type: ignore[func-returns-value]
    )
    while signal.SIGINT in storm and process.poll() is None and not has_begun(process.pid):
        time.sleep(0.001)
    time.sleep(wait)
    for one in storm:
        process.send_signal(one)
        time.sleep(generator.uniform(0, LONGEST_PAUSE))
    try:
        _, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"still there a minute later: {process.communicate()[1]}") from None
    return process.returncode, err


def has_begun(pid: int) -> bool:
    """Tell whether a process is this project's yet: Python itself, while it starts, ends at Ctrl-C with a traceback."""
    try:
        state = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    (line,) = (line for line in state.splitlines() if line.startswith("SigCgt"))
    return bool(int(line.split()[1], 16) & 1 << signal.SIGTERM - 1)
