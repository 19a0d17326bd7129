"""The README, taken literally, in a fresh clone with an environment of its own."""

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from conftest import copy_project
from litmlp.errors import install
from litmlp.paths import PACKAGE, ROOT


def unfolded(text: str) -> list[str]:
    return text.replace("\\\n", "").splitlines()


README = (ROOT / "README.md").read_text()
FAQ = (ROOT / "docs/faq.md").read_text()
BLOCKS = re.findall(r"```(bash|yaml|python)\n(.*?)```", README + FAQ, flags=re.S)
COMMANDS = [line.split("    #")[0].strip() for kind, text in BLOCKS if kind == "bash" for line in unfolded(text)]
FILES = {match[1]: text for _, text in BLOCKS if (match := re.match(r"# (\S+)\n", text))}
SCRIPTS = [text for kind, text in BLOCKS if kind == "python" and text not in FILES.values()]
ELSEWHERE = {"make test", "make tensorboard"}  # one would run this; servers have tests below
SHORTER = (r"(minutes)=\d+", r"\1=0.5")  # for commands that search as long as one says
# part: notebooks
ELSEWHERE |= {"make notebooks"}
# end of part: notebooks


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("fresh") / "clone")
    subprocess.run(["make", "install"], cwd=folder, check=True, capture_output=True)
    subprocess.run(install("sklearn"), shell=True, cwd=folder, env=environment(folder), check=True, capture_output=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def environment(clone: Path) -> dict[str, str]:
    return os.environ | {"PATH": f"{clone / '.venv/bin'}:{os.environ['PATH']}"}


def test_lines_but_those_of_tables_can_be_read_in_a_terminal():
    name = PACKAGE.name.replace("_", "[-_]")
    lines = re.sub(name, "a" * 6, README, flags=re.I).splitlines()  # a project may have a longer one
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.slow
def test_every_script_runs(clone: Path):
    assert len(SCRIPTS) > 0
    for script in SCRIPTS:
        options = {"cwd": clone, "env": environment(clone), "capture_output": True, "text": True}
        done = subprocess.run([clone / ".venv/bin/python", "-c", script], **options)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_every_command_runs(clone: Path):
    assert len(COMMANDS) > 20
    for command in COMMANDS:
        if command not in ELSEWHERE:
            command = re.sub(*SHORTER, command, flags=re.I)
            options = {"cwd": clone, "env": environment(clone), "capture_output": True, "text": True}
            done = subprocess.run(command, shell=True, **options)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_installing_again_does_nothing(clone: Path):
    done = subprocess.run(["make", "-q", "install"], cwd=clone)
    assert done.returncode == 0


@pytest.mark.slow
def test_make_tensorboard_serves_the_runs(clone: Path):
    subprocess.run(
        ["litmlp-train", "data=penguins", "trainer.max_epochs=1"], cwd=clone, env=environment(clone), check=True
    )
    options = {"cwd": clone, "stderr": subprocess.PIPE, "text": True, "process_group": 0}
    with subprocess.Popen(["make", "tensorboard"], **options) as server:
        try:
            address = next(match[0] for line in server.stderr if (match := re.search(r"http://localhost:\d+/", line)))
            assert "penguins/" in wait_for_runs(f"{address}data/runs")
        finally:
            os.killpg(server.pid, signal.SIGTERM)


# part: notebooks
@pytest.mark.slow
def test_make_notebooks_serves_them(clone: Path):
    import json  # here, since a project may leave this part out

    quiet = "--no-browser --allow-root --port=0 --ServerApp.port_retries=0 --IdentityProvider.token=lecture"
    options = {"cwd": clone, "stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(["make", "notebooks", f"ARGS={quiet}"], **options, process_group=0) as server:
        try:
            found = (re.search(r"http://(localhost|127\.0\.0\.1):\d+/", line) for line in server.stderr)
            address = next(match[0] for match in found if match)
            contents = json.loads(answer(f"{address}api/contents?token=lecture"))["content"]
            names = [entry["name"] for entry in contents]
            assert sorted(names) == sorted(path.name for path in (ROOT / "notebooks").iterdir())
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.stderr.read()


# end of part: notebooks
def wait_for_runs(address: str) -> str:
    """What the server lists, once it has read something."""
    for _ in range(60):
        runs = answer(address)
        if runs.strip() != "[]":
            break
        time.sleep(0.5)
    return runs


def answer(address: str) -> str:
    """What the server says, which may name its address before it listens."""
    for _ in range(60):
        try:
            with urllib.request.urlopen(address) as said:
                return said.read().decode()
        except urllib.error.URLError:
            time.sleep(0.5)
    raise AssertionError(f"nothing answers at {address}")
