"""Simulate SLURM's commands on one machine: slurm.py sbatch|srun|scontrol|sacct ...

A job is a process. The commands share their state through the folder STAND_IN. It holds a file for each job: how often
the job was started, its process id, and whether it must be started again when the process ends.
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
    """The state of each job, by its id."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}


def note(job: str, **values: Any) -> None:
    """Change a job's state, so that other processes read either the old or the new state, never a part of one."""
    file = FOLDER / f"{job}.json"
    state = json.loads(file.read_text()) if file.exists() else {"starts": 0, "state": "PENDING", "requeue": False}
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(state | values))
    temporary.replace(file)


def end_of_time(job: str) -> None:
    """Send a job's process the signal that SLURM sends some time before it kills a job."""
    os.kill(jobs()[job]["process"], signal.SIGUSR2)


def sbatch(script: str) -> None:
    """Start a job, or one for each index of a job array."""
    text = Path(script).read_text()
    number = str(100 + len({job.partition("_")[0] for job in jobs()}))
    array = re.search(r"^#SBATCH --array='?0-(\d+)", text, flags=re.M)
    ids = [number] if array is None else [f"{number}_{index}" for index in range(int(array[1]) + 1)]
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
    """Run a job, and run it again as long as it was requeued."""
    number, _, index = job.partition("_")
    array = {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index} if index else {}
    one = {"SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0", "SLURM_PROCID": "0"}
    names = {"SLURM_JOB_ID": job, "SLURM_JOB_NAME": "sweep", "SLURM_LOCALID": "0", "SLURM_JOB_NODELIST": "localhost"}
    while True:
        note(job, starts=jobs()[job]["starts"] + 1, state="RUNNING", requeue=False)
        code = subprocess.call(["bash", script], env=os.environ | one | names | array | {"STAND_IN_JOB": job})
        if not jobs()[job]["requeue"]:
            note(job, state="FAILED" if code else "COMPLETED")
            return


def srun(*arguments: str) -> None:
    """Replace this process by a step of the job: a command whose output goes to a file."""
    command = list(arguments)
    while command[0].startswith("--"):
        option = command.pop(0)
        if option in ("--output", "--error"):
            path = command.pop(0).replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
            job, _, index = os.environ["SLURM_JOB_ID"].partition("_")
            stream = os.open(path.replace("%A", job).replace("%a", index), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            os.dup2(stream, 1 if option == "--output" else 2)
    note(os.environ["STAND_IN_JOB"], process=os.getpid())
    os.execvp(command[0], command)


def scontrol(action: str, job: str) -> None:
    """Mark a job as requeued, so that it is started again when it ends."""
    assert action == "requeue"
    note(job, requeue=True)


def sacct(*_: str) -> None:
    """Print the state of each job."""
    print("JobID|State|NodeList")
    for job, state in jobs().items():
        print(f"{job}|{state['state']}|localhost")


def install(folder: Path) -> dict[str, str]:
    """Write the commands to a folder; return the environment variables with which they are found."""
    (folder / "bin").mkdir(parents=True)
    (folder / "jobs").mkdir()
    for name in ("sbatch", "srun", "scontrol", "sacct"):
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        command.chmod(0o755)
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "STAND_IN": str(folder / "jobs")}


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
