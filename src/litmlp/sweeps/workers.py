"""Processes that train jobs of a sweep beside the sweep's own process, on the cores of this machine."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import setup_globals

from litmlp import cli, machine, process
from litmlp.errors import interruption

if TYPE_CHECKING:
    from litmlp.sweeps.job import Job

log = logging.getLogger(__name__)

# What takes seconds to import. Until then, a process takes no jobs: the others might have done them.
NEEDED = ("litmlp.commands.train", "lightning.pytorch", "litmlp.build", "litmlp.populations.together")
SECONDS_ALONE = 3.0  # of training, before others are started: they need as long to import what they use
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_END = 5.0
MEMORY = 1.5  # times what this process takes, for each other one

Chunks = Sequence[Sequence[int]]


class Workers:
    """Trains chunks of jobs in this process, and some seconds later in others, too.

    Which jobs a chunk has does not depend on when a process begins or ends one, so a sweep that is repeated has the
    same results to the bit. When a process finds that the jobs of its chunk are trained one by one, others may take
    some of them.

    Args:
        job: trains chunks.
        chunks: the numbers of their jobs.
        most: the number of processes, with this one, at most.
    """

    def __init__(self, job: "Job", chunks: Chunks, most: int) -> None:
        self.job, self.chunks, self.most = job, chunks, most
        self.processes: list[tuple[Any, Any]] = []  # with what each one sends its error to
        self.timer: threading.Timer | None = None
        self.lock = threading.Lock()
        self.is_over = False

    def run(self) -> None:
        """Train all chunks.

        Raises:
            BaseException: with which a chunk ended; the other processes are stopped.
            RuntimeError: a process has died.
        """
        with TemporaryDirectory(prefix="litmlp-") as folder:
            self.folder = Path(folder)
            try:
                walk(self.job, self.chunks, self.folder, self._check)
                self._join()
            finally:
                self._stop()

    def begin(self) -> None:
        """Start the other processes soon. A run calls this once its table is in memory."""
        if self.timer is None:
            self.timer = threading.Timer(SECONDS_ALONE, self._start)
            self.timer.daemon = True
            self.timer.start()

    def _start(self) -> None:
        """Start as many other processes as fit into memory."""
        try:
            self._start_all()
        except Exception as error:
            log.warning("no more than %d processes train this sweep (%s)", 1 + len(self.processes), cli.sentence(error))

    def _start_all(self) -> None:
        number = min(self.most - 1, int(machine.available_memory() / max(1.0, MEMORY * machine.own_memory())))
        if number < self.most - 1:
            log.warning("the memory is enough for %d of %d processes", 1 + number, self.most)
        job = replace(self.job, workers=None, parent=os.getpid())
        instances = Singleton.get_state()["instances"]
        context = multiprocessing.get_context("spawn")  # a fork would not have the threads of libraries
        for _ in range(number):
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=_work, args=(job, self.chunks, self.folder, instances, theirs))
            with self.lock:
                if self.is_over:
                    return
                worker.start()
                self.processes.append((worker, ours))
            theirs.close()

    def _check(self) -> None:
        """Raise the error of a process that has ended with one."""
        for worker, errors in list(self.processes):
            if errors.poll():
                with suppress(EOFError):
                    raise errors.recv()
            if worker.exitcode in (0, None):
                continue
            ended = f"a process of the sweep ended with the exit code {worker.exitcode}"
            if self._has_begun(worker):
                raise RuntimeError(ended)
            log.warning("%s before it had begun, and the sweep goes on without it", ended)
            self.processes.remove((worker, errors))

    def _join(self) -> None:
        """Wait for the other processes that have begun; nothing is left for those that have not."""
        with self.lock:
            self.is_over = True
        while any(worker.is_alive() and self._has_begun(worker) for worker, _ in self.processes):
            self._check()
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self._check()

    def _has_begun(self, worker: Any) -> bool:
        return (self.folder / f"began-{worker.pid}").exists()

    def _stop(self) -> None:
        with self.lock:
            self.is_over = True
        if self.timer is not None:
            self.timer.cancel()
        for worker, _ in self.processes:
            worker.terminate()
        for worker, _ in self.processes:
            worker.join(SECONDS_TO_END)
            worker.kill()
            worker.join()


def walk(job: "Job", chunks: Chunks, folder: Path, check: Callable[[], None] = lambda: None) -> None:
    """Train those chunks that no other process trains; return once all are done or shared.

    Args:
        job: trains chunks.
        chunks: the numbers of their jobs.
        folder: of files that say which chunks were taken, shared or done, and which processes have begun one.
        check: raises an error if there is no point in waiting.
    """
    left = dict(enumerate(chunks))
    while left:
        num_left = len(left)
        for index, numbers in list(left.items()):
            done, shared = folder / f"done-{index}", folder / f"shared-{index}"
            is_taken = _take(folder / f"taken-{index}")
            if is_taken or shared.exists() or done.exists():
                del left[index]
            if is_taken or (shared.exists() and not done.exists()):
                (folder / f"began-{os.getpid()}").touch()
                job.train(numbers, shared.touch)
            if is_taken:
                done.touch()
        if len(left) == num_left:
            check()
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _take(file: Path) -> bool:
    """Make a file; tell whether it did not exist, which holds for one process only."""
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _work(job: "Job", chunks: Chunks, folder: Path, instances: dict[Any, Any], errors: Any) -> None:
    """Train chunks in a new process, until the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this process
    logging.getLogger().addHandler(logging.NullHandler())  # each run has a log of its own
    assert job.parent is not None
    process.end_with(job.parent)
    setup_globals()
    Singleton.set_state({**Singleton.get_state(), "instances": instances})
    for module in NEEDED:
        import_module(module)
    try:
        walk(job, chunks, folder)
    except BaseException as error:
        if interruption(error) is None:
            errors.send(error)
        raise
