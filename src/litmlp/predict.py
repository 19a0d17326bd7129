"""Predict raw rows of a file with a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

from litmlp import cli
from litmlp.errors import InputError
from litmlp.evaluate import on_device
from litmlp.files import replacing
from litmlp.paths import display

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from polars import DataFrame

ROWS_AT_ONCE = 8192


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
    cli.check_texts(config)
    for name in ("checkpoint", "input", "output"):
        if config[name] is None:
            raise InputError(f"no {name} is given: add {name}=...")
    from litmlp.data.reading import files_of

    output = Path(config.output)
    writers = {".csv": "write_csv", ".parquet": "write_parquet"}
    if output.suffix not in writers:
        raise InputError(f"cannot tell how to write '{output}': name it .csv or .parquet")
    if output.is_dir():
        raise InputError(f"output '{output}' is a folder: name a file in it")
    if not output.parent.is_dir():
        raise InputError(f"there is no folder '{output.parent}' to write predictions to: make it first")
    if output.exists() and any(output.samefile(file) for file in files_of(config.input)):
        raise InputError(f"output and input are the same file, '{output}': give predictions another name")
    table = predict(config.checkpoint, config.input)
    with replacing(output) as temporary:
        getattr(table, writers[output.suffix])(temporary)
    print(f"{len(table)} predictions in {display(output)}")


def main() -> None:
    """Run the command `litmlp-predict`."""
    cli.command("predict", _job)


if __name__ == "__main__":
    main()
