"""Train a network, test its best weights, and record the whole run in its folder."""

if __name__ == "__main__":  # first of all: a signal or an error during the imports below must end in one sentence, too
    from litmlp import entry_points

    entry_points.train()

import logging
import math
import os
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from litmlp import cli, folders, machine, run_folder
from litmlp.errors import InputError, Interrupted
from litmlp.files import read_yaml, write_json
from litmlp.paths import display

if TYPE_CHECKING:
    import lightning.pytorch as L

    from litmlp.data import TabularData
    from litmlp.resuming import State
    from litmlp.tasks import Task

log = logging.getLogger(__name__)

MAX_COLUMNS = 40  # that the log lists; columns.json lists them all
NOTABLE = 0.05  # difference of the temperature from 1, from which on the log tells it


def train(
    config: dict[str, Any],
    folder: Path,
    resume: bool = False,
    callbacks: Sequence["L.Callback"] = (),
    columns: Sequence[str] | None = None,
    frame: Any = None,
) -> dict[str, Any]:
    """Train as a resolved config describes, and write everything to `folder`.

    Args:
        config: plain values, as in a run's `config.yaml`.
        folder: the run's folder.
        resume: continue from the folder's `last.ckpt` if it exists, instead of starting a new run.
        callbacks: additional to those of the config.
        columns: the names of all hyperparameters of a sweep, if this run belongs to one, so that TensorBoard's table
            has the same columns for each run. A run of a sweep has no progress bar and no callback with
            `in_sweeps = False`.
        frame: a table to use instead of the file that the config names.

    Returns:
        The content of `metrics.json`: `val/...` and `test/...` of the best weights, `objective`, `epochs`, `steps`,
        `fit_seconds`, `parameters`.
    """
    with run_folder.recorded(folder, new=None if resume else config):
        from litmlp.auto_task import with_task  # this import takes seconds: by now the folder is claimed
        from litmlp.config_check import check, check_names, numbers_as_text
        from litmlp.data.frames import as_frame

        check_names(config)
        if frame is not None:
            frame = as_frame(frame)  # once, so that the task is chosen by the same rows that are learned
        original, config = config, with_task(numbers_as_text(config), frame)
        is_changed = config != original
        check(config, names_checked=not is_changed)
        if resume or is_changed:
            run_folder.write_config(folder, config)
        metrics = _fit_and_test(config, folder, resume, callbacks, columns, frame)
        write_json(folder / run_folder.METRICS, metrics)
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

    from litmlp import build, checkpoint, loggers, resuming
    from litmlp.callbacks.base import Callback
    from litmlp.config_check import try_out
    from litmlp.data import kept
    from litmlp.model import measure
    from litmlp.training import compat

    quiet_libraries()
    _seed_everything(config["seed"])
    data = build.data(config, frame)
    machine.keep_freed_memory(machine.KEPT)  # reading frees large blocks, which go back to the system at once
    kept.set_up(data, config["data"])
    decisions = {"written": data.formats_read, "assumed": data.assumptions, "columns": data.inputs.decisions}
    write_json(folder / run_folder.COLUMNS, decisions)
    task = build.task(config, data.spec)
    task.adapt(data.tables["train"])
    try_out(config, task, data)
    task.save_hyperparameters(checkpoint.description(config), logger=False)
    saved_state = resuming.State.of(folder) if resume else None
    if config["init_from"] and saved_state is None:  # a resumed run takes its weights from last.ckpt instead
        checkpoint.load_weights(task, checkpoint.resolve(config["init_from"]))
    machine.keep_freed_memory(machine.KEPT_BETWEEN_STEPS)  # steps reuse the memory that the step before has freed
    torch.set_num_threads(machine.threads(config["threads"], task.network, data.batch_size))
    torch.set_float32_matmul_precision(config["matmul_precision"])
    if config["compile"]:
        task.network.compile()
    data.on_device = None if config["data_on_device"] == "auto" else config["data_on_device"]
    compat.read_entry_points_once()
    extra_callbacks = callbacks if saved_state is None else [*callbacks, saved_state]
    trainer = build.trainer(config, str(folder), extra_callbacks, in_sweep=columns is not None)
    _log_start(config, task, data, trainer)

    _fit(trainer, task, data, saved_state)
    machine.keep_freed_memory(machine.KEPT)

    _load_best(trainer, task, folder)
    _log_temperature(task, data)
    task.to(trainer.strategy.root_device)
    scores = {**measure(task, data, "val"), **measure(task, data, "test")}
    metrics = {
        **scores,
        "objective": scores[config["monitor"]],
        **_training_effort(trainer, folder),
        "parameters": sum(p.numel() for p in task.network.parameters()),
    }
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Callback):
            callback.finish(trainer, task, data)
    loggers.log_outcome(trainer, config, metrics, columns or ())
    return metrics


def _seed_everything(seed: int) -> None:
    # As Lightning does, but where there is no GPU, torch.manual_seed only keeps a stack trace of each call.
    import numpy as np
    import torch
    from lightning.pytorch import seed_everything

    if torch.accelerator.is_available():
        seed_everything(seed, verbose=False)
        return
    os.environ |= {"PL_GLOBAL_SEED": str(seed), "PL_SEED_WORKERS": "0"}
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def _fit(trainer: "L.Trainer", task: "Task", data: "TabularData", saved_state: "State | None") -> None:
    last = None
    if saved_state is not None:
        from litmlp.resuming import InMemoryCheckpointIO

        # Lightning gets the state that has been read and checked already, and does not open the file itself.
        last, trainer.strategy.checkpoint_io = saved_state.file, InMemoryCheckpointIO(saved_state.state)
    try:
        trainer.fit(task, datamodule=data, ckpt_path=last, weights_only=True if last else None)
    except Interrupted:
        if trainer.strategy.launcher is not None:  # its processes would continue after this one has ended
            import signal

            trainer.strategy.launcher.kill(signal.SIGTERM)
        raise
    except Exception as error:
        input_error = _as_input_error(error)
        if input_error is None and saved_state is not None:
            input_error = saved_state.refusal(error, trainer)
        if input_error is None:
            raise
        raise input_error from error


def _as_input_error(error: Exception) -> InputError | None:
    """Return an InputError for a setting that Lightning or the compiler refuses; None for any other error."""
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from litmlp.training import compat

    # Lightning raises a ValueError if val_check_interval is larger than the number of training batches.
    is_about_batches = isinstance(error, ValueError) and "val_check_interval" in str(error)
    if isinstance(error, MisconfigurationException) or is_about_batches:
        return InputError(" ".join(str(error).split()))
    if compat.is_of_compiler(error):
        reason = str(error).splitlines()[0]
        return InputError(f"the network cannot be compiled here ({reason}): leave compile=true out")
    return None


def quiet_libraries() -> None:
    """Hide Lightning's advice and its warnings about its own code, but not warnings that a user can act on."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated")
    warnings.filterwarnings("ignore", ".*does not have many workers")
    warnings.filterwarnings("ignore", "Trying to infer the `batch_size`")  # what Lightning infers of a Batch is right
    warnings.filterwarnings("ignore", "GPU available but not used")  # the user asked for trainer=cpu


def _load_best(trainer: "L.Trainer", task: "Task", folder: Path) -> None:
    from litmlp import checkpoint

    if best := run_folder.best_checkpoint(folder):
        written = _written(trainer, "best")
        checkpoint.load_weights(task, best, None if written is None else written["state_dict"])


def _written(trainer: "L.Trainer", name: str) -> dict[str, Any] | None:
    # What a checkpoint holds, if this process has written it, so that it need not be read again.
    from litmlp.callbacks import BestAndLast

    found = [callback for callback in trainer.callbacks if isinstance(callback, BestAndLast)]  # type: ignore[attr-defined]
    return getattr(found[0], f"written_{name}") if len(found) == 1 else None


def _training_effort(trainer: "L.Trainer", folder: Path) -> dict[str, Any]:
    # From last.ckpt if it exists: with several processes, others have trained, so this one's trainer counts nothing.
    from lightning.pytorch.callbacks import Timer

    from litmlp import checkpoint

    last = run_folder.last_checkpoint(folder)
    if last is None:
        (timer,) = (callback for callback in trainer.callbacks if isinstance(callback, Timer))  # type: ignore[attr-defined]
        epochs, steps, seconds = trainer.current_epoch, trainer.global_step, timer.time_elapsed("train")
    else:
        state = _written(trainer, "last") or checkpoint.read(last)
        epochs, steps = state["epoch"], state["global_step"]
        seconds = state["callbacks"]["Timer"]["time_elapsed"]["train"]
    return {"epochs": epochs, "steps": steps, "fit_seconds": round(seconds, 3)}


def _log_start(config: dict[str, Any], task: "Task", data: "TabularData", trainer: "L.Trainer") -> None:
    from litmlp.tasks import Task

    rows = ", ".join(f"{len(batch.numeric)} {split}" for split, batch in data.tables.items())
    spec = data.spec
    log.info("%s rows", rows)
    # A semicolon in a decision precedes a remark: the log lists these columns first.
    decisions = sorted(data.inputs.decisions.items(), key=lambda pair: ";" not in pair[1])
    for name, decision in decisions[:MAX_COLUMNS]:
        log.info("  %s: %s", name, decision)
    if (num_more := len(decisions) - MAX_COLUMNS) > 0:
        log.info("  ... and %d more columns, see %s", num_more, run_folder.COLUMNS)
    log.info("%d numeric and %d categorical inputs", len(spec.numeric), len(spec.categorical))
    num_parameters = sum(p.numel() for p in task.network.parameters())
    log.info("%d parameters, on %s", num_parameters, trainer.strategy.root_device)
    if type(task).configure_optimizers is Task.configure_optimizers:
        log.info("regularised by %s", _regularisation(config))
    if type(task).test_step is not Task.test_step:
        name = type(task).__qualname__
        log.warning("test_step of %s is not called, since the test measures the metrics of build_metrics", name)


def _regularisation(config: dict[str, Any]) -> str:
    # Shown because optimizers differ in their default weight decay, which matters more than how they step.
    strengths = {
        "weight decay": config["optimizer"].get("weight_decay"),
        "dropout": config["network"].get("dropout"),
        "l1": config["task"].get("l1"),
    }
    parts = [f"{name} {value:g}" for name, value in strengths.items() if isinstance(value, int | float) and value > 0]
    return ", ".join(parts) or "nothing"


def _log_temperature(task: "Task", data: "TabularData") -> None:
    from litmlp.tasks import ClassificationTask

    temperature = float(task.temperature) if isinstance(task, ClassificationTask) else 1.0
    if abs(temperature - 1) > NOTABLE:
        extreme = "more extreme" if temperature > 1 else "less extreme"
        log.info(
            "as trained, probabilities are %s than they should be: class scores are divided by the temperature %.2f, "
            "which was fitted to %d validation rows",
            extreme,
            temperature,
            len(data.tables["val"].numeric),
        )


def _job(config: "DictConfig") -> float:
    """Train with the config that Hydra composed; return the objective, which a sweep improves."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    folder = Path(HydraConfig.get().runtime.output_dir)
    if config.resume and HydraConfig.get().mode is RunMode.MULTIRUN:
        raise InputError("resume continues one run: give one folder, without -m")
    metrics = begin(config, folder, HydraConfig.get().overrides.task)
    print(summary(metrics))
    print(display(folder))
    return metrics["objective"]


def begin(config: "DictConfig", folder: Path, overrides: Sequence[str], **more: Any) -> dict[str, Any]:
    """Start a run from a composed config, or resume the run that its `resume` names; return the metrics.

    Args:
        config: as Hydra composes it.
        folder: the run's folder.
        overrides: from the command line. A resumed run applies them to its stored config; only some keys may change.
        **more: see `train`.
    """
    if not config.resume:
        return train(_resolved(config, folder), folder, **more)
    run_folder.check_begun(folder)
    return _resume(cli.resumed(config, folder, overrides), folder, **more)


def _resolved(config: "DictConfig", folder: Path) -> dict[str, Any]:
    try:
        return cli.resolved(config)
    except (InputError, OmegaConfBaseException):
        folders.remove(folder)  # if Hydra has just made it for this run
        raise


def _resume(config: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    stored = read_yaml(folder / run_folder.CONFIG)
    if config == stored and (metrics := run_folder.metrics_of(folder)) is not None:
        log.info("this run is complete: raise trainer.max_epochs to train further")
        return metrics
    _check_epochs(config, folder)
    return train(config, folder, resume=True, **more)


def _check_epochs(config: dict[str, Any], folder: Path) -> None:
    from litmlp.resuming import State

    saved_state, max_epochs = State.of(folder), config["trainer"].get("max_epochs")
    if saved_state is not None and max_epochs is not None and -1 < max_epochs < (done := saved_state.state["epoch"]):
        raise InputError(f"trainer.max_epochs is {max_epochs}, but the run has done {done} epochs: give {done} or more")


def summary(metrics: dict[str, Any]) -> str:
    """Return the validation and test metrics of the best weights as a table of text."""
    names = [name.removeprefix("val/") for name in metrics if name.startswith("val/")]
    width = max(map(len, names))
    rows = [f"{name:{width}}  {cell(metrics[f'val/{name}'])}  {cell(metrics[f'test/{name}'])}" for name in names]
    effort = f"{metrics['epochs']} epochs, {metrics['steps']} steps, {metrics['fit_seconds']:.1f} s"
    return "\n".join(["", f"{'':{width}}  {'val':>10}  {'test':>10}", *rows, "", effort])


def cell(value: float | None) -> str:
    """Return a metric as text of ten characters."""
    return f"{math.nan if value is None else value:10.4f}"  # metrics.json has null for a number that is not finite


def sweep(*arguments: str) -> None:
    """Run a sweep in this process, as `litmlp-train -m` with these arguments does, but raise its errors."""
    cli.run("train", ["-m", *arguments], _job)


def main() -> None:
    """Run the command `litmlp-train`."""
    cli.command("train", _job, open_keys=True)
