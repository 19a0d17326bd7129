"""The commands as a user types them, in processes of their own."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from conftest import SLOPE, Refused
from litmlp.entry_points import MODULES
from litmlp.paths import ROOT

SCRIPTS = Path(sysconfig.get_path("scripts"))
SHORT = [*SLOPE, "trainer.max_epochs=1", "network.hidden_sizes=[4]"]


def run(*command: str | Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=200, **options)


COMPOSED = ["train", "evaluate", "predict"]  # by Hydra


@pytest.mark.parametrize(
    ("name", "flags"),
    [*((name, flags) for name in COMPOSED for flags in (["--help"], ["--cfg", "job"])), ("ensemble", ["--help"])],
)
def test_help_and_config_import_nothing_heavy(name: str, flags: list[str]):
    code = (
        f"import sys; sys.argv = ['litmlp-{name}', *{flags}]\n"
        f"from {MODULES[name]} import main\n"
        "try:\n    main()\nfinally:\n"
        "    assert not {'torch', 'lightning', 'polars', 'numpy'} & set(sys.modules), 'heavy'\n"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    key = "monitor: val/loss" if name == "train" else "checkpoint: null"
    assert (f"litmlp-{name} " if flags == ["--help"] else key) in done.stdout


@pytest.mark.parametrize("name", MODULES)
def test_each_command_says_in_a_line_what_it_is_not_given(name: str, tmp_path: Path):
    done = run(sys.executable, "-c", f"from litmlp import entry_points; entry_points.{name}()", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"litmlp-{name}: ")
    assert not list(tmp_path.iterdir())


def test_the_help_of_the_whole_way_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['litmlp-best', '--help']\n"
        f"from {MODULES['best']} import main\n"
        "try:\n    main()\nfinally:\n"
        "    assert not {'torch', 'lightning', 'polars', 'numpy', 'optuna', 'joblib'} & set(sys.modules), 'heavy'\n"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "minutes=60" in done.stdout


@pytest.mark.slow
def test_the_last_line_is_the_folder_from_any_working_directory(tmp_path: Path):
    done = run(SCRIPTS / "litmlp-train", *SHORT, "hydra.run.dir=mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "mine"
    assert (tmp_path / "mine/metrics.json").is_file()


@pytest.mark.slow
def test_the_default_folder_is_the_projects_and_named_for_the_data(tmp_path: Path):
    done = run(sys.executable, "-m", "litmlp.commands.train", *SHORT, cwd=tmp_path)
    folder = Path(done.stdout.splitlines()[-1])
    try:
        assert folder.parent == ROOT / "runs/table"
        lines = (folder / "train.log").read_text().count("\n")
        assert lines == 9  # cells, rows, two columns, inputs, parameters, regularisation, learning rate, an epoch
    finally:
        import shutil

        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data=califrnia"], "data has no option 'califrnia': did you mean 'california'?"),
        (["sed=1"], "there is no config key 'sed': did you mean 'seed'?"),
        (["optimizer.lrr=1"], "there is no config key 'optimizer.lrr': did you mean 'lr'?"),
        (["optimizer.lr=-1"], "optimizer.lr is -1: a learning rate is above 0, for example 0.001"),
        (["data.path=nowhere.csv"], "there is no file 'nowhere.csv'"),
        (["resume=nowhere"], "there is no file 'nowhere'"),
        (["seed"], "cannot read 'seed': write key=value"),
        ([f"init_from={'9' * 4000}"], "cannot look for '9999"),
        ([f"data.path={'9' * 4000}.csv", "data=table", "data.target=y"], "cannot look for '9999"),
        (["hydra.verbose=[1,2]"], "Hydra refuses the command: A logger name must be a string"),
        (["seed=0,1"], "seed is given several values, 0,1: add -m to run each"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    arguments: list[str], message: str, refused: Refused, tmp_path: Path
):
    given = arguments if arguments[0].startswith("resume") else [*arguments, "hydra.run.dir=mine"]
    assert refused("train", *given).startswith(f"litmlp-train: {message}")
    assert not list(tmp_path.iterdir())


def test_a_mistake_ends_the_process_with_2(tmp_path: Path):
    done = run(SCRIPTS / "litmlp-train", "data.path=nowhere.csv", "hydra.run.dir=mine", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("litmlp-train: there is no file 'nowhere.csv'")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_sweep_gives_each_job_a_complete_folder(tmp_path: Path):
    done = run(SCRIPTS / "litmlp-train", "-m", "seed=0,1", *SHORT, "hydra.sweep.dir=mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for job in ("0", "1"):
        assert (tmp_path / "mine" / job / "metrics.json").is_file()
