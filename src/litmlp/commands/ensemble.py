"""Make one model of many runs: those of a sweep whose average predicts validation rows best."""

if __name__ == "__main__":  # first of all: a signal or an error during the imports below must end in one sentence, too
    from litmlp import entry_points

    entry_points.ensemble()

import argparse
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litmlp import folders, paths, process, run_folder
from litmlp.commands.train import quiet_libraries, summary
from litmlp.errors import InputError, did_you_mean, shown
from litmlp.files import read_json, replacing, write_json
from litmlp.paths import display

if TYPE_CHECKING:
    from litmlp.checkpoint import Loaded
    from litmlp.sweeps.candidates import Reader, Trained
    from litmlp.tasks import Task

    Member = tuple[Trained, float]  # a run, and its weight; the sum of all weights is 1

log = logging.getLogger(__name__)

NAME = "ensemble"  # of the new folder, in the first of those given
SIZE, MAX_SIZE = 8, 1000
MAX_CANDIDATES = 50  # the best ones, by their own scores; more of them would make selection slow and chance matter
KEYS = ("size", "output")


def ensemble(given: Sequence[Path], size: int = SIZE, output: Path | None = None) -> dict[str, Any]:
    """Choose runs, and write the folder of a run whose model averages their predictions; return its metrics.

    Runs are chosen by their predictions for validation rows, see `selection.selected`. If the runs are folds, the
    networks of a fold predict the validation rows of that fold, which they were not trained on. The probabilities of
    classes that are averaged are calibrated; then their mean is calibrated by the same predictions. With folds, each
    row is predicted by one network only, so the mean of all remains somewhat too cautious. Test rows choose nothing.

    Args:
        given: folders of sweeps and runs.
        size: how many times a run is chosen; the same one may be chosen again, and then has more weight. If the runs
            are folds, a run of each fold is chosen at a time.
        output: the new folder; `ensemble` in the first of `given` if None.

    Raises:
        InputError: there is no finished run, or the runs cannot be compared or averaged.
    """
    folder = output or given[0] / NAME
    check_absent(folder)
    from litmlp.config_check import check_monitor  # these imports take seconds
    from litmlp.model import measure
    from litmlp.sweeps.candidates import Library, Reader, candidates_of, common_splits, finished, reference
    from litmlp.sweeps.selection import selected
    from litmlp.trust import check_config

    quiet_libraries()
    all_candidates, num_left_out = candidates_of(finished(given))
    candidates = all_candidates[:MAX_CANDIDATES]
    first, reader, splits = candidates[0][0], Reader(), common_splits(candidates[0])
    check_config(first.config, first.folder / run_folder.CONFIG)
    common, monitor = reference(first), first.config["monitor"]
    check_monitor(first.config, common.data.spec)
    library = Library(candidates, reader, "val", common)
    counts = selected(
        library.outputs,
        common.data.target.mean_of,
        lambda output: first.direction * library.scores(output)[monitor],
        size,
    )
    total = sum(counts.values())
    members = [(run, counts[i] / total / len(candidates[i])) for i in counts for run in candidates[i]]
    library.calibrate(library.mean(counts))
    scores = library.scores(library.mean(counts))
    loaded = averaged(members, splits, first, common.task, reader)
    if "test" in splits:
        scores |= measure(loaded.task, loaded.data, "test")
    else:
        tested = Library([candidates[i] for i in counts], reader, "test", common)
        scores |= tested.scores(tested.mean(dict(enumerate(counts.values()))))
    metrics = scores | {"objective": scores[monitor], **effort(members, loaded.task)}
    with made(folder) as unfinished, run_folder.recorded(unfinished, new=loaded.config, goes_on=False):
        if num_left_out:
            log.warning("left out %d runs, whose settings were not trained on all splits", num_left_out)
        if len(candidates) < len(all_candidates):
            log.info("chose among the best %d of %d", len(candidates), len(all_candidates))
        for run, weight in members:
            log.info("%.3g of %s, %s %.5g", weight, display(run.folder), monitor, run.score)
        write(unfinished, loaded, first, metrics, draws="test" in splits)
    return metrics


def averaged(
    members: "Sequence[Member]", common_splits: list[str], first: "Trained", measuring: "Task", reader: "Reader"
) -> "Loaded":
    """Return the model that averages members; it is like that of `first`, except for its network and its columns.

    Args:
        members: the runs, and their weights.
        common_splits: the splits that hold the same rows for all of them.
        first: the run to whose outputs those of all are aligned.
        measuring: its task, with the temperature of the average.
        reader: loads the runs.
    """
    from litmlp import build, checkpoint, networks
    from litmlp.model import on_device
    from litmlp.sweeps.candidates import alignment, opened, temperature_of

    all_loaded = [reader.load(run) for run, _ in members]
    _, data, own = opened(first)
    data.inputs.columns, spans, ends = [], {}, (0, 0)
    for one in all_loaded:
        if one.data not in spans:
            starts, ends = ends, (ends[0] + len(one.data.spec.numeric), ends[1] + len(one.data.spec.categorical))
            spans[one.data] = [starts[0], ends[0], starts[1], ends[1]]
            data.inputs.columns += one.data.inputs.columns
    network = {
        "_target_": f"{networks.__name__}.Ensemble",
        "members": [one.config["network"] | {"_partial_": True} for one in all_loaded],
        "spans": [spans[one.data] for one in all_loaded],
        "weights": [weight for _, weight in members],
        "common_splits": common_splits,
    }
    runs = {display(run.folder): round(weight, 6) for run, weight in members}
    config = first.config | own | {"network": network, "ensemble": runs}
    data.setup()
    task = build.task(config, data.spec, trainable=False)
    averaging: Any = task.network
    for index, one in enumerate(all_loaded):
        averaging.members[index].load_state_dict(one.task.network.state_dict())
        if aligned := alignment(one.data.target, data.target):
            averaging.scale[index], averaging.shift[index] = aligned
        averaging.temperatures[index] = temperature_of(one)
    beside = {name: value for name, value in measuring.state_dict().items() if not name.startswith("network.")}
    task.load_state_dict(beside, strict=False)
    return checkpoint.Loaded(on_device(task.eval()), data, config)


def effort(members: "Sequence[Member]", task: "Task") -> dict[str, Any]:
    """Return what the training of all members took, as a run's metrics name it."""
    sums = {name: sum(run.metrics[name] or 0 for run, _ in members) for name in ("epochs", "steps", "fit_seconds")}
    return sums | {"parameters": sum(p.numel() for p in task.network.parameters())}


def write(folder: Path, loaded: "Loaded", first: "Trained", metrics: dict[str, Any], draws: bool) -> None:
    """Write checkpoint, columns, metrics and, if `draws`, plots of the test rows to the folder of an ensemble."""
    import torch
    from lightning.pytorch import Trainer

    from litmlp import build, checkpoint, loggers
    from litmlp.callbacks.plotting import Plotting

    task, data, config = loaded
    content = {
        "hyper_parameters": checkpoint.description(config),
        "state_dict": {name: tensor.cpu() for name, tensor in task.state_dict().items()},
        type(data).__qualname__: data.state_dict(),
    }
    file = folder / run_folder.CHECKPOINTS / "best.ckpt"
    file.parent.mkdir()
    with replacing(file) as temporary:
        torch.save(content, temporary)
    if (columns := first.folder / run_folder.COLUMNS).is_file():
        write_json(folder / run_folder.COLUMNS, read_json(columns))
    save_dir = str(folder)
    quiet: dict[str, Any] = dict.fromkeys(
        ("enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    logger = build.group(config, "logger", save_dir=save_dir) or False
    trainer = Trainer(accelerator="cpu", logger=logger, default_root_dir=save_dir, **quiet)  # only holds the loggers
    for callback in build.group(config, "callbacks") if draws else ():
        if isinstance(callback, Plotting):
            callback.finish(trainer, task, data)
    hyperparameters = config["network"] | {"members": len(config["ensemble"])}
    loggers.log_outcome(trainer, config | {"network": hyperparameters}, metrics)
    write_json(folder / run_folder.METRICS, metrics)


def check_absent(folder: Path) -> None:
    """Raise InputError if there is a folder of an ensemble, or anything else, already."""
    if os.path.lexists(folder):
        raise InputError(f"'{display(folder)}' exists already: remove it, or give another folder as output=")


@contextmanager
def made(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, which gets its name at the end; after an error, nothing is left."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    folders.make(folder.parent)
    try:
        yield unfinished
        check_absent(folder)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        folders.remove(folder.parent)


def main() -> None:
    """Run the command `litmlp-ensemble`."""
    with process.guarded("litmlp-ensemble"):
        given, size, output = _arguments()
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        logging.getLogger(__package__.partition(".")[0]).setLevel(logging.INFO)
        folder = output or given[0] / NAME
        print(summary(ensemble(given, size, folder)))
        print(display(folder))


def _arguments() -> tuple[list[Path], int, Path | None]:
    parser = argparse.ArgumentParser(prog="litmlp-ensemble", description=__doc__)
    parser.add_argument(
        "arguments",
        nargs="+",
        metavar="folder",
        help=f"a folder of a sweep or of a run; also size={SIZE}, how many times a run is chosen, and output=<the new "
        f"folder>, which is by default the folder {NAME} in the first one",
    )
    given = parser.parse_args().arguments
    values = [text for text in given if text.partition("=")[0].isidentifier() and "=" in text]
    keys = dict(text.split("=", 1) for text in values)
    for key in keys:
        if key not in KEYS:
            raise InputError(f"there is no key '{key}': {did_you_mean(key, KEYS)}")
    found = [paths.find(text) for text in given if text not in values]
    if not found:
        raise InputError("no folder is given: add that of a sweep, such as runs/sweeps/penguins")
    size = keys.get("size", str(SIZE))
    if not (size.isascii() and size.isdecimal() and len(size) < 5 and 1 <= int(size) <= MAX_SIZE):
        raise InputError(f"size is {shown(size)}: give a whole number from 1 to {MAX_SIZE}")
    return found, int(size), paths.expanded(keys["output"]) if keys.get("output") else None
