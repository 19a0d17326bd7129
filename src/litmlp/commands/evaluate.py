"""Measure a checkpoint on a split of its data or on another file."""

if __name__ == "__main__":  # first of all: a signal or an error during the imports below must end in one sentence, too
    from litmlp import entry_points

    entry_points.evaluate()

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litmlp import cli, output, run_folder
from litmlp.errors import InputError
from litmlp.files import read_yaml, write_json
from litmlp.paths import display, expanded, find

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from litmlp.data import TabularData


def evaluate(
    checkpoint: str, split: str = "test", path: str | None = None, read_options: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Return the metrics of a checkpoint.

    Args:
        checkpoint: a run's folder, or a `.ckpt` file.
        split: `train`, `val` or `test`: which rows of the training data to measure.
        path: another file with the same columns. All of its rows are measured; `split` then only names the metrics.
        read_options: keys of a table, such as `delimiter`, if the file's format differs from the training data's.
    """
    from litmlp import checkpoint as checkpoints
    from litmlp.data.splits import SPLITS
    from litmlp.model import load, measure

    if split not in SPLITS:
        raise InputError(f"split is '{split}': use {', '.join(SPLITS)}")
    file = checkpoints.resolve(checkpoint)
    model = load(file)
    if path is None:
        if read_options:
            key = next(iter(read_options))
            raise InputError(f"data.{key} describes the format of another file: give that file too, as data.path=...")
        if split not in getattr(model.task.network, "common_splits", SPLITS):
            raise InputError(
                f"some networks of this ensemble were trained on rows of its {split} split: give other rows as "
                "data.path=..., or read metrics.json, where each row is predicted by networks that did not learn it"
            )
        _point_to_table(model.data, file)
        model.data.setup()
    else:
        model.data.tables[split] = model.data.encode_rows(path, True, read_options)
    return measure(model.task, model.data, split)


def _point_to_table(data: "TabularData", file: Path) -> None:
    # A checkpoint holds no paths of a machine, but the run's config.yaml does; so the table is found through it.
    from litmlp.checkpoint import PATHS
    from litmlp.data import TableData

    config = file.parent.parent / run_folder.CONFIG
    if isinstance(data, TableData) and config.is_file():
        data_config = read_yaml(config).get("data")
        for key in PATHS:
            if isinstance(data_config, dict) and isinstance(data_config.get(key), str):
                setattr(data, key, data_config[key])


def files_read(checkpoint: str, rows: str | None) -> Iterator[Path]:
    """Yield each file that must not be overwritten: those of `rows`, the checkpoint, its run's files and its table.

    The table is left out if it cannot be found.
    """
    from litmlp import checkpoint as checkpoints
    from litmlp.data.reading import files_of

    yield from files_of(rows) if rows else ()
    file = checkpoints.resolve(checkpoint)
    yield file
    yield from file.parent.glob("*.ckpt")
    yield from (path for name in (*output.OF_A_RUN, f"{run_folder.PLOTS}/*") for path in file.parent.parent.glob(name))
    _, data, _ = checkpoints.load(file)
    _point_to_table(data, file)
    for key in checkpoints.PATHS:
        if path := getattr(data, key, None):
            with suppress(InputError):
                yield from files_of(path)


def keys_of_rows(config: "DictConfig") -> dict[str, Any]:
    """Return the keys that describe a file's format and are given; raise InputError for a value of the wrong type."""
    from omegaconf import OmegaConf

    from litmlp.config_check import arguments_of, check_value
    from litmlp.data import format_options

    hints, _ = arguments_of(format_options.parsed)
    given = {name: value for name in hints if (value := OmegaConf.select(config, f"data.{name}")) is not None}
    given = {name: OmegaConf.to_object(value) if OmegaConf.is_config(value) else value for name, value in given.items()}
    for name, value in given.items():
        check_value(f"data.{name}", value, hints[name])
    return given


def _job(config: "DictConfig") -> None:
    from litmlp.data.splits import SPLITS

    checkpoint, split, rows = (output.text(config, key) for key in ("checkpoint", "split", "data.path"))
    if checkpoint is None:
        raise InputError("no checkpoint is given: add checkpoint=<run folder or .ckpt file>")
    if split not in SPLITS:
        raise InputError(f"split is '{split}': use {', '.join(SPLITS)}")
    name = output.text(config, "output")
    file = expanded(name) if name else _default_output(checkpoint, split, rows)
    output.check(file, [".json"], files_read(checkpoint, rows))
    metrics = evaluate(checkpoint, split, rows, keys_of_rows(config))
    width = max(map(len, metrics))
    print("\n".join(f"{name:{width}}  {value:10.4f}" for name, value in metrics.items()))
    write_json(file, metrics, is_summed=False)
    print(display(file))


def _default_output(checkpoint: str, split: str, rows: str | None) -> Path:
    path = find(checkpoint)
    name = split if rows is None else Path(rows).stem
    folder = path if path.is_dir() else path.parent
    parent = path.absolute().parent
    if path.is_file() and parent.name == run_folder.CHECKPOINTS and output.is_run(parent.parent):
        folder = parent.parent  # the run's folder: its folder checkpoints/ holds nothing but checkpoints
        name = name if path.name == "best.ckpt" else f"{name}-{path.stem}"
    return folder / f"evaluate-{name}.json"


def main() -> None:
    """Run the command `litmlp-evaluate`."""
    cli.command("evaluate", _job)
