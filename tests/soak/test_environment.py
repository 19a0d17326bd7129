"""Commands in odd surroundings: streams, limits, folders, variables, and places to write to."""

import json
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import SLOPE
from litmlp.entry_points import MODULES
from soak.soaking import Ended, Soak, commands

TINY = [
    *("network.hidden_sizes=[4]", "network/embedding=none"),
    *("trainer.max_epochs=1", "trainer.accelerator=cpu", "threads=1"),
]
SHORT = [*SLOPE, *TINY]
STRANGE = "tëst ± 表 \U0001f600"
OWN = ["task=classification", f"data.path={STRANGE}.csv", f"data.target={STRANGE}", *TINY]
LIMITS = {"NOFILE": (24, 32, 64), "FSIZE": (2_000, 5_000, 50_000), "DATA": (2**28, 2**30), "STACK": (2**16,)}
VARIABLES = {
    "COLUMNS": ("0", "1", "-1", "x", "100000"),
    "LINES": ("0", "x"),
    "TERM": ("dumb", "", "nonsense"),
    "TZ": ("", "Mars/Olympus", ":/etc/passwd", "UTC+99"),
    "HOME": ("/nonexistent", "/dev/null", ""),
    "TMPDIR": ("/nonexistent", "/dev/null", "/proc"),
    "MPLCONFIGDIR": ("/nonexistent", "/dev/null"),
    "MPLBACKEND": ("nonsense", "tkagg"),
    "LITMLP_CACHE": ("/dev/null", "/proc/1", ""),
    "LITMLP_CACHE_GB": ("abc", "nan", "-1", "0", "1e999"),
    "OMP_NUM_THREADS": ("abc", "0", "-1", "4,2", "", "99999"),
    "CUDA_VISIBLE_DEVICES": ("", "-1", "7", "x"),
    "SLURM_JOB_ID": ("", "1", "x"),
    "SLURM_NTASKS": ("1", "2", "x"),
    "WORLD_SIZE": ("1", "2", "x"),
    "LOCAL_RANK": ("0", "1", "x"),
    "NO_COLOR": ("1",),
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table whose name, columns and classes are in many scripts, and its table."""
    folder = tmp_path_factory.mktemp("finished")
    lines = [f"{i},{i % 7},{'漢' if i % 2 else 'ß±'}" for i in range(60)]
    (folder / f"{STRANGE}.csv").write_text("\n".join([f"x,größe \U0001f600,{STRANGE}", *lines]), encoding="utf-8")
    commands().run("train", *OWN, "hydra.run.dir=run", folder=folder).check(0)
    return folder


@pytest.mark.soak
def test_surroundings(soak: Soak, finished: Path, tmp_path: Path) -> None:
    for number, generator in enumerate(soak.rounds(least=8)):
        folder = tmp_path / str(number)
        shutil.copytree(finished, folder)
        command, arguments = drawn_command(generator)
        around = drawn_surroundings(generator)
        if around.get("without_folder"):
            arguments = ["hydra.run.dir=/x"]
        work = tmp_path / f"{number} gone" if around.get("without_folder") else folder
        work.mkdir(exist_ok=True)
        with soak.trial(f"{command} {arguments} in {around}"):
            ended = commands().run(command, *arguments, folder=work, **around)
            if 2 in around.get("closed", ()):
                assert ended.code in (0, 1, 2), ended
            else:
                ended.check(0, 1, 2)
            assert_whole(folder)
            soak.count(f"{command} {ended.code}")
        shutil.rmtree(folder)


def drawn_command(generator: random.Random) -> tuple[str, list[str]]:
    return generator.choice(
        [
            ("train", [*SHORT, "hydra.run.dir=new"]),
            ("train", [*OWN, "hydra.run.dir=new"]),
            ("train", ["resume=run", "trainer.max_epochs=2"]),
            ("train", ["--help"]),
            ("train", ["--cfg", "job"]),
            ("train", ["-m", "seed=0,1", *SHORT, "hydra.sweep.dir=new"]),
            ("evaluate", ["checkpoint=run"]),
            ("evaluate", ["checkpoint=run", f"data.path={STRANGE}.csv", "output=out.json"]),
            ("evaluate", ["--help"]),
            ("predict", ["checkpoint=run", f"data.path={STRANGE}.csv", "output=out.csv"]),
            ("predict", ["--cfg", "job"]),
            ("report", ["run"]),
            ("report", [".", "--write", "report"]),
            ("report", ["--help"]),
        ]
    )


def drawn_surroundings(generator: random.Random) -> dict[str, Any]:
    around: dict[str, Any] = {"environment": {}}
    for _ in range(generator.randint(1, 3)):
        kind = generator.randrange(6)
        if kind == 0:
            around["closed"] = generator.sample(range(3), generator.randint(1, 3))
        elif kind == 1:
            around |= generator.choice([{"reader_gone": True}, {"out": "/dev/full"}, {"err": "/dev/full"}])
        elif kind == 2:
            around["encoding"] = generator.choice(["ascii", "latin-1", "cp1252"])
        elif kind == 3:
            name = generator.choice(list(LIMITS))
            around["limits"] = {name: generator.choice(LIMITS[name])}
        elif kind == 4 and generator.random() < 0.3:
            around["without_folder"] = True
        else:
            name = generator.choice(list(VARIABLES))
            around["environment"][name] = generator.choice(VARIABLES[name])
    if around.get("err"):
        around["closed"] = [2]  # nothing is seen of it either way
    return around


def assert_whole(folder: Path) -> None:
    """Each file that a command writes whole is so, and none is left beside its place."""
    assert not list(folder.rglob("*.tmp"))
    for file in folder.rglob("*.json"):
        if file.stat().st_size:
            json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.soak
def test_start(soak: Soak, finished: Path, tmp_path: Path) -> None:
    """Processes of their own: what decides while Python and libraries start."""
    for number, generator in enumerate(soak.rounds(least=1)):
        folder = tmp_path / str(number)
        shutil.copytree(finished, folder)
        command, arguments = drawn_command(generator)
        around = " ".join(generator.sample(STARTS, generator.randint(1, 2)))
        limit = generator.choice(
            ["", *(f"ulimit -{name} {generator.randint(*ends)};" for name, ends in ULIMITS.items())]
        )
        line = f'{limit} {around} "$@" {generator.choice(STREAMS)}'
        with soak.trial(f"{command} {arguments}: {line}"):
            given = [sys.executable, "-m", MODULES[command], *arguments]
            encoding = "utf-16" if "utf-16" in around else "utf-8"
            done = subprocess.run(
                ["bash", "-c", line, "bash", *given],
                cwd=folder,
                capture_output=True,
                encoding=encoding,
                errors="replace",
            )
            said = done.stderr.replace("\ufeff", "")  # which begins what a stream writes in UTF-16
            ended = Ended(command, tuple(arguments), done.returncode, done.stdout, said, 0.0, 0.0)
            if "2>" in line:
                assert ended.code in (0, 1, 2), ended
            else:
                ended.check(0, 1, 2)
            assert_whole(folder)
            soak.count(f"{command} {ended.code}")
        shutil.rmtree(folder)


STARTS = [
    *("PYTHONWARNINGS=error", "PYTHONWARNINGS=nonsense", "PYTHONOPTIMIZE=2", "PYTHONOPTIMIZE=1", "PYTHONUNBUFFERED=1"),
    *("LC_ALL=C PYTHONIOENCODING=ascii PYTHONUTF8=0 PYTHONCOERCECLOCALE=0", "LC_ALL=C", "LC_ALL=nonsense", "LANG="),
    *("PYTHONIOENCODING=utf-16", "PYTHONIOENCODING=latin-1:strict", "PYTHONUTF8=1", "PYTHONHASHSEED=0"),
    *("HOME=/nonexistent", "env -u HOME", "TMPDIR=/nonexistent", "MPLCONFIGDIR=/dev/null", "XDG_CACHE_HOME=/dev/null"),
    *("OMP_NUM_THREADS=abc", "OMP_NUM_THREADS=0", "OMP_NUM_THREADS=-1", "OMP_NUM_THREADS=4,2", "MKL_NUM_THREADS=x"),
    *("POLARS_MAX_THREADS=0", "POLARS_MAX_THREADS=x", "RAYON_NUM_THREADS=x", "CUDA_VISIBLE_DEVICES=", "TZ=Mars"),
    *("COLUMNS=0", "COLUMNS=1", "TERM=", "PYTHONDEVMODE=0", "PYTHONMALLOC=malloc", "PYTHONNOUSERSITE=1", "env -u PATH"),
]
ULIMITS = {"v": (500_000, 4_000_000), "n": (24, 64), "f": (4, 100), "s": (256, 2_000)}
STREAMS = [
    "",
    "",
    ">&-",
    "<&-",
    "2>&-",
    ">&- 2>&- <&-",
    ">/dev/full",
    "2>/dev/full",
    "| head -1; exit ${PIPESTATUS[0]}",
]


@pytest.mark.soak
def test_output(soak: Soak, finished: Path, tmp_path: Path) -> None:
    for number, generator in enumerate(soak.rounds(least=10)):
        folder = tmp_path / str(number)
        shutil.copytree(finished, folder)
        with place(folder, generator) as output:
            before = contents(folder)
            command = generator.choice(["evaluate", "predict"])
            given = [
                "checkpoint=run",
                *([f"data.path={STRANGE}.csv"] if command == "predict" else []),
                f"output={output}",
            ]
            with soak.trial(f"{command} output={output}"):
                ended = commands().run(command, *given, folder=folder).check(0, 2)
                after = contents(folder)
                assert {name: after.get(name) for name in before} == before
                assert len(after) - len(before) <= (ended.code == 0), after.keys() - before.keys()
                soak.count(f"{command} {ended.code}")
        shutil.rmtree(folder)


NAMES = [
    *("out.csv", "out.json", "x.CSV", "x.Json", "x.parquet", "", ".", "..", "/", "x.csv/", "./run/../x.csv"),
    *("1e3", "true", "[a,b]", "{a:1}", "null", "7", "-1", ".csv", "...json", "nan.csv", "con.csv", "~nobody7/x.csv"),
    *("${HOME}.csv", "$(x).csv", "%s%n.csv", "a=b.csv", "a'b.csv", 'a"b.json', "a b.csv", " x.csv", "x.csv "),
    *("\u202etxt.csv", "\ufeffx.json", "\\x.csv", "表.csv", f"{'表' * 80}.csv", f"{'表' * 84}.csv"),
    *(f"{'x' * 230}.csv", f"{'x' * 245}.csv", f"{'x' * 251}.csv", f"{'x' * 300}.json", f"{'a/' * 2100}x.csv"),
    *("no/x.csv", f"{STRANGE}.csv/x.csv", "/proc/1/x.csv", "/proc/x.json", "/dev/null/x.csv", "/dev/x/y.json"),
    *("run/new.csv", "run/new.json", "run/metrics.json", "run/job.json", "run/checkpoints/x.csv"),
]


@contextmanager
def place(folder: Path, generator: random.Random) -> Iterator[str]:
    """Yield where to write: a name, or what a name stands for that is no ordinary file or another one's."""
    link = folder / f"link.{generator.choice(['csv', 'json', 'parquet'])}"
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    kind = generator.choice(["name", "name", "file", "symbolic", "hard", "strange", "device"])
    if kind == "name":
        yield generator.choice(NAMES)
    elif kind == "file":
        yield str(generator.choice(files).relative_to(folder))
    elif kind == "device":
        link.symlink_to(generator.choice(["/dev/null", "/dev/full", "/dev/zero", "/dev/tty"]))
        yield link.name
    elif kind == "strange":
        with socket.socket(socket.AF_UNIX) as listening:
            here = os.open(folder, os.O_RDONLY)
            make = generator.choice(
                [link.mkdir, lambda: os.mkfifo(link), lambda: listening.bind(f"/proc/self/fd/{here}/{link.name}")]
            )
            make()
            os.close(here)
            yield link.name
    else:
        target = generator.choice(files)
        link.symlink_to(target) if kind == "symbolic" else link.hardlink_to(target)
        yield link.name


def contents(folder: Path) -> dict[str, Any]:
    """Return the kind of each entry, and what ordinary files hold."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if stat.S_ISREG(mode := path.lstat().st_mode) else mode
        for path in sorted(folder.rglob("*"))
    }
