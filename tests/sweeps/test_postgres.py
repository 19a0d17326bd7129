"""Machines that share no folder search together, through a database."""

import csv
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import SLOPE

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SEARCH = [
    *("-m", "hydra/sweeper=optuna", *SLOPE, "network.hidden_sizes=[4]", "network/embedding=none"),
    *("trainer.max_epochs=1", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "hydra.sweeper.n_trials=8", "threads=1"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The URL of a database on a server of its own."""
    if not PROGRAMS:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path("/tmp") / f"litmlp-postgres-{os.getpid()}"
    folder.mkdir()
    if as_user:
        shutil.chown(folder, "postgres")
    control = [*as_user, str(PROGRAMS[-1] / "pg_ctl"), "-D", str(folder / "data"), "-w"]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    try:
        initdb = [str(PROGRAMS[-1] / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust"]
        subprocess.run([*as_user, *initdb], **quiet)
        subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], **quiet)
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet | {"check": False})
        shutil.rmtree(folder)


@pytest.mark.slow
def test_two_workers_without_a_common_folder_do_one_search(server: str, tmp_path: Path):
    command = [sys.executable, "-m", "litmlp.commands.train", *SEARCH, f"hydra.sweeper.storage={server}"]
    workers = [
        subprocess.Popen(
            [*command, f"hydra.sweep.dir={name}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for name in ("here", "there")
    ]
    for worker in workers:
        said, _ = worker.communicate(timeout=200)
        assert worker.returncode == 0, said
    files = [(tmp_path / name / "results.csv").read_text().splitlines() for name in ("here", "there")]
    rows = [row for lines in files for row in csv.DictReader(lines)]
    assert [row["status"] for row in rows] == ["completed"] * 8
    assert len({row["optimizer.lr"] for row in rows}) == 8
    assert min(len(list((tmp_path / name).glob("*/job.json"))) for name in ("here", "there")) > 0
    import optuna

    storage = optuna.storages.RDBStorage(server)
    trials = optuna.load_study(study_name=None, storage=storage).trials
    storage.engine.dispose()
    surplus = [trial for trial in trials if "surplus" in trial.user_attrs]  # asked for by both at the same time
    assert {trial.value for trial in surplus} <= {None}
    values = [trial.value for trial in trials if trial not in surplus]
    assert sorted(values) == sorted(float(row["score"]) for row in rows)
