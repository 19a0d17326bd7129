"""Train a network, test its best weights, and leave a folder that explains the run."""

if __name__ == "__main__":  # before the imports, in which signals and errors can come
    from litmlp import entry

    entry.train()

import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from litmlp import cli, folders, machine, run
from litmlp.errors import InputError, Interrupted
from litmlp.files import read_yaml, write_json
from litmlp.paths import display

if TYPE_CHECKING:
    import lightning.pytorch as L

    from litmlp.data import TabularData
    from litmlp.resuming import State
    from litmlp.tasks import Task

log = logging.getLogger(__name__)

MAX_COLUMNS = 40  # in the log


def train(
    config: dict[str, Any],
    folder: Path,
    resume: bool = False,
    callbacks: Sequence["L.Callback"] = (),
    columns: Sequence[str] | None = None,
    frame: Any = None,
) -> dict[str, Any]:
    """Do the run that a resolved config describes, in `folder`.

    Args:
        config: plain values, as in a run's `config.yaml`.
        folder: where all of the run is kept.
        resume: go on from the folder's `last.ckpt`, if there is one, instead of starting a new run.
        callbacks: more than those of the config.
        columns: of a run of a sweep, the names of all its runs' hyperparameters, so that TensorBoard's table has the
            same for each. Such a run has no progress bar, and none of the callbacks that say `in_sweeps = False`.
        frame: rows of a table, instead of those of a file.

    Returns:
        What `metrics.json` holds: `val/...` and `test/...` of the best weights, `objective`, `epochs`, `steps`,
        `fit_seconds`, `parameters`.
    """
    with run.recorded(folder, new=None if resume else config):
        from litmlp.auto_task import with_task  # takes seconds, so only now
        from litmlp.config import check, check_parts, worded

        check_parts(config)
        asked, config = config, with_task(worded(config), frame)
        check(config)
        if resume or config != asked:
            run.write_config(folder, config)
        metrics = _fit_and_test(config, folder, resume, callbacks, columns, frame)
        write_json(folder / run.METRICS, metrics)
    return metrics


def _fit_and_test(
    config: dict[str, Any],
    folder: Path,
    resume: bool,
    callbacks: Sequence["L.Callback"],
    columns: Sequence[str] | None,
    frame: Any,
) -> dict[str, Any]:
    import torch
    from lightning.pytorch import seed_everything

    from litmlp import build, checkpoint, loggers, resuming
    from litmlp.callbacks.base import Callback
    from litmlp.config import try_out
    from litmlp.model import measure

    _quiet_libraries()
    seed_everything(config["seed"], verbose=False)
    data = build.data(config, frame)
    machine.keep_freed_memory(machine.KEPT)
    data.setup()
    told = {"written": data.formats_read, "assumed": data.assumptions, "columns": data.inputs.decisions}
    write_json(folder / run.COLUMNS, told)
    task = build.task(config, data.spec)
    try_out(config, task, data)
    task.save_hyperparameters(checkpoint.description(config), logger=False)
    begun = resuming.State.of(folder) if resume else None
    if config["init_from"] and begun is None:
        checkpoint.load_weights(task, checkpoint.resolve(config["init_from"]))
    machine.keep_freed_memory(machine.KEPT_BETWEEN_STEPS)
    torch.set_num_threads(machine.threads(config["threads"], task.network, data.batch_size))
    torch.set_float32_matmul_precision(config["matmul_precision"])
    if config["compile"]:
        task.network.compile()
    data.on_device = None if config["data_on_device"] == "auto" else config["data_on_device"]
    more = callbacks if begun is None else [*callbacks, begun]
    trainer = build.trainer(config, str(folder), more, in_sweep=columns is not None)
    _log_start(config, task, data, trainer)

    _fit(trainer, task, data, begun)
    machine.keep_freed_memory(machine.KEPT)

    if best := run.best_checkpoint(folder):
        checkpoint.load_weights(task, best)
    task.to(trainer.strategy.root_device)
    scores = {**measure(task, data, "val"), **measure(task, data, "test")}
    metrics = {
        **scores,
        "objective": scores[config["monitor"]],
        **_effort(trainer, folder),
        "parameters": sum(p.numel() for p in task.network.parameters()),
    }
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Callback):
            callback.finish(trainer, task, data)
    loggers.log_outcome(trainer, config, metrics, columns or ())
    return metrics


def _fit(trainer: "L.Trainer", task: "Task", data: "TabularData", begun: "State | None") -> None:
    last = None
    if begun is not None:
        from litmlp.resuming import InMemoryCheckpointIO

        last, trainer.strategy.checkpoint_io = begun.file, InMemoryCheckpointIO(begun.state)
    try:
        trainer.fit(task, datamodule=data, ckpt_path=last, weights_only=True if last else None)
    except Interrupted:
        if trainer.strategy.launcher is not None:  # processes of our own would go on without us
            import signal

            trainer.strategy.launcher.kill(signal.SIGTERM)
        raise
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None and begun is not None:
            refusal = begun.refusal(error, trainer)
        if refusal is None:
            raise
        raise refusal from error


def _refusal(error: Exception) -> InputError | None:
    """Return what to say of what Lightning or the compiler refuses; None for another error."""
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    is_about_batches = isinstance(error, ValueError) and "val_check_interval" in str(error)  # more than there are
    if isinstance(error, MisconfigurationException) or is_about_batches:
        return InputError(" ".join(str(error).split()))
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = str(error).splitlines()[0]
        return InputError(f"the network cannot be compiled here ({reason}): leave compile=true out")
    return None


def _quiet_libraries() -> None:
    # Lightning's advice and its warnings about itself; what a user can act on stays.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated")
    warnings.filterwarnings("ignore", ".*does not have many workers")
    warnings.filterwarnings("ignore", "GPU available but not used")  # trainer=cpu says so


def _effort(trainer: "L.Trainer", folder: Path) -> dict[str, Any]:
    # From the checkpoint where there is one: with several processes, this one's trainer has not trained.
    from lightning.pytorch.callbacks import Timer

    from litmlp import checkpoint

    last = run.last_checkpoint(folder)
    if last is None:
        (timer,) = (callback for callback in trainer.callbacks if isinstance(callback, Timer))  # type: ignore[attr-defined]
        epochs, steps, seconds = trainer.current_epoch, trainer.global_step, timer.time_elapsed("train")
    else:
        state = checkpoint.read(last)
        epochs, steps = state["epoch"], state["global_step"]
        seconds = state["callbacks"]["Timer"]["time_elapsed"]["train"]
    return {"epochs": epochs, "steps": steps, "fit_seconds": round(seconds, 3)}


def _log_start(config: dict[str, Any], task: "Task", data: "TabularData", trainer: "L.Trainer") -> None:
    rows = ", ".join(f"{len(batch.numeric)} {split}" for split, batch in data.tables.items())
    spec = data.spec
    log.info("%s rows", rows)
    decisions = sorted(data.inputs.decisions.items(), key=lambda pair: ";" not in pair[1])  # those with a remark first
    for name, decision in decisions[:MAX_COLUMNS]:
        log.info("  %s: %s", name, decision)
    if (more := len(decisions) - MAX_COLUMNS) > 0:
        log.info("  ... and %d more columns, see %s", more, run.COLUMNS)
    log.info("%d numeric and %d categorical inputs", len(spec.numeric), len(spec.categorical))
    num_parameters = sum(p.numel() for p in task.network.parameters())
    log.info("%d parameters, on %s", num_parameters, trainer.strategy.root_device)
    log.info("regularised by %s", _regularisation(config))


def _regularisation(config: dict[str, Any]) -> str:
    # Another optimizer has another weight decay, which decides more than its steps do.
    found = {
        "weight decay": config["optimizer"].get("weight_decay"),
        "dropout": config["network"].get("dropout"),
        "l1": config["task"].get("l1"),
    }
    told = [f"{name} {value:g}" for name, value in found.items() if isinstance(value, int | float) and value > 0]
    return ", ".join(told) or "nothing"


def _job(config: "DictConfig") -> float:
    """Train what Hydra composed; the objective is what a sweep improves."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    folder = Path(HydraConfig.get().runtime.output_dir)
    if config.resume and HydraConfig.get().mode is RunMode.MULTIRUN:
        raise InputError("resume goes on with one run: give one folder, without -m")
    metrics = begin(config, folder, HydraConfig.get().overrides.task)
    print(summary(metrics))
    print(display(folder))
    return metrics["objective"]


def begin(config: "DictConfig", folder: Path, overrides: Sequence[str], **more: Any) -> dict[str, Any]:
    """Do the run that a composed config describes, or go on with the one that it names; return its metrics.

    Args:
        config: as Hydra composes it.
        folder: of the run.
        overrides: what was typed, of which a resumed run takes those that may change.
        **more: see `train`.
    """
    if not config.resume:
        return train(_resolved(config, folder), folder, **more)
    run.check_begun(folder)
    return _resume(cli.resumed(config, folder, overrides), folder, **more)


def _resolved(config: "DictConfig", folder: Path) -> dict[str, Any]:
    try:
        return cli.resolved(config)
    except (InputError, OmegaConfBaseException):
        folders.remove(folder)
        raise


def _resume(config: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    before = read_yaml(folder / run.CONFIG)
    if config == before and (metrics := run.metrics_of(folder)) is not None:
        log.info("this run is complete: raise trainer.max_epochs to train further")
        return metrics
    _check_epochs(config, folder)
    return train(config, folder, resume=True, **more)


def _check_epochs(config: dict[str, Any], folder: Path) -> None:
    from litmlp.resuming import State

    begun, wanted = State.of(folder), config["trainer"].get("max_epochs")
    if begun is not None and wanted is not None and -1 < wanted < (done := begun.state["epoch"]):
        raise InputError(f"trainer.max_epochs is {wanted}, but the run has done {done} epochs: give {done} or more")


def summary(metrics: dict[str, Any]) -> str:
    """Return validation and test metrics of the best weights as a table."""
    names = [name.removeprefix("val/") for name in metrics if name.startswith("val/")]
    width = max(map(len, names))
    rows = [f"{name:{width}}  {_cell(metrics[f'val/{name}'])}  {_cell(metrics[f'test/{name}'])}" for name in names]
    effort = f"{metrics['epochs']} epochs, {metrics['steps']} steps, {metrics['fit_seconds']:.1f} s"
    return "\n".join(["", f"{'':{width}}  {'val':>10}  {'test':>10}", *rows, "", effort])


def _cell(value: float | None) -> str:
    return f"{math.nan if value is None else value:10.4f}"  # as JSON, a number that is not finite is null


def main() -> None:
    """Run the command `litmlp-train`."""
    cli.command("train", _job, open_keys=True)
