"""Make one model of many runs: those of a sweep whose average predicts validation rows best."""

if __name__ == "__main__":  # before the imports, during which signals and errors can arrive
    from litmlp import entry_points

    entry_points.ensemble()

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litmlp import paths, process, run_folder
from litmlp.commands.train import quiet_libraries, summary
from litmlp.errors import InputError, did_you_mean, shown
from litmlp.files import replacing, write_json
from litmlp.paths import display

if TYPE_CHECKING:
    from torch import Tensor

    from litmlp.checkpoint import Loaded
    from litmlp.sweeps.candidates import Reader, Trained
    from litmlp.tasks import Task

    Member = tuple[Trained, float]  # a run, and its weight

log = logging.getLogger(__name__)

SIZE, MAX_SIZE = 8, 1000
MAX_CANDIDATES = 50  # the best ones, by their own scores; more of them would make selection slow and chance matter
KEYS = ("size", "output")


def ensemble(folders: Sequence[Path], size: int = SIZE, output: Path | None = None) -> dict[str, Any]:
    """Choose runs, and write the folder of a run whose model averages their predictions; return its metrics.

    Runs are chosen by their predictions for validation rows, see `selection.selected`. If the runs are folds, the
    networks of a fold predict the validation rows of that fold, which they were not trained on. Test rows choose
    nothing.

    Args:
        folders: of sweeps and runs.
        size: how many times a run is chosen; the same one may be chosen again, and then has more weight. If the runs
            are folds, a run of each fold is chosen at a time.
        output: the new folder; `ensemble` in the first of `folders` if None.

    Raises:
        InputError: there is no finished run, or the runs cannot be compared or averaged.
    """
    from litmlp.model import measure
    from litmlp.sweeps.candidates import Library, Reader, candidates_of, common_splits, finished
    from litmlp.sweeps.selection import selected

    folder = output or folders[0] / "ensemble"
    if folder.exists():
        raise InputError(f"'{display(folder)}' exists already: remove it, or give another folder as output=")
    runs = finished(folders)
    candidates, num_left_out = candidates_of(runs)
    candidates = candidates[:MAX_CANDIDATES]
    first, reader = candidates[0][0], Reader()
    library = Library(candidates, reader)
    sign = 1 if first.config["mode"] == "min" else -1

    def error(output: "Tensor") -> float:
        return sign * library.scores("val", output)[first.config["monitor"]]

    counts = selected(library.outputs["val"], library.target.mean_of, error, size)
    common = common_splits(candidates[0])
    members = [(run, counts[i] / len(candidates[i])) for i in counts for run in candidates[i]]
    config = config_of(members, common, reader)
    with run_folder.recorded(folder, new=config):
        if num_left_out:
            log.warning("left out %d runs, whose settings were not trained on all splits", num_left_out)
        for run, weight in members:
            log.info("%g x %s, %s %.5g", weight, display(run.folder), first.config["monitor"], run.score)
        loaded = built(config, members, reader)
        scores = library.scores("val", library.mean("val", counts))
        if "test" in common:
            scores |= measure(loaded.task, loaded.data, "test")
        else:
            scores |= library.scores("test", library.mean("test", counts))
        metrics = scores | {"objective": scores[config["monitor"]], **effort(members, loaded.task)}
        write(folder, loaded, metrics, draws="test" in common)
    return metrics


def config_of(members: "Sequence[Member]", common: list[str], reader: "Reader") -> dict[str, Any]:
    """Return the config of an ensemble's run: that of its first member, with a network that averages all."""
    from litmlp.networks import Ensemble

    starts, ends = {}, [0, 0]
    for run, _ in members:
        if run.encoding not in starts:
            spec = reader.load(run).data.spec
            first, ends = ends, [ends[0] + len(spec.numeric), ends[1] + len(spec.categorical)]
            starts[run.encoding] = [first[0], ends[0], first[1], ends[1]]
    network = {
        "_target_": f"{Ensemble.__module__}.{Ensemble.__qualname__}",
        "members": [run.config["network"] | {"_partial_": True} for run, _ in members],
        "spans": [starts[run.encoding] for run, _ in members],
        "weights": [weight for _, weight in members],
        "common_splits": common,
    }
    runs = {display(run.folder): weight for run, weight in members}
    return members[0][0].config | {"network": network, "ensemble": runs}


def built(config: dict[str, Any], members: "Sequence[Member]", reader: "Reader") -> "Loaded":
    """Return the task and the data of an ensemble, with the weights and the encodings of its members."""
    from litmlp import build, checkpoint
    from litmlp.data import NumericTarget
    from litmlp.model import on_device
    from litmlp.sweeps.candidates import point_to_table

    data = checkpoint.load(members[0][0].best).data
    by_encoding = {run.encoding: reader.load(run).data for run, _ in members}
    data.inputs.columns = [column for one in by_encoding.values() for column in one.inputs.columns]
    point_to_table(data, config)
    data.setup()
    task = build.task(config, data.spec, trainable=False)
    loaded = [reader.load(run) for run, _ in members]
    network: Any = task.network
    for member, one in zip(network.members, loaded, strict=True):
        member.load_state_dict(one.task.network.state_dict())
    targets: Any = [one.data.target for one in loaded]
    if isinstance(data.target, NumericTarget):
        network.align([target.scaling for target in targets])
    return checkpoint.Loaded(on_device(task.eval()), data, config)


def effort(members: "Sequence[Member]", task: "Task") -> dict[str, Any]:
    """Return what the training of all members took, as a run's metrics name it."""
    read = [run_folder.metrics_of(run.folder) or {} for run, _ in members]
    sums = {name: sum(metrics[name] for metrics in read) for name in ("epochs", "steps", "fit_seconds")}
    return sums | {"parameters": sum(p.numel() for p in task.network.parameters())}


def write(folder: Path, loaded: "Loaded", metrics: dict[str, Any], draws: bool) -> None:
    """Write checkpoint, metrics and, if `draws`, plots of the test rows to the folder of an ensemble."""
    import torch

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
    write_json(folder / run_folder.COLUMNS, {"columns": data.inputs.decisions})
    trainer: Any = build.trainer(config, str(folder))
    for callback in trainer.callbacks if draws else ():
        if isinstance(callback, Plotting):
            callback.finish(trainer, task, data)
    loggers.log_outcome(trainer, config, metrics)
    write_json(folder / run_folder.METRICS, metrics)


def main() -> None:
    """Run the command `litmlp-ensemble`."""
    with process.guarded("litmlp-ensemble"):
        folders, size, output = _arguments()
        quiet_libraries()
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        logging.getLogger(__package__.partition(".")[0]).setLevel(logging.INFO)
        folder = output or folders[0] / "ensemble"
        print(summary(ensemble(folders, size, folder)))
        print(display(folder))


def _arguments() -> tuple[list[Path], int, Path | None]:
    parser = argparse.ArgumentParser(prog="litmlp-ensemble", description=__doc__)
    parser.add_argument(
        "arguments",
        nargs="+",
        metavar="folder",
        help=f"a folder of a sweep or of a run; also size={SIZE}, how many times a run is chosen, and output=<the new "
        "folder>, which is by default the folder ensemble in the first one",
    )
    given = parser.parse_args().arguments
    keys = dict(text.split("=", 1) for text in given if "=" in text and not Path(text).exists())
    for key in keys:
        if key not in KEYS:
            raise InputError(f"there is no key '{key}': {did_you_mean(key, KEYS)}")
    folders = [paths.find(text) for text in given if text.partition("=")[0] not in keys]
    if not folders:
        raise InputError("no folder is given: add that of a sweep, such as runs/sweeps/penguins")
    size = keys.get("size", str(SIZE))
    if not (size.isascii() and size.isdecimal() and 1 <= int(size) <= MAX_SIZE):
        raise InputError(f"size is {shown(size)}: give a whole number from 1 to {MAX_SIZE}")
    return folders, int(size), paths.expanded(keys["output"]) if "output" in keys else None
