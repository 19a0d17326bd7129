"""The callback that describes a run with texts in TensorBoard."""

import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from litmlp import paths, run_folder
from litmlp.callbacks.base import Callback
from litmlp.files import read_json
from litmlp.loggers import TensorBoard

PACKAGES = ("litmlp", "torch", "lightning", "torchmetrics", "numpy", "polars")


class Description(Callback):
    """Writes texts and a layout of charts to TensorBoard when training starts.

    The texts are the config; the command, with commit, versions and device; the sizes of the splits and the inferred
    type of each column. In the layout, under Custom Scalars, the training and validation values of a metric share a
    chart.
    """

    in_sweeps = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Write texts and layout, once a run: not if it resumes."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoard)]
        if not loggers or trainer.global_step > 0 or not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        texts = {"config": code((folder / run_folder.CONFIG).read_text(encoding="utf-8")), "run": origin(trainer)}
        texts["data"] = table(
            {name: len(rows.numeric) for name, rows in trainer.datamodule.tables.items()}, "split", "rows"
        )
        texts["data"] += "\n" + table(read_json(folder / run_folder.COLUMNS)["columns"], "column", "treatment")
        for logger in loggers:
            for tag, text in texts.items():
                logger.experiment.add_text(tag, text)
            logger.experiment.add_custom_scalars(layout(pl_module.metrics))


def layout(metrics: Any) -> dict[str, dict[str, list[Any]]]:
    """Return a chart for the loss and for each metric, with its training and validation values."""
    charts = {name: ["Multiline", [f"train/{name}$", f"val/{name}$"]] for name in ("loss", *metrics)}
    return {"train and validation": charts}


def origin(trainer: Any) -> str:
    """Return the command, commit, versions and device as a table in Markdown."""
    facts = {"command": f"`{shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}`", "commit": commit() or "unknown"}
    facts |= {"Python": platform.python_version(), "system": platform.platform()}
    facts |= {name: version(name) for name in PACKAGES}
    return table(facts | {"device": str(trainer.strategy.root_device)}, "", "")


def commit() -> str | None:
    """Return the project's commit and whether files were changed since then; None outside of a Git repository."""
    git = ["git", "-C", str(paths.ROOT)]
    try:
        name = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{name}, with changes that are not committed" if changes else name


def code(text: str) -> str:
    """Return text as a code block of Markdown, which shows it unchanged."""
    return "".join(f"    {line}\n" for line in text.splitlines())


def table(facts: dict[str, Any], *header: str) -> str:
    """Return names and values as a table in Markdown, with two texts of the header."""
    lines = [header, ("---", "---"), *facts.items()]
    return "".join(f"| {name} | {str(value).replace('|', '/')} |\n" for name, value in lines)
