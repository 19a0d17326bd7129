import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from litmlp import run_folder
from litmlp.errors import InputError, Interrupted

ASKED = {"seed": 1}


def status(folder: Path) -> dict:
    return json.loads((folder / "status.json").read_text())


def test_status_is_running_then_completed(tmp_path: Path):
    with run_folder.recorded(tmp_path / "a", ASKED):
        assert status(tmp_path / "a")["status"] == "running"
    assert status(tmp_path / "a")["status"] == "completed"


def test_a_failure_leaves_its_traceback(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), run_folder.recorded(tmp_path / "a", ASKED):
        1 / 0  # noqa: B018
    assert status(tmp_path / "a")["status"] == "failed"
    assert "1 / 0" in status(tmp_path / "a")["traceback"]


@pytest.mark.parametrize("stop", [Interrupted(15), KeyboardInterrupt(), SystemExit(1)])
def test_a_stopped_run_is_interrupted(tmp_path: Path, stop: BaseException):
    with pytest.raises(type(stop)), run_folder.recorded(tmp_path / "a", ASKED):
        raise stop
    assert status(tmp_path / "a")["status"] == "interrupted"


def test_two_runs_never_share_a_folder(tmp_path: Path):
    with run_folder.recorded(tmp_path / "a", ASKED):
        pass
    before = (tmp_path / "a/status.json").read_bytes()
    with pytest.raises(InputError, match="'a' already holds a run"), run_folder.recorded(tmp_path / "a", ASKED):
        pass
    assert (tmp_path / "a/status.json").read_bytes() == before


def contents(folder: Path) -> dict[str, bytes | None]:
    """What lies below a folder; None for folders."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("before", [[], ["runs/"], ["runs/data/a/"], ["runs/data/a/notes.txt", "runs/empty/"]])
def test_the_users_mistake_leaves_what_was_there_before(before: list[str], tmp_path: Path):
    for name in before:
        path = tmp_path / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True)
        if not name.endswith("/"):
            path.write_text("mine")
    found = contents(tmp_path)
    folder = tmp_path / "runs/data/a"

    def fails() -> None:
        with run_folder.recorded(folder, ASKED):
            logging.getLogger().warning("a line")
            (folder / "events.out.tfevents.1").touch()
            assert {"config.yaml", "status.json", "train.log"} <= {path.name for path in folder.iterdir()}
            raise InputError("no such column")

    with pytest.raises(InputError, match="no such column"):
        fails()
    assert contents(tmp_path) == found
    assert not [handler for handler in logging.getLogger().handlers if isinstance(handler, run_folder.LogFile)]


@pytest.mark.parametrize("name", [*run_folder.FILES, "events.out.tfevents.1", "checkpoints/mine", "plots/mine"])
def test_a_folder_that_holds_a_file_of_the_users_is_refused_and_not_touched(name: str, tmp_path: Path):
    (tmp_path / "a" / name).parent.mkdir(parents=True)
    for mine in (name, "notes.txt"):
        (tmp_path / "a" / mine).write_text("{}")
    found = contents(tmp_path)
    first = name.partition("/")[0]
    with (
        pytest.raises(InputError, match=f"'a' holds {first}, which this run would overwrite"),
        run_folder.recorded(tmp_path / "a", ASKED),
    ):
        pass
    assert contents(tmp_path) == found
    with pytest.raises(InputError, match="'a' is no run's folder"):
        run_folder.check_begun(tmp_path / "a")
    assert contents(tmp_path) == found


def test_a_run_killed_before_it_was_asked_anything_is_taken_over_and_later_resumed(tmp_path: Path):
    with pytest.raises(Interrupted), run_folder.recorded(tmp_path / "whole", ASKED):
        raise Interrupted(15)
    order = [".lock", "status.json", "config.yaml"]
    for number in range(len(order) + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in order[:number]:
            shutil.copy(tmp_path / "whole" / name, folder)
        (folder / ".config.yaml.99999.tmp").write_text("seed: ")  # what a kill leaves of a file
        if number == len(order):
            run_folder.check_begun(folder)
            with pytest.raises(InputError, match=f"already holds a run: continue it with resume={number}"):
                run_folder.check_free(folder)
            continue
        with pytest.raises(InputError, match=f"'{number}' holds no run yet: .* type the same command again"):
            run_folder.check_begun(folder)
        with run_folder.recorded(folder, ASKED):
            assert {path.name for path in folder.iterdir()} == set(order)
        run_folder.check_begun(folder)


@pytest.mark.parametrize("content", ["", "{", "null", "[" * 100_000])
def test_files_that_a_full_disk_cut_short_stop_nothing(content: str, tmp_path: Path):
    with pytest.raises(Interrupted), run_folder.recorded(tmp_path / "a", ASKED):
        raise Interrupted(15)
    (tmp_path / "a/status.json").write_text(content)
    run_folder.check_begun(tmp_path / "a")
    assert run_folder.status_of(tmp_path / "a") == {}
    (tmp_path / "a/config.yaml").write_text("")
    if content not in ("", "{"):  # nothing has cut these
        with pytest.raises(InputError, match=r"'a' holds \.lock, which"), run_folder.recorded(tmp_path / "a", ASKED):
            pass
        assert (tmp_path / "a/status.json").read_text() == content
        return
    with pytest.raises(InputError, match="'a' holds no run yet"):
        run_folder.check_begun(tmp_path / "a")
    with run_folder.recorded(tmp_path / "a", ASKED):
        pass
    assert status(tmp_path / "a")["status"] == "completed"


@pytest.mark.parametrize("content", ["mine", "a: 1\n", "{}", '{"status": "completed"}', "[]"])
def test_a_lock_makes_no_run_of_a_file_of_the_users(content: str, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.lock").touch()
    (tmp_path / "a/status.json").write_text(content)
    with pytest.raises(InputError, match=r"'a' holds \.lock, which"), run_folder.recorded(tmp_path / "a", ASKED):
        pass
    assert (tmp_path / "a/status.json").read_text() == content


def test_metrics_that_are_no_metrics_are_measured_again(tmp_path: Path):
    with run_folder.recorded(tmp_path / "a", ASKED):
        pass
    good = {"val/loss": 0.5, "test/loss": None, "objective": 0.5, "epochs": 1, "steps": 2, "fit_seconds": 0.1}
    good["parameters"] = 3
    for content, expected in [
        *((good | {"val/loss": wrong}, False) for wrong in ("nan", True, [], 10**400)),
        *(({name: value for name, value in good.items() if name != missing}, False) for missing in good),
        (good, True),
    ]:
        (tmp_path / "a/metrics.json").write_text(json.dumps(content))
        expected = expected or ("val/loss" not in content and "test/loss" in content)
        assert (run_folder.metrics_of(tmp_path / "a") == content) is expected, content


def test_a_mistake_when_resuming_loses_nothing(tmp_path: Path):
    with pytest.raises(Interrupted), run_folder.recorded(tmp_path / "a", ASKED):
        raise Interrupted(15)
    (tmp_path / "a/train.log").write_text("log")
    with pytest.raises(InputError), run_folder.recorded(tmp_path / "a"):
        raise InputError("no such column")
    assert (tmp_path / "a/train.log").read_text() == "log"


def test_a_run_that_still_goes_on_is_not_resumed(tmp_path: Path):
    script = "import sys, pathlib; from litmlp import run_folder\n"
    script += "with run_folder.recorded(pathlib.Path('a'), {'seed': 1}): print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert run_folder.is_claimed(tmp_path / "a")
        with (
            pytest.raises(run_folder.Busy, match=f"'a' is still running as process {other.pid} on "),
            run_folder.recorded(tmp_path / "a"),
        ):
            pass
        other.kill()
    assert status(tmp_path / "a")["status"] == "running"
    assert not run_folder.is_claimed(tmp_path / "a")
    with run_folder.recorded(tmp_path / "a"):
        pass
    assert status(tmp_path / "a")["status"] == "completed"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """The folder of a stopped run that nobody may write to."""
    folder = tmp_path / "run"
    with pytest.raises(Interrupted), run_folder.recorded(folder, ASKED):
        raise Interrupted(15)
    if os.geteuid():
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    mounts = [["mount", "--bind", folder, folder], ["mount", "-o", "remount,bind,ro", folder]]
    if any(subprocess.run(mount, capture_output=True).returncode for mount in mounts):
        pytest.skip("root may write everywhere, and cannot mount here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_run_that_may_not_be_written_to_is_one_sentence(read_only: Path):
    run_folder.check_begun(read_only)
    before = contents(read_only)
    with pytest.raises(InputError, match=r"'run' cannot be written to \(.*\): copy it"), run_folder.recorded(read_only):
        pass
    with pytest.raises(InputError, match="'run' already holds a run"), run_folder.recorded(read_only, ASKED):
        pass
    assert contents(read_only) == before
    shutil.copytree(read_only, read_only.with_name("copy"))
    with run_folder.recorded(read_only.with_name("copy")):
        pass
    assert status(read_only.with_name("copy"))["status"] == "completed"
