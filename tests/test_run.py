import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from litmlp import run
from litmlp.errors import InputError, Interrupted


def status(folder: Path) -> dict:
    return json.loads((folder / "status.json").read_text())


def test_status_is_running_then_completed(tmp_path: Path):
    with run.recorded(tmp_path / "a", is_new=True):
        assert status(tmp_path / "a")["status"] == "running"
    assert status(tmp_path / "a")["status"] == "completed"


def test_a_failure_leaves_its_traceback(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), run.recorded(tmp_path / "a", is_new=True):
        1 / 0  # noqa: B018
    assert status(tmp_path / "a")["status"] == "failed"
    assert "1 / 0" in status(tmp_path / "a")["traceback"]


@pytest.mark.parametrize("stop", [Interrupted(15), KeyboardInterrupt(), SystemExit(1)])
def test_a_stopped_run_is_interrupted(tmp_path: Path, stop: BaseException):
    with pytest.raises(type(stop)), run.recorded(tmp_path / "a", is_new=True):
        raise stop
    assert status(tmp_path / "a")["status"] == "interrupted"


def test_two_runs_never_share_a_folder(tmp_path: Path):
    with run.recorded(tmp_path / "a", is_new=True):
        pass
    before = (tmp_path / "a/status.json").read_bytes()
    with pytest.raises(InputError, match="'a' already holds a run"), run.recorded(tmp_path / "a", is_new=True):
        pass
    assert (tmp_path / "a/status.json").read_bytes() == before


def test_the_users_mistake_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "runs", lambda: tmp_path / "runs")
    folder = tmp_path / "runs/data/a"
    folder.mkdir(parents=True)
    handler = logging.FileHandler(folder / "train.log")
    logging.getLogger().addHandler(handler)
    with pytest.raises(InputError), run.recorded(folder, is_new=True):
        raise InputError("no such column")
    assert not (tmp_path / "runs/data").exists()
    assert tmp_path.exists()
    assert handler not in logging.getLogger().handlers


def test_a_mistake_when_resuming_loses_nothing(tmp_path: Path):
    with pytest.raises(Interrupted), run.recorded(tmp_path / "a", is_new=True):
        raise Interrupted(15)
    (tmp_path / "a/train.log").write_text("log")
    with pytest.raises(InputError), run.recorded(tmp_path / "a", is_new=False):
        raise InputError("no such column")
    assert (tmp_path / "a/train.log").read_text() == "log"


def test_a_run_that_still_goes_on_is_not_resumed(tmp_path: Path):
    script = "import sys, pathlib; from litmlp import run\n"
    script += "with run.recorded(pathlib.Path('a'), is_new=True): print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert run.is_claimed(tmp_path / "a")
        with (
            pytest.raises(run.Busy, match=f"'a' is still running as process {other.pid} on "),
            run.recorded(tmp_path / "a", is_new=False),
        ):
            pass
        other.kill()
    assert status(tmp_path / "a")["status"] == "running"
    assert not run.is_claimed(tmp_path / "a")
    with run.recorded(tmp_path / "a", is_new=False):
        pass
    assert status(tmp_path / "a")["status"] == "completed"
