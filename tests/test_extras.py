"""What an extra brings is told of where it is missing, with the command that installs it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import UNDRAWN
from litmlp.cli import sentence
from litmlp.errors import EXTRAS, install, needed_extra
from litmlp.paths import ROOT

SWEEP = ["-m", "data=penguins", "seed=0,1", "trainer.max_epochs=1", *UNDRAWN, "hydra.sweep.dir=sweep"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "overrides", "extra"),
    [
        ("ray", [*SWEEP, "hydra/launcher=ray"], "ray"),
        ("optuna", [*SWEEP, "hydra/sweeper=optuna", "optimizer.lr=interval(0.1,1)"], "sweep"),
        ("mlflow", ["data=penguins", "logger=mlflow", *UNDRAWN, "hydra.run.dir=run"], "mlflow"),
        ("wandb", ["data=penguins", "logger=wandb", *UNDRAWN, "hydra.run.dir=run"], "wandb"),
    ],
)
def test_a_missing_package_names_its_extra(missing: str, overrides: list[str], extra: str, tmp_path: Path):
    code = f"import sys; sys.modules[{missing!r}] = None; sys.argv = {['train', *overrides]}\n"
    code += "from litmlp.entry_points import train\ntrain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert install(extra) in done.stderr


@pytest.mark.parametrize(
    ("launcher", "extra"), [("joblib", "sweep"), ("submitit_local", "slurm"), ("submitit_slurm", "slurm")]
)
def test_a_launcher_that_is_not_there_names_its_extra(launcher: str, extra: str):
    """As after `make install`, when Hydra does not find the plugin."""
    from hydra.errors import MissingConfigException

    error = MissingConfigException("", f"hydra/launcher/{launcher}", ["basic", "ray"])
    assert sentence(error) == f"hydra/launcher={launcher} needs an extra that is not installed: {install(extra)}"


def test_extras_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {*EXTRAS.values()} <= {*project["optional-dependencies"]}
    assert needed_extra(ImportError("No module named 'nothing'", name="nothing")) is None
