"""Runs and sweeps on a disk that is full, or where files may not grow, go on to the same bits when there is room."""

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from soak.soaking import Ended, Soak, commands
from soak.test_kills import SMALL, differing, goes_on, results

KINDS = {
    "hydra.run.dir": [*SMALL, "trainer.max_epochs=12", "callbacks.early_stopping.patience=1000"],
    "hydra.sweep.dir": [
        *("-m", *SMALL, "trainer.max_epochs=3", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"),
        "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    ],
}
FREE = 21_000_000  # a sweep begins no job with less
MAX_TRIES = 3


@contextmanager
def disk(place: Path) -> Iterator[Path]:
    """A folder on a disk of its own, in memory."""
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a small disk takes the rights to do so")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def resize(place: Path, num_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={max(4096, num_bytes)}", place], check=True)


def used(place: Path) -> int:
    state = os.statvfs(place)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def references(place: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for where, arguments in KINDS.items():
        commands().run("train", *arguments, f"{where}={place / where}", folder=place).check(0)
        found[where] = results(place / where)
    return found


def check_said(ended: Ended, words: str) -> None:
    if ended.code:
        ended.check(1, 2)
        assert words in ended.out + ended.err, ended


def check_goes_on(soak: Soak, where: str, folder: Path, expected: dict[str, Any], generator: random.Random) -> None:
    ended = commands().run("train", *goes_on(KINDS[where], folder, where, generator), folder=folder.parent)
    assert ended.code == 0, ended
    assert not differing(results(folder), expected), f"{differing(results(folder), expected)}\n{ended}"
    soak.count("went on to the same bits")


@pytest.mark.soak
def test_full_disks(soak: Soak, tmp_path: Path) -> None:
    whole = references(tmp_path)
    with disk(tmp_path / "disk") as place:
        for number, generator in enumerate(soak.rounds()):
            where = generator.choice(list(KINDS))
            folder = place / str(number)
            with soak.trial(f"round {number}"):
                for _ in range(generator.randint(1, MAX_TRIES)):
                    room = int(generator.random() ** 3 * 1_000_000)
                    may_begin = where == "hydra.sweep.dir" and generator.random() < 0.7
                    resize(place, used(place) + room + (FREE if may_begin else 0))
                    arguments = goes_on(KINDS[where], folder, where, generator)
                    check_said(commands().run("train", *arguments, folder=place), "disk is full")
                    soak.count(f"tried, {where}")
                resize(place, used(place) + 2 * FREE)
                check_goes_on(soak, where, folder, whole[where], generator)
            subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.soak
def test_limits_of_file_size(soak: Soak, tmp_path: Path) -> None:
    whole = references(tmp_path)
    for number, generator in enumerate(soak.rounds()):
        where = generator.choice(list(KINDS))
        folder = tmp_path / str(number)
        with soak.trial(f"round {number}"):
            for _ in range(generator.randint(1, MAX_TRIES)):
                limit = 1000 + int(generator.random() ** 2 * 150_000)
                arguments = goes_on(KINDS[where], folder, where, generator)
                ended = commands().run("train", *arguments, folder=tmp_path, file_limit=limit)
                check_said(ended, "ulimit -f")
                soak.count(f"{'hindered' if ended.code else 'not hindered'}, {where}")
            check_goes_on(soak, where, folder, whole[where], generator)
