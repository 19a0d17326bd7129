"""Compare runs: a table of their scores, averaged over seeds and folds, and of the settings in which they differ."""

if __name__ == "__main__":  # before the imports, during which signals and errors can arrive
    from litmlp import entry_points

    entry_points.report()

import argparse
import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from litmlp import paths, process, run_folder
from litmlp.errors import InputError, did_you_mean
from litmlp.files import is_number, read_json, read_yaml, write_text
from litmlp.sweeps.folder import JOB, SWEEP
from litmlp.sweeps.words import brief, short_names
from litmlp.top_level_keys import KEYS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENSEMBLE = "ensemble"  # the key of the config by which a run is an ensemble
REPEATED = ("seed", "data.fold", "data.val_fold")  # runs that differ only in these keys share one row
MAX_AXES = 12  # the hyperparameters that one plot shows
OUTCOMES = ("running", "completed", "failed", "interrupted")


class Run(NamedTuple):
    """A run, as its folder describes it.

    Attributes:
        values: the run's settings, by key: the overrides of a job of a sweep, else the whole config.
        metrics: the content of `metrics.json`; empty unless the run is complete.
        ended: the time at which the run ended, in seconds since 1970; 0 unless the run is complete.
    """

    folder: Path
    status: str
    values: dict[str, str]
    monitor: str
    mode: str
    metrics: dict[str, Any]
    ended: float


class Group(NamedTuple):
    """Runs that differ in nothing but their seed and fold.

    Attributes:
        values: the settings that these runs share, and in which the groups differ.
        scores: the score of each run.
        runs: the runs, the best first.
    """

    values: dict[str, str]
    scores: list[float]
    runs: list[Run]

    @property
    def mean(self) -> float:
        """Mean of the scores."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation of the scores; None for a single score."""
        return stdev(self.scores) if len(self.scores) > 1 else None

    def mean_of(self, metric: str) -> float | None:
        """Mean of another metric; None unless all runs have it."""
        found = [run.metrics.get(metric) for run in self.runs]
        values = [value for value in found if isinstance(value, int | float)]
        return fmean(values) if len(values) == len(found) else None


class Report(NamedTuple):
    """A table of runs.

    Attributes:
        groups: the rows, the best first.
        keys: the keys in which the groups differ.
        counts: the number of runs by status, which can also be `damaged`.
        damage: a sentence for each file that could not be used.
    """

    metric: str
    mode: str
    groups: list[Group]
    keys: list[str]
    counts: dict[str, int]
    damage: list[str]


def compare(folders: Sequence[Path], metric: str | None = None, mode: str | None = None) -> Report:
    """Read the runs in and below `folders`, and rank them.

    Args:
        folders: folders of runs, folders of sweeps, or folders that contain them.
        metric: the metric that ranks the runs; by default the one that they monitored.
        mode: `min` or `max`; by default the mode of the monitor.
    """
    damage: list[str] = []
    _sweeps.clear()
    runs = list(_undamaged(find(folders), damage))
    num_damaged = len(damage)
    if not runs:
        names = ", ".join(map(str, folders))
        if damage:
            raise InputError(f"there is no undamaged run in {names}: {damage[0]}")
        raise InputError(f"there is no run in {names}: give the folder of a run or a sweep")
    monitors = {(run.monitor, run.mode) for run in runs if run.monitor} or {("", "min")}
    if metric is None and len(monitors) > 1:
        names = ", ".join(sorted(name for name, _ in monitors))
        raise InputError(f"these runs were scored by different metrics ({names}): add --metric and --mode")
    monitor, direction = min(monitors)
    metric, mode = metric or monitor, mode or direction
    complete = [run for run in runs if run.metrics]
    known = {name for run in complete for name in run.metrics}
    if complete and metric not in known:
        raise InputError(f"no run has the metric '{metric}': {did_you_mean(metric, known)}")
    scored = [run for run in complete if isinstance(run.metrics.get(metric), int | float)]
    keys = differing(scored)
    groups = _grouped(scored, metric, mode, keys)
    counts = {status: sum(run.status == status for run in runs) for status in dict.fromkeys(run.status for run in runs)}
    if num_damaged:
        counts["damaged"] = num_damaged
    damage += [message for message in _sweeps.values() if isinstance(message, str)]
    return Report(metric, mode, groups, [key for key in keys if key not in REPEATED], counts, damage)


def find(folders: Iterable[Path]) -> list[Path]:
    """Return the runs' folders in and below `folders`, in order."""
    found: dict[Path, None] = {}
    for given in folders:
        if not given.is_dir():
            raise InputError(f"there is no folder '{given}': give that of a run or a sweep")
        found |= dict.fromkeys(sorted(_below(given), key=_in_order))
    return list(found)


def _below(given: Path) -> list[Path]:
    found = []  # also folders that cannot be read: `read` then fails on them, and the report names them
    for folder, folders, files in os.walk(given, onerror=lambda error: found.append(Path(error.filename))):
        if _is_run({*folders, *files}):
            found.append(Path(folder))
    return found


def _is_run(names: set[str]) -> bool:
    """Tell whether a folder with these names in it is a run's, even if it has lost some of its files."""
    return run_folder.STATUS in names or (
        run_folder.CONFIG in names and not names.isdisjoint((run_folder.METRICS, run_folder.CHECKPOINTS))
    )


def _undamaged(folders: Iterable[Path], damage: list[str]) -> Iterator[Run]:
    for folder in folders:
        try:
            yield read(folder)
        except InputError as error:
            damage.append(str(error))
        except OSError as error:
            damage.append(f"'{folder}' cannot be read: {error.strerror}")


def read(folder: Path) -> Run:
    """Read a run from its folder; raise InputError if one of its files is damaged."""
    status = _content(folder / run_folder.STATUS).get("status")
    if status not in OUTCOMES:
        raise _damaged(folder / run_folder.STATUS, "it names no status of a run")
    is_complete = status == "completed"
    config = _config(folder, is_needed=is_complete)
    values = flat({key: value for key, value in config.items() if key not in KEYS or KEYS[key].tells_apart})
    overrides = _overrides(folder)
    if overrides is not None:
        values = overrides | {key: values[key] for key in REPEATED if key in values}
    if isinstance(members := config.get(ENSEMBLE), dict):
        values = {ENSEMBLE: f"{len(members)} runs"}
    metrics = _metrics(folder / run_folder.METRICS) if is_complete else {}
    # The folder of a pruned run is complete, too: only the job's record tells that it was pruned.
    if is_complete and (job_folder := _folder_of_job(folder)) and _job(job_folder).get("status") == "pruned":
        status = "pruned"
    ended = (folder / run_folder.METRICS).stat().st_mtime if is_complete else 0.0
    monitor = config.get("monitor", ""), config.get("mode", "min")
    return Run(folder, status, values, *monitor, metrics, ended)


def _config(folder: Path, is_needed: bool) -> dict[str, Any]:
    file = folder / run_folder.CONFIG
    if not is_needed and not os.path.lexists(file):  # the run was stopped before it wrote its config
        return {}
    config = _content(file)
    if not isinstance(config.get("monitor"), str) or config.get("mode") not in ("min", "max"):
        raise _damaged(file, "it names no monitor and mode")
    return config


def _metrics(file: Path) -> dict[str, Any]:
    metrics = _content(file)
    for name, value in metrics.items():
        if not is_number(value):
            raise _damaged(file, f"{name} is not a number")
    if "objective" not in metrics:
        raise _damaged(file, "it holds no objective")
    return metrics


def _content(file: Path) -> dict[str, Any]:
    try:
        return read_json(file) if file.suffix == ".json" else read_yaml(file)
    except InputError as error:
        raise _damaged(file, "it holds no keys and values") from error


def _damaged(file: Path, reason: str) -> InputError:
    can_be_rewritten = file.name in (run_folder.STATUS, run_folder.METRICS)
    advice = f"resume={paths.display(file.parent)} writes it anew" if can_be_rewritten else "restore it"
    return InputError(
        f"'{paths.display(file)}' is {'damaged' if os.path.lexists(file) else 'lost'}, for {reason}: {advice}"
    )


def flat(node: Any, path: str = "") -> dict[str, str]:
    """Return the leaves of nested mappings as text without blanks, by dotted key."""
    if not isinstance(node, dict):
        return {path: "null" if node is None else str(node).replace(" ", "")}
    return {
        key: value
        for name, child in node.items()
        for key, value in flat(child, f"{path}.{name}" if path else str(name)).items()
    }


def differing(runs: Sequence[Run]) -> list[str]:
    """Return the keys whose values differ between runs, or that some runs do not have, ensembles aside."""
    keys = dict.fromkeys(key for run in runs for key in run.values)
    trained = [run for run in runs if ENSEMBLE not in run.values]
    return [key for key in keys if key == ENSEMBLE or len({run.values.get(key) for run in trained}) > 1]


def table(report: Report, top: int | None = None) -> list[list[str]]:
    """Return the report as rows of text; the first row is the header."""
    names = short_names(report.keys)
    test = report.metric.replace("val/", "test/", 1)  # the same metric on the test rows, if the runs are ranked by val/
    header = ["", report.metric, "runs", *([test] if test != report.metric else []), *names, "seconds", "best run"]
    rows = [header]
    for rank, group in enumerate(report.groups[:top], 1):
        spread = f" ± {group.deviation:.2g}" if group.deviation is not None else ""
        tested = [_number(group.mean_of(test))] if test != report.metric else []
        values = [brief(group.values.get(key, "")) for key in report.keys]
        seconds = _number(group.mean_of("fit_seconds"))
        folder = paths.display(group.runs[0].folder)
        rows.append([str(rank), f"{group.mean:.5g}{spread}", str(len(group.scores)), *tested, *values, seconds, folder])
    return rows


def text(report: Report, top: int | None = None) -> str:
    """Return the report as lines to print."""
    rows = table(report, top)
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if top is not None and (more := len(report.groups) - top) > 0:
        lines.append(f"... and {more} more")
    return "\n".join(lines)


def markdown(report: Report) -> str:
    """Return the report as a Markdown table."""
    header, *rows = table(report)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def write(report: Report, folder: Path) -> None:
    """Write the report to `folder`: as CSV, as Markdown, and as plots."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.csv", _csv(report))
    drawn = draw(report, folder) if report.groups else []
    plots = "".join(f"\n![{file.stem.replace('_', ' ')}]({file.name})\n" for file in drawn)
    write_text(folder / "report.md", f"# Runs by {report.metric}\n\n{markdown(report)}{plots}")


def draw(report: Report, folder: Path) -> list[Path]:
    """Write the plots of a report to `folder` as PNG; return their files."""
    files = []
    for name, figure in figures(report).items():
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], dpi=110)
    return files


def figures(report: Report) -> "dict[str, Figure]":
    """Return the plots of a report, by name."""
    from litmlp.plots import sweep
    from litmlp.sweeps.importance import importances

    groups = [group for group in report.groups if ENSEMBLE not in group.values] or report.groups
    means = [group.mean for group in groups]
    runs = sorted((run for group in groups for run in group.runs), key=lambda run: run.ended)
    metric = (report.metric, report.mode)
    drawn = {"best_so_far": sweep.best_so_far([run.metrics[report.metric] for run in runs], *metric)}
    texts = {key: [group.values.get(key, "-") for group in groups] for key in report.keys if key != ENSEMBLE}
    names = dict(zip(texts, short_names(list(texts)), strict=True))
    if texts and len(means) > 1:
        axes = [sweep.Axis(names[key], column) for key, column in texts.items()][:MAX_AXES]
        drawn["hyperparameters"] = sweep.hyperparameters(axes, means, *metric)
        drawn["parallel_coordinates"] = sweep.parallel_coordinates(axes, means, *metric)
        if (fractions := importances(texts, means, report.mode)) is not None:
            named = {names[key]: fraction for key, fraction in fractions.items()}
            drawn["importances"] = sweep.importance_bars(named, report.metric)
    return drawn


def _csv(report: Report) -> str:
    metrics = list(dict.fromkeys(name for group in report.groups for run in group.runs for name in run.metrics))
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["rank", "mean", "deviation", "runs", *report.keys, *metrics, "folder"])
    for rank, group in enumerate(report.groups, 1):
        values = [group.values.get(key, "") for key in report.keys]
        means = [group.mean_of(name) for name in metrics]
        writer.writerow([rank, group.mean, group.deviation, len(group.scores), *values, *means, group.runs[0].folder])
    return stream.getvalue()


def _grouped(runs: Sequence[Run], metric: str, mode: str, keys: Sequence[str]) -> list[Group]:
    sign = 1 if mode == "min" else -1
    by_values: dict[tuple, list[Run]] = {}
    shared = [key for key in keys if key not in REPEATED]
    for one in runs:
        apart = one.folder if ENSEMBLE in one.values else None
        by_values.setdefault((*(one.values.get(key) for key in shared), apart), []).append(one)
    groups = []
    for values, members in by_values.items():
        members.sort(key=lambda one: sign * one.metrics[metric])
        known = {key: value for key, value in zip(shared, values, strict=False) if value is not None}
        groups.append(Group(known, [one.metrics[metric] for one in members], members))
    return sorted(groups, key=lambda group: sign * group.mean)


def _overrides(folder: Path) -> dict[str, str] | None:
    """Return the overrides of a job and the fixed ones of its sweep, by key; None for a run outside a sweep."""
    job_folder = _folder_of_job(folder)
    if job_folder is None:
        return None
    overrides = (*_fixed(job_folder.parent), *_job(job_folder)["overrides"])
    return dict(override.lstrip("+").split("=", 1) for override in overrides if "=" in override)


def _folder_of_job(folder: Path) -> Path | None:
    """Return the folder of the job that a run belongs to: the run's own, or the one above if the job has several."""
    return next((path for path in (folder, folder.parent) if os.path.lexists(path / JOB)), None)


def _job(job_folder: Path) -> dict[str, Any]:
    job = _content(job_folder / JOB)
    if not _are_texts(job.get("overrides")):
        raise _damaged(job_folder / JOB, "its overrides are not a list of texts")
    return job


_sweeps: dict[Path, list[str] | str] = {}  # by the sweep's folder: its fixed overrides, or what is wrong with its file


def _fixed(sweep: Path) -> list[str]:
    """Return the fixed overrides of a sweep; none if its file is damaged, so that its jobs can still be compared."""
    if sweep not in _sweeps:
        _sweeps[sweep] = _read_fixed(sweep / SWEEP)
    found = _sweeps[sweep]
    return [] if isinstance(found, str) else found


def _read_fixed(file: Path) -> list[str] | str:
    if not os.path.lexists(file):  # the job's folder was copied without its sweep
        return []
    try:
        fixed = _content(file).get("fixed")
    except InputError as error:
        return str(error)
    return fixed if _are_texts(fixed) else str(_damaged(file, "what is fixed is not a list of texts"))


def _are_texts(values: Any) -> TypeGuard[list[str]]:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _in_order(folder: Path) -> list[tuple[int, str]]:
    """Return a key that sorts the folders of jobs by number: 10 comes after 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in folder.parts]


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}"


def main() -> None:
    """Run the command `litmlp-report`."""
    with process.guarded("litmlp-report"):
        _report(_arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="litmlp-report", description=__doc__)
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="folder", help="a folder of a run, of a sweep, or of many runs"
    )
    parser.add_argument(
        "--metric", help="the metric in metrics.json that ranks the runs; default: the metric that they monitored"
    )
    parser.add_argument("--mode", choices=("min", "max"), help="the metric's better direction; default: the monitor's")
    parser.add_argument("--top", type=int, default=20, help="the number of rows to print (default: 20)")
    parser.add_argument(
        "--write", type=Path, metavar="FOLDER", help="write report.csv, report.md and plots to this folder"
    )
    return parser.parse_args()


def _report(arguments: argparse.Namespace) -> None:
    report = compare([paths.find(folder) for folder in arguments.folders], arguments.metric, arguments.mode)
    print(text(report, arguments.top))
    print(f"runs: {', '.join(f'{count} {status}' for status, count in report.counts.items())}")
    for sentence in report.damage:
        print(f"not used: {sentence}")
    if arguments.write:
        write(report, arguments.write)
        print(paths.display(arguments.write / "report.md"))
