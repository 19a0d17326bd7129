"""The commands, as they are typed: they import the rest only once signals and errors end in a sentence."""

from importlib import import_module

from litmlp import process


def train() -> None:
    """Run the command `litmlp-train`."""
    _run("train")


def evaluate() -> None:
    """Run the command `litmlp-evaluate`."""
    _run("evaluate")


def predict() -> None:
    """Run the command `litmlp-predict`."""
    _run("predict")


def report() -> None:
    """Run the command `litmlp-report`."""
    _run("report", "sweeps.report")


def _run(name: str, module: str | None = None) -> None:
    process.begin()
    with process.guarded(f"litmlp-{name}"):
        main = import_module(f"litmlp.{module or name}").main
    main()
