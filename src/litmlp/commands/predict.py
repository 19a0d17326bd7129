"""Predict raw rows of a file with a checkpoint."""

if __name__ == "__main__":  # before the imports, in which signals and errors can come
    from litmlp import entry

    entry.predict()

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litmlp import cli, output
from litmlp.commands.evaluate import files_read, keys_of_rows, on_device
from litmlp.errors import InputError, did_you_mean
from litmlp.files import replacing
from litmlp.paths import display, expanded

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from polars import DataFrame, LazyFrame

ROWS_AT_ONCE = 8192
WRITERS = {".csv": "write_csv", ".parquet": "write_parquet"}


def predict(
    checkpoint: str, rows: str | Path, keep: Sequence[str] = (), written: Mapping[str, Any] | None = None
) -> "DataFrame":
    """Return a prediction for each row of a file of text or Parquet, in its order.

    Columns may come in any order, with or without the target; cells may be missing and levels unseen.

    Args:
        checkpoint: a run's folder, or a `.ckpt` file.
        rows: the file, a folder of files, or a pattern.
        keep: columns of the file to put before the predictions.
        written: keys of a table, such as `delimiter`, where the file is written in another way than that of training.

    Returns:
        The columns kept; `prediction`, and for classes `probability_<class>`; for several targets
        `prediction_<target>`.
    """
    import polars as pl
    import torch

    from litmlp import checkpoint as checkpoints
    from litmlp.data.batches import Batches, InOrder

    task, data, _ = checkpoints.load(checkpoints.resolve(checkpoint))
    task = on_device(task)
    read = data.read_as_before(rows, keep, written)
    kept = _kept(read.frame, keep)
    batches = Batches(data.encode(read.frame, notation=read.notation), ROWS_AT_ONCE, InOrder())
    with torch.inference_mode():
        predictions = [task.predict_step(task.transfer_batch_to_device(b, task.device, 0), 0) for b in batches]
    table = data.target.table(torch.cat(predictions).cpu())
    if both := [name for name in keep if name in table.columns]:
        raise InputError(f"keep names '{both[0]}', as a column of predictions is called: rename it in the file")
    return pl.concat([kept, table], how="horizontal") if keep else table


def _kept(frame: "LazyFrame", names: Sequence[str]) -> "DataFrame":
    from litmlp.data.inputs import collected

    present = frame.collect_schema().names()
    if absent := [name for name in names if name not in present]:
        raise InputError(f"keep names '{absent[0]}', but there is no such column: {did_you_mean(absent[0], present)}")
    return collected(frame, list(dict.fromkeys(names)))


def _job(config: "DictConfig") -> None:
    from omegaconf import OmegaConf

    given = {name: output.text(config, name) for name in ("checkpoint", "input", "output")}
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
