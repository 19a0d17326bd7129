"""Starts the commands. It sets up the handling of signals and errors before the imports, which take seconds."""

from importlib import import_module

from litmlp import process

MODULES = {
    **{name: f"{__package__}.commands.{name}" for name in ("train", "evaluate", "predict", "ensemble", "best")},
    "report": f"{__package__}.sweeps.report",
}


def train() -> None:
    """Run the command `litmlp-train`."""
    _run("train")


def evaluate() -> None:
    """Run the command `litmlp-evaluate`."""
    _run("evaluate")


def predict() -> None:
    """Run the command `litmlp-predict`."""
    _run("predict")


def ensemble() -> None:
    """Run the command `litmlp-ensemble`."""
    _run("ensemble")


def best() -> None:
    """Run the command `litmlp-best`."""
    _run("best")


def report() -> None:
    """Run the command `litmlp-report`."""
    _run("report")


def _run(name: str) -> None:
    process.begin()
    with process.guarded(f"litmlp-{name}"):
        main = import_module(MODULES[name]).main
    main()
