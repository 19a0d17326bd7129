"""Measure a checkpoint on a split of its data, or on another file."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from litmlp import cli, run
from litmlp.errors import InputError
from litmlp.files import write_json
from litmlp.paths import display, find

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from litmlp.data import TabularData
    from litmlp.tasks import Task


def evaluate(checkpoint: str, split: str = "test", path: str | None = None) -> dict[str, float]:
    """Return the metrics of a checkpoint.

    Args:
        checkpoint: a run's folder, or a `.ckpt` file.
        split: `train`, `val` or `test` rows of the data that the checkpoint was trained on.
        path: another file with the same columns; all of its rows are measured, and `split` only names them.
    """
    from litmlp import checkpoint as checkpoints
    from litmlp.data.splits import SPLITS

    if split not in SPLITS:
        raise InputError(f"split is '{split}': use {', '.join(SPLITS)}")
    file = checkpoints.resolve(checkpoint)
    task, data, _ = checkpoints.load(file)
    if path is None:
        _point_to_table(data, file)
        data.setup()
    else:
        data.tables[split] = data.encode_file(path, has_target=True)
    return measure(on_device(task), data, split)


def _point_to_table(data: "TabularData", file: Path) -> None:
    # A checkpoint says nothing of this machine; the config beside it does, where there is one.
    from litmlp.data import TableData

    config = file.parent.parent / run.CONFIG
    if isinstance(data, TableData) and config.is_file():
        data.path = OmegaConf.load(config).data.path


def measure(task: "Task", data: "TabularData", split: str) -> dict[str, float]:
    """Return loss and metrics of a task on the rows of a split, `split/name`, each row counted once."""
    import torch

    task.eval()
    with torch.inference_mode():
        for batch in data.in_order(split):
            task.step(task.transfer_batch_to_device(batch, task.device, 0), split)
        return {name: float(value) for name, value in task.measure(split).items()}


def on_device(task: "Task") -> "Task":
    """Move a task to the accelerator if there is one."""
    import torch

    return task.to(torch.accelerator.current_accelerator(check_available=True) or "cpu")


def _job(config: "DictConfig") -> None:
    cli.check_texts(config)
    if config.checkpoint is None:
        raise InputError("no checkpoint is given: add checkpoint=<run folder or .ckpt file>")
    output = _output(config)
    if not output.parent.is_dir():
        raise InputError(f"there is no folder '{output.parent}' to write metrics to: make it first")
    metrics = evaluate(config.checkpoint, config.split, config.data.path)
    width = max(map(len, metrics))
    print("\n".join(f"{name:{width}}  {value:10.4f}" for name, value in metrics.items()))
    write_json(output, metrics)
    print(display(output))


def _output(config: "DictConfig") -> Path:
    if config.output:
        return Path(config.output)
    given = find(config.checkpoint)
    name = config.split if config.data.path is None else Path(config.data.path).stem
    return (given if given.is_dir() else given.parent) / f"evaluate-{name}.json"


def main() -> None:
    """Run the command `litmlp-evaluate`."""
    cli.command("evaluate", _job)


if __name__ == "__main__":
    main()
