"""Run the lecture's experiments, check its claims, and write one page about them: python showcase/lecture.py.

The page, runs/lecture/report.html, is docs/lecture.md with new plots and with the measured numbers of each claim. A
name, such as `neuron`, runs only the experiments of that plot.
"""

import argparse
import base64
import html
import io
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn

from litmlp import checkpoint, process, run_folder
from litmlp.errors import did_you_mean
from litmlp.files import read_json, replacing, write_text
from litmlp.paths import ROOT, display, runs
from litmlp.playground.expression import evaluate
from litmlp.plots.style import COLOURS, GREY, blank, new_figure, to_image
from litmlp.tasks import BrierLoss

PAGE = ROOT / "docs" / "lecture.md"
BLOCK = re.compile(r"```bash\n(?P<commands>[^`]*)```\n\n!\[[^\]]*\]\(lecture/(?P<name>\w+)\.png\)\n")
EXPERIMENT = "experiment=lecture/"
COLUMNS = 3  # plots side by side


class Claim(NamedTuple):
    """A claim of the lecture, and what was measured.

    Attributes:
        says: the claim.
        measured: the numbers that confirm or refute it.
        holds: whether they confirm it.
    """

    says: str
    measured: str
    holds: bool


class Job:
    """A finished run.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = read_json(folder / run_folder.METRICS)

    @property
    def values(self) -> dict[str, str]:
        """The values of the job in its sweep, by key; empty if the run is not part of a sweep."""
        file = self.folder / "job.json"
        overrides = json.loads(file.read_text())["overrides"] if file.is_file() else []
        return dict(override.lstrip("+").split("=", 1) for override in overrides)

    @property
    def label(self) -> str:
        """The job's values as text; the name of its folder if it has none."""
        named = (f"{key.rpartition('.')[2].rpartition('/')[2]} {value}" for key, value in self.values.items())
        return ", ".join(named).replace("'", "") or self.folder.name

    def curve(self, tag: str) -> np.ndarray:
        """Return all values of a scalar, in order."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(self.folder), size_guidance={"scalars": 0})
        events.Reload()
        return np.array([event.value for event in events.Scalars(tag)])

    def plot(self, name: str) -> np.ndarray:
        """Return one of the run's plots, `[height, width, 3] uint8`."""
        return np.asarray(Image.open(self.folder / run_folder.PLOTS / f"{name}.png"))

    def loaded(self, weights: str = "best") -> tuple[Any, Any]:
        """Return the task, with the best or the last weights, and the data."""
        task, data, _ = checkpoint.load(self.folder / "checkpoints" / f"{weights}.ckpt")
        data.setup()
        return task, data


# The claims: each function has the name of its plot.


def neuron(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare the trained line with least squares on the training rows."""
    task, data = jobs[0].loaded("last")
    x, y = rows_of(data)["train"]
    slope, intercept = np.polyfit(x, y, 1)
    at_zero, at_one = curve_of(task, data, np.array([0.0, 1.0]))
    for name, learned, exact in (("slope", at_one - at_zero, slope), ("intercept", at_zero, intercept)):
        says = f"The neuron's {name} is that of the closed form, within 1 %"
        yield Claim(says, f"{learned:.4f}, closed form {exact:.4f}", abs(learned / exact - 1) < 0.01)


def no_activation(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Measure how far the curve of a deep network without activation functions is from a straight line."""
    task, data = jobs[0].loaded()
    x = np.linspace(data.low, data.high, 1001)
    y = curve_of(task, data, x)
    bend = np.abs(y - np.interp(x, x[[0, -1]], y[[0, -1]])).max() / np.ptp(y)
    says = f"{jobs[0].metrics['parameters']:,} parameters draw a straight line, except for rounding"
    yield Claim(says, f"largest distance to the line through its ends: {bend:.0e} of its height", bend < 1e-5)
    rows = rows_of(data)
    best_line = rmse(np.polyval(np.polyfit(*rows["train"], 1), rows["test"][0]), rows["test"][1])
    learned = jobs[0].metrics["test/rmse"]
    says = "It fits the curve as well as the line of least squares, within 5 %, and no better"
    yield Claim(says, f"test RMSE {learned:.4f}, the line's {best_line:.4f}", abs(learned / best_line - 1) < 0.05)


def activations(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare the errors with each activation function and without one."""
    errors = {job.values["network.activation"]: job.metrics["test/rmse"] for job in jobs}
    without = errors.pop("Identity")
    for name, error in errors.items():
        yield Claim(
            f"With {name} the error is smaller than without one", f"{error:.3f}, without {without:.3f}", error < without
        )
    best = min(errors, key=lambda name: errors[name])
    yield Claim(
        "The best has at most a fifth of the error without one",
        f"{best}: {errors[best] / without:.3f}",
        errors[best] < 0.2 * without,
    )


def xor(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare a line with a hidden layer."""
    line, hidden = (job.metrics["test/accuracy"] for job in jobs)
    yield Claim("A line gets no more than three of four squares right", f"accuracy {line:.1%}", line <= 0.75)
    yield Claim("Four hidden units get them right", f"accuracy {hidden:.1%}", hidden >= 0.97)


def playground(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Check whether each problem is solved."""
    for job in jobs:
        name = "test/accuracy" if "test/accuracy" in job.metrics else "test/r2"
        least = {"plane": 0.99, "bumps": 0.9}.get(job.folder.name, 0.95)
        metric = name.removeprefix("test/").replace("r2", "R²")
        says = f"{job.folder.name} is learned: {metric} of {least} or more on test points"
        yield Claim(says, f"{job.metrics[name]:.3f}", job.metrics[name] >= least)


def universal_approximation(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare the distance between network and function for each width."""
    errors = [error_of_curve(job) for job in jobs]
    shown = ", ".join(
        f"{job.values['network.hidden_sizes'][1:-1]}: {e:.2g}" for job, e in zip(jobs, errors, strict=True)
    )
    says = "The wider the hidden layer, the smaller the error"
    yield Claim(says, f"RMSE by width {shown}", all(a > b for a, b in pairwise(errors)))
    _, data = jobs[-1].loaded()
    height = float(np.std(evaluate(data.function, {"x": np.linspace(data.low, data.high, 1001)})))
    says = "The widest is within 5 % of the function's standard deviation"
    yield Claim(says, f"{errors[-1] / height:.1%}", errors[-1] < 0.05 * height)


def generalization(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare the losses on training and validation rows, and those without and with each remedy."""
    last = {tuple(map(float, job.values.values())): job.curve("val/loss")[-5:].mean() for job in jobs}
    plain = jobs[0].curve("val/loss")
    train = jobs[0].curve("train/loss")[-5:].mean()
    without = last.pop((0.0, 0.0))
    yield Claim(
        "A large network overfits few rows: its loss on them is less than half of its loss on other rows",
        f"last loss on training rows {train:.3f}, on validation rows {without:.3f}",
        train < 0.5 * without,
    )
    yield Claim(
        "Early stopping: the lowest validation loss is at least a fifth lower than the last one",
        f"{plain.min():.3f} after {plain.argmin() + 1} epochs, {without:.3f} after {len(plain)}",
        plain.min() < 0.8 * without,
    )
    for (dropout, decay), loss in last.items():
        remedies = [*(["dropout"] if dropout else []), *(["weight decay"] if decay else [])]
        says = f"With {' and '.join(remedies)} the last validation loss is at least a fifth lower"
        yield Claim(says, f"{loss:.3f}, without {without:.3f}", loss < 0.8 * without)


def sgd(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare training losses with those that the update rule gives for a parabola.

    With standardised rows, the loss is (w - w*)^2 + (b - b*)^2 above its minimum. So each step multiplies the distance
    to the minimum by 1 - 2 * learning rate.
    """
    _, data = jobs[0].loaded()
    rows = data.tables["train"]
    x, y = rows.numeric[:, 0].double().numpy(), rows.target[:, 0].double().numpy()
    lowest = float(np.mean((np.polyval(np.polyfit(x, y, 1), x) - y) ** 2))
    for job, word in zip(jobs, ("is too small", "is right", "diverges"), strict=True):
        rate = float(job.values["optimizer.lr"])
        losses = job.curve("train/loss")
        steps = len(losses) - 1
        expected = lowest + (1 - 2 * rate) ** (2 * steps) * (losses[0] - lowest)
        is_so = {
            "is too small": 1.5 * lowest < losses[-1] < losses[0],
            "is right": losses[-1] < 1.01 * lowest,
            "diverges": losses[-1] > 1000 * losses[0],
        }
        says = f"A learning rate of {rate:g} {word}: the loss after {steps} steps is as calculated, within 1 %"
        shown = f"{losses[-1]:.4g}, calculated {expected:.4g}; at first {losses[0]:.3g}, the lowest is {lowest:.4g}"
        yield Claim(says, shown, is_so[word] and abs(losses[-1] / expected - 1) < 0.01)


def batch_size(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Count steps, and compare how much the losses of single steps differ."""
    spread = {}
    for job in jobs:
        size = int(job.values["data.batch_size"])
        losses = job.curve("train/step_loss")
        spread[size] = losses[len(losses) // 2 :].std()
        yield steps_as_counted(job, size)
    expected = math.sqrt(64 / 4)
    says = (
        f"Losses of batches of 4 are spread sqrt(64 / 4) = {expected:g} times as wide as those of 64, within a quarter"
    )
    ratio = spread[4] / spread[64]
    yield Claim(says, f"{ratio:.2f} times", abs(ratio / expected - 1) < 0.25)
    first = [job.curve("val/loss")[0] for job in jobs]
    shown = ", ".join(f"{job.values['data.batch_size']}: {loss:.3f}" for job, loss in zip(jobs, first, strict=True))
    says = "After one epoch, the smaller the batches, the lower the loss"
    yield Claim(says, f"validation loss by batch size {shown}", sorted(first) == first)


def losses(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare the epochs that two losses need, and their gradients where the network is wrong and confident."""
    first = {}
    for job in jobs:
        accuracy = job.curve("val/accuracy")
        first[job.values["task/loss"]] = int(np.argmax(accuracy >= 0.9)) + 1 if accuracy.max() >= 0.9 else math.inf
    says = "The cross entropy reaches 90 % accuracy in fewer epochs than the squared error"
    shown = f"{first['cross_entropy']} and {first['brier']} epochs"
    yield Claim(says, shown, first["cross_entropy"] < first["brier"])
    slopes = []
    for loss in (nn.CrossEntropyLoss(), BrierLoss()):
        scores = torch.tensor([[10.0, 0.0]], requires_grad=True)
        loss(scores, torch.tensor([1])).backward()
        assert scores.grad is not None
        slopes.append(float(scores.grad.norm()))
    says = "Wrong and confident, the squared error has at most a thousandth of the cross entropy's gradient"
    yield Claim(says, f"{slopes[1]:.1e} and {slopes[0]:.2f}", slopes[1] < 1e-3 * slopes[0])


def outliers(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare the distance to the function without its outliers."""
    errors = {job.values["task/loss"]: error_of_curve(job) for job in jobs}
    for name in ("huber", "l1"):
        says = f"With task/loss={name}, the distance to the true curve is at most half as large"
        yield Claim(says, f"RMSE {errors[name]:.3f}, with mse {errors['mse']:.3f}", errors[name] < 0.5 * errors["mse"])


def backpropagation(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare the gradients with those of the chain rule, and those of the first layers with those of the last."""
    shrunk = {}
    for job in jobs:
        name = job.values["network.activation"]
        automatic, by_hand = gradients(job)
        difference = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(automatic, by_hand, strict=True))
        says = f"The chain rule written out gives the gradients that autograd finds ({name}, {len(by_hand)} layers)"
        yield Claim(says, f"largest difference {difference:.0e} of a layer's largest gradient", difference < 1e-4)
        shrunk[name] = float(by_hand[1].norm() / by_hand[-2].norm())
    says = "Through six layers of Sigmoid the gradient shrinks at least ten times as much as through six of ReLU"
    shown = f"to {shrunk['Sigmoid']:.1e}, with ReLU to {shrunk['ReLU']:.2f}"
    yield Claim(says, shown, shrunk["Sigmoid"] < 0.1 * shrunk["ReLU"])


def training_loop(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Count iterations, and compare the loss of an epoch with those of its iterations."""
    (job,) = jobs
    _, data = job.loaded()
    yield steps_as_counted(job, data.batch_size)
    of_steps, of_epochs = job.curve("train/step_loss"), job.curve("train/loss")
    means = of_steps.reshape(len(of_epochs), -1).mean(axis=1)
    difference = np.abs(means / of_epochs - 1).max()
    says = "An epoch's loss is the mean of its iterations' losses"
    yield Claim(says, f"largest difference {difference:.0e}", difference < 1e-5)
    yield Claim(
        "It takes several epochs",
        f"{of_epochs[0]:.3f} in the first, {of_epochs[-1]:.3f} in the last",
        bool(of_epochs[-1] < 0.5 * of_epochs[0]),
    )


def feature_extraction(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare features made by hand with learned ones."""
    of = {
        (job.values["data.inputs"].replace("'", ""), job.values["network.hidden_sizes"]): job.metrics["test/accuracy"]
        for job in jobs
    }
    raw, by_hand, learned = of["[x1,x2]", "[]"], of["[x1^2,x2^2]", "[]"], of["[x1,x2]", "[6]"]
    yield Claim("A neuron cannot part the classes by x1 and x2", f"accuracy {raw:.1%}", raw < 0.75)
    yield Claim("It can by their squares, which somebody has to think of", f"accuracy {by_hand:.1%}", by_hand >= 0.97)
    yield Claim("Six hidden units find features that do as well", f"accuracy {learned:.1%}", learned >= 0.97)


def more_data(jobs: Sequence[Job]) -> Iterator[Claim]:
    """Compare the test error for each number of training rows."""
    errors = [job.metrics["test/rmse"] for job in jobs]
    shown = ", ".join(
        f"{int(job.values['data.train_rows']):,}: {error:.3f}" for job, error in zip(jobs, errors, strict=True)
    )
    says = "The more rows to train on, the smaller the error on other rows"
    yield Claim(says, f"test RMSE by rows {shown}", all(a > b for a, b in pairwise(errors)))


CLAIMS: tuple[Callable[[Sequence[Job]], Iterator[Claim]], ...] = (
    *(neuron, no_activation, activations, xor, playground, universal_approximation, generalization, sgd, batch_size),
    *(losses, outliers, backpropagation, training_loop, feature_extraction, more_data),
)


def steps_as_counted(job: Job, batch_size: int) -> Claim:
    """Claim that the steps of a run are as many as its epochs have batches."""
    _, data = job.loaded()
    rows, epochs = len(data.tables["train"].numeric), job.metrics["epochs"]
    expected = epochs * math.ceil(rows / batch_size)
    says = f"{rows} rows in batches of {batch_size} make {math.ceil(rows / batch_size)} iterations an epoch"
    return Claim(says, f"{job.metrics['steps']} iterations in {epochs} epochs", job.metrics["steps"] == expected)


def rows_of(data: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return x and y of each split of a curve's rows."""
    rows = data.read().collect()
    _, indices = data.parted(data.read())
    return {split: (rows["x"].to_numpy()[index], rows["y"].to_numpy()[index]) for split, index in indices.items()}


@torch.no_grad()
def curve_of(task: Any, data: Any, x: np.ndarray) -> np.ndarray:
    """Return what a task predicts at each of `x`, `[N]`."""
    from polars import DataFrame

    return task.predict(task.forward(data.encode(DataFrame({"x": x}).lazy()))).double().numpy()[:, 0]


def error_of_curve(job: Job) -> float:
    """Return the RMSE between network and function, without noise and outliers."""
    task, data = job.loaded()
    x = np.linspace(data.low, data.high, 1001)
    return rmse(curve_of(task, data, x), evaluate(data.function, {"x": x}))


def rmse(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the root of the mean squared difference."""
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


def gradients(job: Job) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the gradients of each layer's weights, `[out, in]`: torch's, and those of the chain rule written out."""
    task, data = job.loaded()
    rows = data.tables["train"]
    task.mean_loss(task.forward(rows), rows.target, None).backward()
    linears = [layer for layer in task.network.layers if isinstance(layer, nn.Linear)]
    automatic = [layer.weight.grad for layer in linears if layer.weight.grad is not None]
    activation = getattr(torch, job.values["network.activation"].lower())
    slope = {"sigmoid": lambda h: h * (1 - h), "relu": lambda h: (h > 0).float()}[activation.__name__]
    with torch.no_grad():
        inputs = [rows.numeric]  # the inputs of each layer
        for layer in linears[:-1]:
            inputs.append(activation(inputs[-1] @ layer.weight.T + layer.bias))
        output = inputs[-1] @ linears[-1].weight.T + linears[-1].bias
        error = 2 * (output - rows.target) / len(output)  # the derivative of the mean squared error by the output
        by_hand = []
        for layer, given in zip(reversed(linears), reversed(inputs), strict=True):
            by_hand.append(error.T @ given)
            error = (error @ layer.weight) * slope(given)  # passed back through the layer, and the activation below it
    return automatic, by_hand[::-1]


# The plots, by the same names.


def tiled(jobs: Sequence[Job], name: str) -> np.ndarray:
    """Return one plot of each job, side by side, with the job's values above it."""
    plots = []
    for job in jobs:
        heading = blank(0.36)
        heading.text(0.02, 0.3, job.label, fontsize=12, weight="bold")
        plot = job.plot(name)
        plots.append(np.concatenate([to_image(heading), plot]))
    columns = 2 if len(plots) == 4 else COLUMNS
    height, width = (max(plot.shape[axis] for plot in plots) for axis in (0, 1))
    sheet = np.full((-(-len(plots) // columns) * height, min(columns, len(plots)) * width, 3), 255, np.uint8)
    for index, plot in enumerate(plots):
        y, x = index // columns * height, index % columns * width
        sheet[y : y + plot.shape[0], x : x + plot.shape[1]] = plot
    return sheet


def curves(jobs: Sequence[Job], tags: dict[str, str], ylabel: str, log: bool = False) -> np.ndarray:
    """Draw scalars of each job over epochs.

    Args:
        jobs: the jobs; each has a colour.
        tags: the tags of the scalars to draw, with matplotlib's styles of their lines.
        ylabel: the label of the y-axis.
        log: whether the y-axis is logarithmic.
    """
    figure, axes = new_figure("", "epoch", ylabel)
    for job, colour in zip(jobs, COLOURS, strict=False):
        for tag, style in tags.items():
            values = job.curve(tag)
            label = ", ".join(filter(None, [job.label, tag if len(tags) > 1 else ""]))
            x = np.arange(1, len(values) + 1)
            axes.plot(x, values, style, color=colour, linewidth=1.5, label=label, markersize=3)
    if log:
        axes.set_yscale("log")
    elif len(tags) > 1:
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.35 * (high - low))
    axes.legend(frameon=False, fontsize=8)
    return to_image(figure)


def loop_plot(jobs: Sequence[Job]) -> np.ndarray:
    """Draw the loss of each iteration, and the loss of each epoch as a horizontal line over its iterations."""
    of_steps, of_epochs = jobs[0].curve("train/step_loss"), jobs[0].curve("train/loss")
    per_epoch = len(of_steps) // len(of_epochs)
    figure, axes = new_figure("", "iteration", "training loss")
    for epoch in range(len(of_epochs) + 1):
        axes.axvline(epoch * per_epoch, color="#dddddd", linewidth=0.8)
    axes.plot(
        np.arange(len(of_steps)) + 0.5,
        of_steps,
        ".-",
        color=COLOURS[0],
        linewidth=0.8,
        markersize=4,
        label="an iteration",
    )
    axes.stairs(
        of_epochs,
        np.arange(len(of_epochs) + 1) * per_epoch,
        color=COLOURS[1],
        linewidth=2,
        baseline=None,
        label="an epoch",
    )
    axes.legend(frameon=False)
    return to_image(figure)


def gradients_plot(jobs: Sequence[Job]) -> np.ndarray:
    """Draw the size of the gradients of each layer."""
    figure, axes = new_figure("", "layer", "gradient, root of the mean square")
    for job, colour in zip(jobs, COLOURS, strict=False):
        sizes = [float(g.square().mean().sqrt()) for g in gradients(job)[1]]
        axes.plot(range(1, len(sizes) + 1), sizes, "o-", color=colour, label=job.values["network.activation"])
    axes.set_yscale("log")
    axes.legend(frameon=False)
    return to_image(figure)


def data_plot(jobs: Sequence[Job]) -> np.ndarray:
    """Draw the test error over the number of rows."""
    figure, axes = new_figure("", "rows to train on", "test RMSE, $100k")
    rows = [int(job.values["data.train_rows"]) for job in jobs]
    axes.plot(rows, [job.metrics["test/rmse"] for job in jobs], "o-", color=COLOURS[0])
    axes.set_xscale("log")
    return to_image(figure)


def both(*plots: np.ndarray) -> np.ndarray:
    """Return one image with the plots one below the other."""
    width = max(plot.shape[1] for plot in plots)
    padded = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in plots]
    return np.concatenate(padded)


def batch_plot(jobs: Sequence[Job]) -> np.ndarray:
    """Draw the loss of single steps over the epochs, which are fractions within an epoch."""
    figure, axes = new_figure("", "epoch", "loss of a step")
    for job, colour in zip(jobs, (GREY, COLOURS[0], COLOURS[1]), strict=True):
        values = job.curve("train/step_loss")
        epochs = np.arange(1, len(values) + 1) * job.metrics["epochs"] / len(values)
        axes.plot(epochs, values, color=colour, linewidth=1.2, alpha=0.9, label=job.label.replace("_", " "))
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8)
    return to_image(figure)


PLOTS: dict[str, Callable[[Sequence[Job]], np.ndarray]] = {
    "neuron": lambda jobs: tiled(jobs, "function-fit"),
    "no_activation": lambda jobs: tiled(jobs, "function-fit"),
    "activations": lambda jobs: tiled(jobs, "function-fit"),
    "xor": lambda jobs: tiled(jobs, "planar-regions"),
    "playground": lambda jobs: np.concatenate([tiled(jobs[:4], "planar-regions"), tiled(jobs[4:], "planar-surface")]),
    "universal_approximation": lambda jobs: tiled(jobs, "function-fit"),
    "generalization": lambda jobs: both(
        curves([jobs[0], jobs[-1]], {"train/loss": "--", "val/loss": "-"}, "loss"), tiled(jobs, "planar-regions")
    ),
    "sgd": lambda jobs: curves(jobs, {"train/loss": ".-"}, "training loss", log=True),
    "batch_size": batch_plot,
    "losses": lambda jobs: curves(jobs, {"val/accuracy": "-"}, "accuracy on validation rows"),
    "outliers": lambda jobs: tiled(jobs, "function-fit"),
    "backpropagation": gradients_plot,
    "training_loop": loop_plot,
    "feature_extraction": lambda jobs: tiled(jobs, "planar-regions"),
    "more_data": data_plot,
}


# Running the experiments, and writing the page.


def train(command: str, folder: Path) -> list[Job]:
    """Run a command of the page in a folder of its own; return its runs in order."""
    given = shlex.split(command)[1:]
    is_sweep = "-m" in given
    own = folder / next(word for word in given if word.startswith(EXPERIMENT)).removeprefix(EXPERIMENT)
    shutil.rmtree(own, ignore_errors=True)
    where = f"hydra.{'sweep' if is_sweep else 'run'}.dir={own}"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "litmlp.commands.train", *given, where], env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"lecture: {command} ended with {done.stderr.strip() or done.stdout.strip()}")
    if not is_sweep:
        return [Job(own)]
    return [Job(job) for job in sorted(own.glob("[0-9]*"), key=lambda path: int(path.name))]


def blocks(text: str) -> dict[str, list[str]]:
    """Return the commands of each plot of the page."""
    return {
        match["name"]: [line for line in match["commands"].replace("\\\n", "").splitlines() if line]
        for match in BLOCK.finditer(text)
    }


def report(text: str, plots: dict[str, np.ndarray], claims: dict[str, list[Claim]]) -> str:
    """Return the page as HTML, with these plots and claims."""
    from markdown import markdown

    def shown(match: re.Match) -> str:
        name = match["name"]
        commands = f"<pre>{html.escape(match['commands'].strip())}</pre>"
        if name not in plots:
            return commands
        stream = io.BytesIO()
        small(plots[name]).save(stream, format="png", optimize=True)
        image = f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}">'
        rows = "".join(
            f'<tr class="{"holds" if claim.holds else "fails"}"><td>{"✓" if claim.holds else "✗"}</td>'
            f"<td>{html.escape(claim.says)}</td><td>{html.escape(claim.measured)}</td></tr>"
            for claim in claims[name]
        )
        return f"{commands}\n{image}\n<table><tr><th></th><th>claim</th><th>measured</th></tr>{rows}</table>\n\n"

    text = BLOCK.sub(shown, text.replace("](../", "](../../"))  # the page is one folder deeper than docs/lecture.md
    body = markdown(text, extensions=["fenced_code", "tables"])
    head = f'<!doctype html><meta charset="utf-8"><title>The lecture</title><style>{STYLE}</style>'
    return f"{head}<p>{summary(claims)}.</p>{body}"


def summary(claims: dict[str, list[Claim]]) -> str:
    """Return how many claims hold."""
    every = [claim for of_plot in claims.values() for claim in of_plot]
    return f"{sum(claim.holds for claim in every)} of {len(every)} claims hold"


def small(image: np.ndarray) -> Image.Image:
    """Return a plot with 256 colours, which takes a third of the bytes."""
    return Image.fromarray(image).quantize(256, dither=Image.Dither.NONE)


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
img { max-width: 100%; display: block; margin: .5rem 0 }
pre { background: #f4f4f4; padding: .6rem .8rem; overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: 14px }
td, th { border-bottom: 1px solid #ddd; padding: .3rem .5rem; text-align: left; vertical-align: top }
.holds td:first-child { color: #009e73 } .fails { background: #fde7dd }
h2 { margin-top: 2.5rem }
"""


def main() -> None:
    """Run the command."""
    text = PAGE.read_text(encoding="utf-8")
    commands = blocks(text)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(commands)}; all by default")
    parser.add_argument("--docs", action="store_true", help="also write the plots to docs/lecture")
    given = parser.parse_args()
    names = given.names or list(commands)
    if unknown := [name for name in names if name not in commands]:
        parser.exit(2, f"lecture: there is no '{unknown[0]}': {did_you_mean(unknown[0], commands)}\n")
    folder = runs() / "lecture"
    claims, plots = {}, {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {name: [pool.submit(train, command, folder) for command in commands[name]] for name in names}
        for name in names:
            jobs = [job for future in running[name] for job in future.result()]
            claims[name] = list(next(c for c in CLAIMS if c.__name__ == name)(jobs))
            plots[name] = PLOTS[name](jobs)
            print(f"\n{name}", flush=True)
            for claim in claims[name]:
                print(f"  {'✓' if claim.holds else '✗'} {claim.says}: {claim.measured}", flush=True)
            if given.docs:
                with replacing(PAGE.parent / "lecture" / f"{name}.png") as temporary:
                    small(plots[name]).save(temporary, format="png", optimize=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.html", report(text, plots, claims))
    print(f"\n{summary(claims)}")
    print(display(folder / "report.html"))
    sys.exit(0 if all(claim.holds for of_plot in claims.values() for claim in of_plot) else 1)


if __name__ == "__main__":
    with process.guarded("lecture"):
        main()
