"""Compare runs: sorted by score, with what they differ in, averaged over seeds and folds."""

if __name__ == "__main__":  # before the imports, in which signals and errors can come
    from litmlp import entry

    entry.report()

import argparse
import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from litmlp import paths, process, run
from litmlp.config_keys import KEYS
from litmlp.errors import InputError, did_you_mean
from litmlp.files import is_number, read_json, read_yaml, write_text
from litmlp.sweeps.folder import JOB, SWEEP
from litmlp.sweeps.words import brief, short_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPEATED = ("seed", "data.fold")  # runs that differ in nothing else are one row
MAX_AXES = 12  # of a plot
OUTCOMES = ("running", "completed", "failed", "interrupted")


class Run(NamedTuple):
    """What a run's folder says.

    Attributes:
        values: what was set, by key: as typed in a sweep, else all of the config.
        metrics: as in `metrics.json`; empty unless the run is complete.
        ended: when, in seconds since 1970; 0 unless the run is complete.
    """

    folder: Path
    status: str
    values: dict[str, str]
    monitor: str
    mode: str
    metrics: dict[str, Any]
    ended: float


class Group(NamedTuple):
    """Runs that differ in their seed and fold at most.

    Attributes:
        values: what they share, and others differ in.
        scores: of each.
        runs: the best first.
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
        """Standard deviation of the scores, of a sample; None for a single one."""
        return stdev(self.scores) if len(self.scores) > 1 else None

    def mean_of(self, metric: str) -> float | None:
        """Mean of another metric, if all runs have it."""
        found = [run.metrics.get(metric) for run in self.runs]
        values = [value for value in found if isinstance(value, int | float)]
        return fmean(values) if len(values) == len(found) else None


class Report(NamedTuple):
    """Runs, compared.

    Attributes:
        groups: the best first.
        keys: what the groups differ in.
        counts: runs by their status, damaged ones among them.
        damage: what is wrong with files that could not be used, a sentence each.
    """

    metric: str
    mode: str
    groups: list[Group]
    keys: list[str]
    counts: dict[str, int]
    damage: list[str]


def compare(folders: Sequence[Path], metric: str | None = None, mode: str | None = None) -> Report:
    """Read the runs in `folders`, and those below them, and rank them.

    Args:
        folders: of runs, of sweeps, or of any of these.
        metric: what ranks them; by default the metric that they were monitored by.
        mode: `min` or `max`; by default that of the monitor.
    """
    damage: list[str] = []
    _sweeps.clear()
    runs = list(_undamaged(find(folders), damage))
    num_damaged = len(damage)
    if not runs:
        names = ", ".join(map(str, folders))
        if damage:
            raise InputError(f"there is no whole run in {names}: {damage[0]}")
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
    found = []  # folders that cannot be read among them
    for folder, folders, files in os.walk(given, onerror=lambda error: found.append(Path(error.filename))):
        if _is_run({*folders, *files}):
            found.append(Path(folder))
    return found


def _is_run(names: set[str]) -> bool:
    """Tell a run's folder by what it holds; also one that has lost some of it."""
    return run.STATUS in names or (run.CONFIG in names and not names.isdisjoint((run.METRICS, run.CHECKPOINTS)))


def _undamaged(folders: Iterable[Path], damage: list[str]) -> Iterator[Run]:
    for folder in folders:
        try:
            yield read(folder)
        except InputError as error:
            damage.append(str(error))
        except OSError as error:
            damage.append(f"'{folder}' cannot be read: {error.strerror}")


def read(folder: Path) -> Run:
    """Return what a run's folder says; raise InputError if a file of it is damaged."""
    outcome = _content(folder / run.STATUS).get("status")
    if outcome not in OUTCOMES:
        raise _damaged(folder / run.STATUS, "it names no status of a run")
    is_complete = outcome == "completed"
    config = _config(folder, is_needed=is_complete)
    values = flat({key: value for key, value in config.items() if key not in KEYS or KEYS[key].tells_apart})
    typed = _typed(folder)
    if typed is not None:
        values = typed | {key: values[key] for key in REPEATED if key in values}
    metrics = _metrics(folder / run.METRICS) if is_complete else {}
    if is_complete and (place := _place_of_job(folder)) and _job(place).get("status") == "pruned":
        outcome = "pruned"
    ended = (folder / run.METRICS).stat().st_mtime if is_complete else 0.0
    monitor = config.get("monitor", ""), config.get("mode", "min")
    return Run(folder, outcome, values, *monitor, metrics, ended)


def _config(folder: Path, is_needed: bool) -> dict[str, Any]:
    file = folder / run.CONFIG
    if not is_needed and not os.path.lexists(file):  # stopped before it was asked anything
        return {}
    config = _content(file)
    if not isinstance(config.get("monitor"), str) or config.get("mode") not in ("min", "max"):
        raise _damaged(file, "it names no monitor and mode")
    return config


def _metrics(file: Path) -> dict[str, Any]:
    metrics = _content(file)
    for name, value in metrics.items():
        if not is_number(value):
            raise _damaged(file, f"{name} is no number")
    if "objective" not in metrics:
        raise _damaged(file, "it holds no objective")
    return metrics


def _content(file: Path) -> dict[str, Any]:
    try:
        return read_json(file) if file.suffix == ".json" else read_yaml(file)
    except InputError as error:
        raise _damaged(file, "it holds no keys and values") from error


def _damaged(file: Path, reason: str) -> InputError:
    is_written_anew = file.name in (run.STATUS, run.METRICS)
    advice = f"resume={paths.display(file.parent)} writes it anew" if is_written_anew else "restore it"
    return InputError(
        f"'{paths.display(file)}' is {'damaged' if os.path.lexists(file) else 'lost'}, for {reason}: {advice}"
    )


def flat(node: Any, path: str = "") -> dict[str, str]:
    """Return the leaves of nested values as text, by dotted key."""
    if not isinstance(node, dict):
        return {path: "null" if node is None else str(node).replace(" ", "")}
    return {
        key: value
        for name, child in node.items()
        for key, value in flat(child, f"{path}.{name}" if path else str(name)).items()
    }


def differing(runs: Sequence[Run]) -> list[str]:
    """Return the keys whose values are not the same in all runs."""
    keys = dict.fromkeys(key for run in runs for key in run.values)
    return [key for key in keys if len({run.values.get(key) for run in runs}) > 1]


def table(report: Report, top: int | None = None) -> list[list[str]]:
    """Return the report as rows of text, a header first."""
    names = short_names(report.keys)
    test = report.metric.replace("val/", "test/", 1)
    header = ["", report.metric, "runs", *([test] if test != report.metric else []), *names, "seconds", "best run"]
    rows = [header]
    for rank, group in enumerate(report.groups[:top], 1):
        spread = f" ± {group.deviation:.2g}" if group.deviation is not None else ""
        others = [_number(group.mean_of(test))] if test != report.metric else []
        values = [brief(group.values.get(key, "")) for key in report.keys]
        seconds = _number(group.mean_of("fit_seconds"))
        folder = paths.display(group.runs[0].folder)
        rows.append([str(rank), f"{group.mean:.5g}{spread}", str(len(group.scores)), *others, *values, seconds, folder])
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
    """Return the report as a table of Markdown."""
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
    """Draw what a report shows; return the files of the plots."""
    files = []
    for name, figure in figures(report).items():
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], dpi=110)
    return files


def figures(report: Report) -> "dict[str, Figure]":
    """Return the plots of a report, by name."""
    from litmlp.plots import sweep
    from litmlp.sweeps.importance import importances

    means = [group.mean for group in report.groups]
    runs = sorted((run for group in report.groups for run in group.runs), key=lambda run: run.ended)
    told = (report.metric, report.mode)
    drawn = {"best_so_far": sweep.best_so_far([run.metrics[report.metric] for run in runs], *told)}
    texts = {key: [group.values.get(key, "-") for group in report.groups] for key in report.keys}
    names = dict(zip(texts, short_names(list(texts)), strict=True))
    if texts and len(means) > 1:
        axes = [sweep.Axis(names[key], column) for key, column in texts.items()][:MAX_AXES]
        drawn["hyperparameters"] = sweep.hyperparameters(axes, means, *told)
        drawn["parallel_coordinates"] = sweep.parallel_coordinates(axes, means, *told)
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
        by_values.setdefault(tuple(one.values.get(key) for key in shared), []).append(one)
    groups = []
    for values, members in by_values.items():
        members.sort(key=lambda one: sign * one.metrics[metric])
        known = {key: value for key, value in zip(shared, values, strict=True) if value is not None}
        groups.append(Group(known, [one.metrics[metric] for one in members], members))
    return sorted(groups, key=lambda group: sign * group.mean)


def _typed(folder: Path) -> dict[str, str] | None:
    """Return the overrides of a sweep's job, those that its sweep fixed among them; None for another run."""
    place = _place_of_job(folder)
    if place is None:
        return None
    overrides = (*_fixed(place.parent), *_job(place)["overrides"])
    return dict(override.lstrip("+").split("=", 1) for override in overrides if "=" in override)


def _place_of_job(folder: Path) -> Path | None:
    """Return the folder of the job that a run belongs to: its own, or that of a trial of several runs."""
    return next((place for place in (folder, folder.parent) if os.path.lexists(place / JOB)), None)


def _job(place: Path) -> dict[str, Any]:
    job = _content(place / JOB)
    if not _are_texts(job.get("overrides")):
        raise _damaged(place / JOB, "its overrides are no list of texts")
    return job


_sweeps: dict[Path, list[str] | str] = {}  # what is fixed, or what is wrong


def _fixed(sweep: Path) -> list[str]:
    """Return what a sweep fixed; nothing if its file is damaged, since its jobs are not."""
    if sweep not in _sweeps:
        _sweeps[sweep] = _read_fixed(sweep / SWEEP)
    found = _sweeps[sweep]
    return [] if isinstance(found, str) else found


def _read_fixed(file: Path) -> list[str] | str:
    if not os.path.lexists(file):  # a job that was copied from its sweep
        return []
    try:
        fixed = _content(file).get("fixed")
    except InputError as error:
        return str(error)
    return fixed if _are_texts(fixed) else str(_damaged(file, "what is fixed is no list of texts"))


def _are_texts(values: Any) -> TypeGuard[list[str]]:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _in_order(folder: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in folder.parts]


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}"


def main() -> None:
    """Run the command `litmlp-report`."""
    with process.guarded("litmlp-report"):
        _report(_arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="litmlp-report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="folder", help="of a run, of a sweep, or of many")
    parser.add_argument(
        "--metric", help="what ranks the runs, as in metrics.json; default: what they were monitored by"
    )
    parser.add_argument("--mode", choices=("min", "max"), help="its better direction; default: the monitor's")
    parser.add_argument("--top", type=int, default=20, help="how many rows are printed (default: 20)")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write report.csv, report.md and plots there")
    return parser.parse_args()


def _report(given: argparse.Namespace) -> None:
    report = compare([paths.find(folder) for folder in given.folders], given.metric, given.mode)
    print(text(report, given.top))
    print(f"runs: {', '.join(f'{count} {status}' for status, count in report.counts.items())}")
    for sentence in report.damage:
        print(f"not used: {sentence}")
    if given.write:
        write(report, given.write)
        print(paths.display(given.write / "report.md"))
