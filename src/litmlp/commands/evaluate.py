"""Measure a checkpoint on a split of its data, or on another file."""

if __name__ == "__main__":  # before the imports, in which signals and errors can come
    from litmlp import entry

    entry.evaluate()

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litmlp import cli, output, run
from litmlp.errors import InputError
from litmlp.files import read_yaml, write_json
from litmlp.paths import display, expanded, find

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from litmlp.data import TabularData


def evaluate(
    checkpoint: str, split: str = "test", path: str | None = None, written: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Return the metrics of a checkpoint.

    Args:
        checkpoint: a run's folder, or a `.ckpt` file.
        split: `train`, `val` or `test` rows of the data that the checkpoint was trained on.
        path: another file with the same columns; all of its rows are measured, and `split` only names them.
        written: keys of a table, such as `delimiter`, where that file is written in another way than that of training.
    """
    from litmlp import checkpoint as checkpoints
    from litmlp.data.splits import SPLITS
    from litmlp.model import load, measure

    if split not in SPLITS:
        raise InputError(f"split is '{split}': use {', '.join(SPLITS)}")
    file = checkpoints.resolve(checkpoint)
    model = load(file)
    if path is None:
        if written:
            key = next(iter(written))
            raise InputError(f"data.{key} says how another file is written: give that file too, as data.path=...")
        _point_to_table(model.data, file)
        model.data.setup()
    else:
        model.data.tables[split] = model.data.encode_rows(path, True, written)
    return measure(model.task, model.data, split)


def _point_to_table(data: "TabularData", file: Path) -> None:
    # A checkpoint says nothing of this machine; the config beside it does, where there is one.
    from litmlp.checkpoint import PATHS
    from litmlp.data import TableData

    config = file.parent.parent / run.CONFIG
    if isinstance(data, TableData) and config.is_file():
        beside = read_yaml(config).get("data")
        for key in PATHS:
            if isinstance(beside, dict) and isinstance(beside.get(key), str):
                setattr(data, key, beside[key])


def files_read(checkpoint: str, rows: str | None) -> Iterator[Path]:
    """Yield the files of `rows`, a checkpoint, those of its run, and its table if that is here."""
    from litmlp import checkpoint as checkpoints
    from litmlp.data.reading import files_of

    yield from files_of(rows) if rows else ()
    file = checkpoints.resolve(checkpoint)
    yield file
    yield from file.parent.glob("*.ckpt")
    yield from (path for name in (*output.OF_A_RUN, f"{run.PLOTS}/*") for path in file.parent.parent.glob(name))
    _, data, _ = checkpoints.load(file)
    _point_to_table(data, file)
    for key in checkpoints.PATHS:
        if path := getattr(data, key, None):
            with suppress(InputError):
                yield from files_of(path)


def keys_of_rows(config: "DictConfig") -> dict[str, Any]:
    """Return what is said of how a file is written; raise InputError for a value of another type."""
    from omegaconf import OmegaConf

    from litmlp.config import arguments_of, check_value
    from litmlp.data import keys

    hints, _ = arguments_of(keys.parsed)
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
    given = output.text(config, "output")
    file = expanded(given) if given else _beside(checkpoint, split, rows)
    output.check(file, [".json"], files_read(checkpoint, rows))
    metrics = evaluate(checkpoint, split, rows, keys_of_rows(config))
    width = max(map(len, metrics))
    print("\n".join(f"{name:{width}}  {value:10.4f}" for name, value in metrics.items()))
    write_json(file, metrics, is_summed=False)
    print(display(file))


def _beside(checkpoint: str, split: str, rows: str | None) -> Path:
    given = find(checkpoint)
    name = split if rows is None else Path(rows).stem
    folder = given if given.is_dir() else given.parent
    place = given.absolute().parent
    if given.is_file() and place.name == run.CHECKPOINTS and output.is_run(place.parent):
        folder = place.parent  # its checkpoints lie alone
        name = name if given.name == "best.ckpt" else f"{name}-{given.stem}"
    return folder / f"evaluate-{name}.json"


def main() -> None:
    """Run the command `litmlp-evaluate`."""
    cli.command("evaluate", _job)
