"""Private names of libraries are in three modules, and the versions that these were tried with are capped."""

import ast
import logging
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from conftest import SMALL, compose_config
from litmlp import build
from litmlp.paths import PACKAGE, ROOT
from litmlp.training import compat
from litmlp.training.loop import RoundsOfSteps

MAY_REACH = ("training/compat.py", "training/loop.py", "populations/member.py")
OF_PYTHON = {"_replace", "_fields", "_asdict", "_make", "_exit"}  # of named tuples, and of os
OF_OPTUNA = {"_trial_id"}  # for which there is no other name; Optuna is capped
CAPPED = ("lightning", "torch", "torchmetrics", "tensorboard", "hydra-core", "polars", "numpy")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(files: list[Path]) -> list[str]:
    """Where code imports a private name of another package, or takes an attribute that no code of ours defines."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in files}
    ours = set(OF_PYTHON | OF_OPTUNA)
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            ours.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            ours.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            ours.add(node.attr)
    found = []
    for file, tree in trees.items():
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and not str(node.module).startswith(PACKAGE.name):
                names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [part for alias in node.names for part in alias.name.split(".")]
            elif isinstance(node, ast.Attribute) and node.attr not in ours:
                names = [node.attr]
            found += [f"{file.name}: {name}" for name in names if is_private(name) and name != "__future__"]
    return found


def test_no_other_module_reaches_for_private_names_of_libraries():
    files = [file for file in PACKAGE.rglob("*.py") if file.relative_to(PACKAGE).as_posix() not in MAY_REACH]
    assert len(files) > 100
    assert private_names(files) == []


def test_private_names_are_found_by_import_and_by_attribute(tmp_path: Path):
    code = "from lightning.a import _b\nimport torch._c\nx = trainer._loop\nclass A:\n    def _own(self): self._own()\n"
    (tmp_path / "a.py").write_text(code)
    assert private_names([tmp_path / "a.py"]) == ["a.py: _b", "a.py: _c", "a.py: _loop"]


@pytest.mark.parametrize("name", CAPPED)
def test_the_next_version_that_may_break_is_not_installed(name: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = (one for one in map(Requirement, project["dependencies"]) if one.name == name)
    assert any(part.operator == "<" for part in requirement.specifier)
    if name == "lightning":
        (cap,) = (part.version for part in requirement.specifier if part.operator == "<")
        assert tuple(map(int, cap.split("."))) == compat.TESTED[1]


@pytest.mark.parametrize("version", ["2.5.9", "2.7.0", "3.0.0rc1"])
def test_with_an_untried_lightning_its_own_loop_takes_the_steps(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    config = compose_config("data=penguins", "callbacks=none", "logger=none", *SMALL)
    assert type(build.trainer(config, str(tmp_path)).fit_loop.epoch_loop) is RoundsOfSteps
    monkeypatch.setattr("lightning.__version__", version)
    monkeypatch.delitem(sys.modules, RoundsOfSteps.__module__)  # not so much as imported: names in it may be gone
    trainer = build.trainer(config, str(tmp_path))
    assert RoundsOfSteps.__module__ not in sys.modules
    assert type(trainer.fit_loop.epoch_loop).__name__ == "_TrainingEpochLoop"
    said = f"steps are taken one by one: rounds of steps were not tried with Lightning {version}"
    assert said in caplog.messages


def test_entry_points_are_read_once_for_all_trainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = compose_config("data=penguins", "callbacks=none", "logger=none", *SMALL)
    compat.read_entry_points_once()
    build.trainer(config, str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("all installed packages were read")

    monkeypatch.setattr("importlib.metadata.distributions", refuse)
    build.trainer(config, str(tmp_path))
