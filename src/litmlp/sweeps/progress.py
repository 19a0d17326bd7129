"""What a sweep prints: a line for each job when it ends, and a summary."""

import math
import sys
import threading
import time
from typing import Any

from litmlp import paths
from litmlp.sweeps.folder import BEST, Row, SweepFolder
from litmlp.sweeps.words import brief, short_names

SECONDS_BETWEEN_LOOKS = 0.2
MAX_ERROR_LENGTH = 100  # characters


class Progress:
    """Prints a line for each job that ends. It watches the file of results, so a job may run in any process.

    Args:
        sweep: the sweep's folder.
        total: the total number of jobs.
        deadline: the time after which no job begins, in seconds since 1970.
    """

    def __init__(self, sweep: SweepFolder, total: int, deadline: float = math.inf) -> None:
        self.sweep = sweep
        self.total = total
        self.deadline = deadline
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Progress":
        rows = self.sweep.rows()
        self.printed = {row["number"] for row in rows}
        self.num_before = len(rows)
        self.started = time.perf_counter()
        if rows:
            print(f"{len(rows)} of them are done", flush=True)
        self.thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.ended.set()
        self.thread.join()
        self._print_new()  # jobs that ended after the thread's last look

    def _watch(self) -> None:
        seen = None
        file = self.sweep.path / "results.csv"
        while not self.ended.wait(SECONDS_BETWEEN_LOOKS):
            stamp = (state.st_mtime_ns, state.st_size) if (state := _stat(file)) else None
            if stamp != seen:
                seen = stamp
                self._print_new()

    def _print_new(self) -> None:
        rows = self.sweep.rows()
        for index, row in enumerate(rows):
            if row["number"] not in self.printed:
                self.printed.add(row["number"])
                print(self._line(row, rows[: index + 1]), file=sys.stdout, flush=True)

    def _line(self, row: Row, rows: list[Row]) -> str:
        done = len(rows)
        seconds_per_job = (time.perf_counter() - self.started) / max(1, done - self.num_before)
        left = min(seconds_per_job * (self.total - done), self.deadline - time.time())
        best = self.sweep.best(rows)
        parts = [
            f"{done:>{len(str(self.total))}}/{self.total}",
            f"#{row['number']}",
            outcome(row),
            f"best {float(best['score']):.4f} #{best['number']}" if best else "no best yet",
            f"{duration(left)} left" if done < self.total and left > 0 else "",
            described(row, self.sweep.varied()),
        ]
        return "  ".join(part for part in parts if part)


def outcome(row: Row) -> str:
    """Return a job's score, followed by `pruned` for a pruned job; `failed` for one that failed."""
    if row["status"] == "failed":
        return "failed"
    score = f"{float(row['score']):.4f}"
    return score if row["status"] == "completed" else f"{score} pruned"


def described(row: Row, keys: list[str]) -> str:
    """Return the values of a job for the keys that the sweep varies."""
    return " ".join(f"{name}={brief(row[key])}" for name, key in zip(short_names(keys), keys, strict=True))


def duration(seconds: float) -> str:
    """Return seconds as text in seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def summary(sweep: SweepFolder, total: int, is_shared: bool) -> str:
    """Return a summary of a sweep: the number of jobs by their status, the failed jobs, and the best job."""
    rows = sweep.rows()
    counts = {status: sum(row["status"] == status for row in rows) for status in ("completed", "pruned", "failed")}
    ended = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    left = total - len(rows)
    absent = "not begun, or done by other machines" if is_shared else "not begun"
    lines = ["", f"{total} jobs: {ended or 'none done'}{f', {left} {absent}' if left > 0 else ''}"]
    for row in rows:
        if row["status"] == "failed":
            lines.append(f"  #{row['number']} failed: {row['error'][:MAX_ERROR_LENGTH]}")
    best = sweep.best(rows)
    if best is not None:
        score = f"{sweep.description['monitor']} {float(best['score']):.6g}"
        lines += [f"best: {score}  #{best['number']}  {described(best, sweep.varied())}"]
        lines += [f"its command is in {paths.display(sweep.path / BEST)}"]
    return "\n".join([*lines, paths.display(sweep.path)])


def _stat(file: Any) -> Any:
    try:
        return file.stat()
    except FileNotFoundError:
        return None
