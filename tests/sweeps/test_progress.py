import math
from pathlib import Path
from typing import Any

import pytest

from litmlp.sweeps import progress
from litmlp.sweeps.folder import SweepFolder

DESCRIPTION: dict[str, Any] = {
    "kind": "grid",
    "space": {"++optimizer.lr": ["0.1", "0.2"], "seed": ["0", "1"]},
    "repeats": {},
    "monitor": "val/loss",
    "mode": "min",
    "fixed": [],
}


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder.open(tmp_path / "sweep", DESCRIPTION, [])


def finish(folder: SweepFolder, number: int, score: float | None, status: str = "completed", **more: Any) -> None:
    folder.job(number).mkdir()
    overrides = ["++optimizer.lr=0.123456", f"seed={number}"]
    folder.finish({"number": number, "status": status, "overrides": overrides, "seconds": 1, "score": score, **more})
    folder.flush()


def parts(line: str) -> list[str]:
    found = [part for part in line.split("  ") if part]
    return [part for part in found if not part.endswith(" left")]


def test_each_job_that_ends_is_a_line(folder: SweepFolder, capsys: pytest.CaptureFixture[str]):
    finish(folder, 7, 0.75)
    with progress.Progress(folder, 4):
        finish(folder, 1, 0.5)
        finish(folder, 0, None, "failed", error="no luck")
        finish(folder, 2, 0.625, "pruned")
    before, *lines = capsys.readouterr().out.splitlines()
    assert before == "1 of them are done"
    assert [parts(line) for line in lines] == [
        ["2/4", "#1", "0.5000", "best 0.5000 #1", "lr=0.1235 seed=1"],
        ["3/4", "#0", "failed", "best 0.5000 #1", "lr=0.1235 seed=0"],
        ["4/4", "#2", "0.6250 pruned", "best 0.5000 #1", "lr=0.1235 seed=2"],
    ]
    assert [" left" in line for line in lines] == [True, True, False]


def test_a_line_comes_while_the_sweep_goes_on(
    folder: SweepFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", 0.01)
    said = ""
    with progress.Progress(folder, 2):
        finish(folder, 0, 0.5)
        for _ in range(1000):
            said += capsys.readouterr().out
            if said:
                break
            progress.time.sleep(0.01)
    assert parts(said.strip()) == ["1/2", "#0", "0.5000", "best 0.5000 #0", "lr=0.1235 seed=0"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("deadline", "said"), [(math.inf, ["30 s left"]), (1012.0, ["12 s left"]), (999.0, [])]
)  # 2 jobs since the start, in 20 s: 10 s for each of the 3 left
def test_the_time_left_is_that_of_the_jobs_so_far_or_until_the_deadline(
    deadline: float,
    said: list[str],
    folder: SweepFolder,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    finish(folder, 0, 0.5)
    clock = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(progress.time, "time", lambda: 1000.0)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", 100.0)
    with progress.Progress(folder, 6, deadline):
        clock[0] += 20
        finish(folder, 1, 0.5)
        finish(folder, 2, 0.5)
    last = capsys.readouterr().out.splitlines()[-1]
    assert [part for part in last.split("  ") if part.endswith(" left")] == said


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (9000, "2.5 h")]
)
def test_durations_are_said_as_people_do(seconds: float, expected: str):
    assert progress.duration(seconds) == expected


def test_the_summary_counts_and_names_failures_and_the_best(folder: SweepFolder):
    finish(folder, 0, 0.123456789)
    finish(folder, 1, None, "failed", error="x" * 150)
    finish(folder, 2, 0.625, "pruned")
    path = folder.path
    assert progress.summary(folder, 4, is_shared=False).splitlines() == [
        "",
        "4 jobs: 1 completed, 1 pruned, 1 failed, 1 not begun",
        f"  #1 failed: {'x' * 100}",
        "best: val/loss 0.123457  #0  lr=0.1235 seed=0",
        f"its command is in {progress.paths.display(path / 'best.yaml')}",
        progress.paths.display(path),
    ]


def test_a_sweep_of_which_nothing_is_done_says_so(folder: SweepFolder):
    assert progress.summary(folder, 2, is_shared=False).splitlines()[1] == "2 jobs: none done, 2 not begun"
