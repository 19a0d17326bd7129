"""What can be seen of containers without building one."""

import json
import re
import tomllib

from litmlp.paths import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
DEVCONTAINER = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_all_that_is_copied_exists():
    sources = [name for line in re.findall(r"^COPY (.*)$", DOCKERFILE, flags=re.M) for name in line.split()[:-1]]
    named = [name for name in sources if not name.startswith("--")]
    assert "pyproject.toml" in named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_what_the_build_reads_is_copied_before_it():
    before = DOCKERFILE.partition("pip install")[0]
    build = PROJECT["tool"]["hatch"]["build"]
    needed = [
        build["targets"]["wheel"]["hooks"]["custom"]["path"],
        PROJECT["project"]["readme"],
        *PROJECT["project"]["license-files"],
    ]
    assert [name for name in needed if name not in before] == []
    assert all(package in before for package in build["targets"]["wheel"]["packages"])


def test_python_is_the_oldest_that_is_supported():
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert re.findall(r"^FROM python:(\S+)-slim", DOCKERFILE, flags=re.M) == [oldest]
    assert DEVCONTAINER["image"].endswith(f":{oldest}")


def test_nothing_runs_with_privileges():
    assert DOCKERFILE.rstrip().splitlines()[-2] == "USER user"


def test_targets_of_make_exist():
    (target,) = re.findall(r"make (\S+)", DEVCONTAINER["postCreateCommand"])
    assert f"\n{target}:" in (ROOT / "Makefile").read_text()


def test_large_and_private_folders_stay_outside():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", ".cache", "runs"} <= set(ignored)
