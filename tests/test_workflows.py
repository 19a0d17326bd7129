"""What GitHub runs can be read, and names what is there."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from litmlp.paths import ROOT

FOLDER = ROOT / ".github/workflows"
WORKFLOWS = sorted(path.name for path in FOLDER.glob("*.yml"))


def jobs(workflow: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / workflow).read_text())["jobs"]


def steps(workflow: str, key: str) -> list[Any]:
    return [step[key] for job in jobs(workflow).values() for step in job["steps"] if key in step]


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_make_targets_and_files_exist(workflow: str):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    for command in steps(workflow, "run"):
        assert set(re.findall(r"make ([a-z-]+)", command)) <= set(targets)
        for name in re.findall(r"\S+/\S+|\S+\.(?:txt|py|toml)\b", command):
            assert (ROOT / name).is_file(), name
    for settings in steps(workflow, "with"):
        assert (ROOT / settings["cache-dependency-path"]).is_file()


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_extras_and_marks_exist(workflow: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    marks = {mark.partition(":")[0] for mark in project["tool"]["pytest"]["ini_options"]["markers"]}
    for command in steps(workflow, "run"):
        assert set(re.findall(r"\.\[(\w+)\]", command)) <= set(project["project"]["optional-dependencies"])
        if "pytest" in command:
            assert re.search(r"-m (?:slow|\"not slow\")$", command)
            assert "slow" in marks


def test_all_pythons_from_the_oldest_and_all_systems_are_tried():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    matrix = jobs("test.yml")["fast"]["strategy"]["matrix"]
    assert project["project"]["requires-python"] == f">={matrix['python'][0]}"
    newest = {(entry["os"].partition("-")[0], entry["python"]) for entry in matrix["include"]}
    ends = (matrix["python"][0], matrix["python"][-1])
    assert newest == {(system, python) for system in ("macos", "windows") for python in ends}


def test_no_job_of_windows_uses_make():
    (job,) = (job for job in jobs("test.yml").values() if "windows-latest" in str(job))
    assert not [step for step in job["steps"] if "make" in step.get("run", "")]


def test_dependabot_watches_what_there_is():
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"pip", "github-actions"}
