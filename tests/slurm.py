"""Stands in for SLURM's commands on one machine: slurm.py sbatch|srun|scontrol|sacct ...

A job is a process. What the commands know of each other is in the folder STAND_IN, a file for each job: how often it
was started, its process, and whether it is to be started again when that ends.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("STAND_IN", ""))


def jobs() -> dict[str, dict[str, Any]]:
    """What is known of each job, by its id."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}


def note(job: str, **values: Any) -> None:
    """Change what is known of a job, at once."""
    file = FOLDER / f"{job}.json"
    known = json.loads(file.read_text()) if file.exists() else {"starts": 0, "state": "PENDING", "requeue": False}
    part = file.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(known | values))
    part.replace(file)


def end_of_time(job: str) -> None:
    """Do what SLURM does some time before it kills a job: tell its processes."""
    os.kill(jobs()[job]["process"], signal.SIGUSR2)


def sbatch(script: str) -> None:
    """Start a job, or one for each place of an array."""
    text = Path(script).read_text()
    number = str(100 + len({job.partition("_")[0] for job in jobs()}))
    places = re.search(r"^#SBATCH --array='?0-(\d+)", text, flags=re.M)
    ids = [number] if places is None else [f"{number}_{place}" for place in range(int(places[1]) + 1)]
    for job in ids:
        note(job)
        subprocess.Popen(
            [sys.executable, __file__, "supervise", job, script],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    print(f"Submitted batch job {number}")


def supervise(job: str, script: str) -> None:
    """Start a job, again and again as long as it asks for that."""
    number, _, place = job.partition("_")
    array = {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": place} if place else {}
    one = {"SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0", "SLURM_PROCID": "0"}
    names = {"SLURM_JOB_ID": job, "SLURM_JOB_NAME": "sweep", "SLURM_LOCALID": "0", "SLURM_JOB_NODELIST": "localhost"}
    while True:
        note(job, starts=jobs()[job]["starts"] + 1, state="RUNNING", requeue=False)
        code = subprocess.call(["bash", script], env=os.environ | one | names | array | {"STAND_IN_JOB": job})
        if not jobs()[job]["requeue"]:
            note(job, state="FAILED" if code else "COMPLETED")
            return


def srun(*arguments: str) -> None:
    """Become a step of the job: a command, whose output goes to a file."""
    command = list(arguments)
    while command[0].startswith("--"):
        option = command.pop(0)
        if option in ("--output", "--error"):
            path = command.pop(0).replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
            job, _, place = os.environ["SLURM_JOB_ID"].partition("_")
            stream = os.open(path.replace("%A", job).replace("%a", place), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            os.dup2(stream, 1 if option == "--output" else 2)
    note(os.environ["STAND_IN_JOB"], process=os.getpid())
    os.execvp(command[0], command)


def scontrol(action: str, job: str) -> None:
    """Have a job started again."""
    assert action == "requeue"
    note(job, requeue=True)


def sacct(*_: str) -> None:
    """Print the state of each job."""
    print("JobID|State|NodeList")
    for job, known in jobs().items():
        print(f"{job}|{known['state']}|localhost")


def install(folder: Path) -> dict[str, str]:
    """Put the commands into a folder; return what the environment needs to find them."""
    (folder / "bin").mkdir(parents=True)
    (folder / "jobs").mkdir()
    for name in ("sbatch", "srun", "scontrol", "sacct"):
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        command.chmod(0o755)
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "STAND_IN": str(folder / "jobs")}


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
