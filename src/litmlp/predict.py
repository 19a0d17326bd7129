"""Predict raw rows of a file with a checkpoint."""

if __name__ == "__main__":  # before the imports, in which signals and errors can come
    from litmlp import commands

    commands.predict()

from pathlib import Path
from typing import TYPE_CHECKING

from litmlp import cli, output
from litmlp.errors import InputError
from litmlp.evaluate import files_read, on_device
from litmlp.files import replacing
from litmlp.paths import display, expanded

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from polars import DataFrame

ROWS_AT_ONCE = 8192
WRITERS = {".csv": "write_csv", ".parquet": "write_parquet"}


def predict(checkpoint: str, rows: str | Path) -> "DataFrame":
    """Return a prediction for each row of a CSV or Parquet file, in its order.

    Columns may come in any order, with or without the target; cells may be missing and levels unseen.

    Args:
        checkpoint: a run's folder, or a `.ckpt` file.
        rows: the file, a folder of Parquet files, or a pattern.

    Returns:
        `prediction`, and for classes `probability_<class>`; for several targets `prediction_<target>`.
    """
    import torch

    from litmlp import checkpoint as checkpoints
    from litmlp.data.batch import Batches, InOrder

    task, data, _ = checkpoints.load(checkpoints.resolve(checkpoint))
    task = on_device(task)
    batches = Batches(data.encode_file(rows, has_target=False), ROWS_AT_ONCE, InOrder())
    with torch.inference_mode():
        predictions = [task.predict_step(task.transfer_batch_to_device(b, task.device, 0), 0) for b in batches]
    return data.target.table(torch.cat(predictions).cpu())


def _job(config: "DictConfig") -> None:
    given = {name: output.text(config, name) for name in ("checkpoint", "input", "output")}
    for name, value in given.items():
        if value is None:
            raise InputError(f"no {name} is given: add {name}=...")
    checkpoint, rows, name = map(str, given.values())
    file = expanded(name)
    output.check(file, list(WRITERS), files_read(checkpoint, rows))
    table = predict(checkpoint, rows)
    with replacing(file) as temporary:
        getattr(table, WRITERS[file.suffix.lower()])(temporary)
    print(f"{len(table)} predictions in {display(file)}")


def main() -> None:
    """Run the command `litmlp-predict`."""
    cli.command("predict", _job)
