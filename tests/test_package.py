"""The wheel, and the rules that hold for all files."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from conftest import tracked
from litmlp.paths import PACKAGE, ROOT

TABLE = "x,y\n" + "".join(f"{row},{2 * row}.5\n" for row in range(60))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, so that this one is complete, too."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that holds nothing but the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    constraints = ROOT / "constraints.txt"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-c", str(constraints), str(wheel)], check=True)
    return folder / "bin"


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["conf", "data"])
def test_the_wheel_holds_all_configs_and_tables(wheel: Path, folder: str):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {name for name in tracked() if name.startswith(f"{folder}/")}
    assert len(expected) >= 5
    assert {f"{PACKAGE.name}/{name}" for name in expected} <= names


@pytest.mark.slow
def test_the_wheel_runs_in_an_empty_folder(commands: Path, tmp_path: Path):
    command = [str(commands / "litmlp-train"), "data=penguins", "trainer.max_epochs=1"]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("runs/penguins/")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.slow
def test_a_users_folder_adds_configs_to_the_wheels(commands: Path, tmp_path: Path):
    (tmp_path / "mine.csv").write_text(TABLE)
    (tmp_path / "configs/data").mkdir(parents=True)
    config = "_target_: litmlp.data.TableData\npath: mine.csv\ntarget: y\nseed: ${seed}\n"
    (tmp_path / "configs/data/mine.yaml").write_text(config)
    command = [str(commands / "litmlp-train"), "--config-dir", "configs", "data=mine", "trainer.max_epochs=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("runs/mine/")


def test_an_editable_install_reads_configs_where_they_are():
    import litmlp

    assert Path(litmlp.__file__).parent == ROOT / "src/litmlp"
    assert not any((Path(folder) / "litmlp/conf").exists() for folder in sys.path if folder != str(ROOT / "src"))
