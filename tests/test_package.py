"""The wheel, and the rules that hold for all files."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from litmlp.paths import ROOT


@pytest.mark.slow
def test_the_wheel_holds_configs_and_tables_and_runs_alone(tmp_path: Path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    assert (tmp_path / "site/litmlp/conf/train.yaml").is_file()
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "litmlp.train", "trainer.max_epochs=1", "network.hidden_sizes=[4]"]
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path / "empty", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("runs/california/")
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["runs"]


def test_an_editable_install_reads_configs_where_they_are():
    import litmlp

    assert Path(litmlp.__file__).parent == ROOT / "src/litmlp"
    assert not any((Path(folder) / "litmlp/conf").exists() for folder in sys.path if folder != str(ROOT / "src"))
