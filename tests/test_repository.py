"""What lies around the code: links, hooks, and what make says when it cannot install."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from conftest import tracked
from litmlp.paths import ROOT


def test_every_relative_link_leads_somewhere():
    names = [name for name in tracked() if name.endswith(".md")]
    assert len(names) > 3
    for name in names:
        text = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", text):
            path, _, heading = target.partition("#")
            linked = (ROOT / name).parent / path if path else ROOT / name
            assert linked.exists(), (name, target)
            assert not heading or heading in headings(linked), (name, target)


def headings(path: Path) -> set[str]:
    """As GitHub names them in addresses."""
    lines = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


def test_hooks_use_the_pinned_ruff():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert f"ruff=={repository['rev'].removeprefix('v')}" in (ROOT / "constraints.txt").read_text().splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """With an environment in which pip always fails."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    program(tmp_path / ".venv/bin/python", "exit 1")
    return tmp_path


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def installing(clone: Path, *arguments: str) -> str:
    outer = ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")  # of the make that runs these tests: with them, it signs as make[1]
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    environment["PATH"] = f"{clone}:{os.environ['PATH']}"
    command = ["make", "--no-print-directory", "install", *arguments]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    return done.stderr.partition("make: ")[0]


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@needs_make
@pytest.mark.parametrize(("free", "said"), [(1_200_000, "the disk is full: 1.2 GB are free"), (9_000_000, "")])
def test_make_says_that_the_disk_is_full_where_it_is(clone: Path, free: int, said: str):
    program(clone / "df", f"echo heading; echo disk 1 2 {free} 3%")
    assert installing(clone).startswith(said)
    assert bool(installing(clone)) == bool(said)


@needs_make
def test_make_says_that_python_is_too_old(clone: Path):
    program(
        clone / "old",
        "exec python3 -c \"import sys; sys.version_info = (3, 9); sys.argv = sys.argv[:1]; exec('''$2''')\"",
    )
    assert installing(clone, f"PYTHON={clone / 'old'}").startswith("litmlp needs Python 3.11 or later")


@needs_make
@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ([], ["minutes=60"]),
        (["DATA=adult", "MINUTES=5"], ["minutes=5", "data=adult"]),
        (["DATA=my table.csv", "TARGET=the price"], ["minutes=60", "data=my table.csv", "data.target=the price"]),
        (["ARGS=data=adult seed=1"], ["minutes=60", "data=adult", "seed=1"]),
    ],
)
def test_make_best_passes_on_what_it_is_given(given: list[str], arguments: list[str], clone: Path):
    program(clone / ".venv/bin/python", "exit 0")
    program(clone / ".venv/bin/litmlp-best", 'printf "%s\\n" "$@"')
    command = ["make", "--no-print-directory", "--silent", "best", *given]
    own = {name: value for name, value in os.environ.items() if name not in ("ARGS", "MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, cwd=clone, env=own, capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if not line.startswith("installing")] == arguments
