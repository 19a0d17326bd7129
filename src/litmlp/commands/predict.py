"""Predict the raw rows of a file with a checkpoint."""

if __name__ == "__main__":  # first of all: a signal or an error during the imports below must end in one sentence, too
    from litmlp import entry_points

    entry_points.predict()

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litmlp import cli, output
from litmlp.commands.evaluate import files_read, keys_of_rows
from litmlp.errors import InputError
from litmlp.files import replacing
from litmlp.paths import display, expanded

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from polars import DataFrame

WRITERS = {".csv": "write_csv", ".parquet": "write_parquet"}


def predict(
    checkpoint: str, rows: str | Path, keep: Sequence[str] = (), read_options: Mapping[str, Any] | None = None
) -> "DataFrame":
    """Return a prediction for each row of a text or Parquet file; see `Model.predict`.

    Args:
        checkpoint: a run's folder, or a `.ckpt` file.
        rows: the file, a folder of files, or a pattern of file names.
        keep: columns of the file to put before the predictions.
        read_options: keys of a table, such as `delimiter`, if the file's format differs from the training data's.
    """
    from litmlp.model import load

    return load(checkpoint).predict(rows, keep, read_options)


def _job(config: "DictConfig") -> None:
    from omegaconf import OmegaConf

    given = {name: output.text(config, name) for name in ("checkpoint", "data.path", "output")}
    for name, value in given.items():
        if value is None:
            raise InputError(f"no {name} is given: add {name}=...")
    checkpoint, rows, name = map(str, given.values())
    file = expanded(name)
    output.check(file, list(WRITERS), files_read(checkpoint, rows))
    keep = OmegaConf.select(config, "keep")
    names = [str(name) for name in ([keep] if isinstance(keep, str | int | float) else keep or [])]
    table = predict(checkpoint, rows, names, keys_of_rows(config))
    with replacing(file) as temporary:
        getattr(table, WRITERS[file.suffix.lower()])(temporary)
    print(f"{len(table)} predictions in {display(file)}")


def main() -> None:
    """Run the command `litmlp-predict`."""
    cli.command("predict", _job)
