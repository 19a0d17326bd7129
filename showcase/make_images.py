"""Train models, and draw the README's plots from their runs: python showcase/make_images.py."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

import browse
from litmlp import checkpoint
from litmlp.checkpoint import Loaded
from litmlp.data import ClassTarget
from litmlp.data.columns import NumericColumn
from litmlp.data.scaling import StandardScaling
from litmlp.paths import ROOT
from litmlp.sweeps.report import compare, figures

BLUE, ORANGE = "#0877bd", "#f59322"


def main() -> None:
    """Train on a spiral and on California's houses, and draw both results side by side."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        spiral = trained(runs / "spiral", "data=spiral", "data.noise=0.1")
        california = trained(runs / "california", "data=california")
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
        draw_regions(left, *spiral)
        draw_predictions(right, *california)
        figure.savefig(ROOT / "docs/results.png", dpi=120)
        looked_at(runs)
    with tempfile.TemporaryDirectory() as folder:
        searched(Path(folder) / "sweep").savefig(ROOT / "docs/sweep.png", dpi=100)


def trained(folder: Path, *overrides: str) -> tuple[Loaded, dict[str, float]]:
    """Train; return the best checkpoint, with its data set up, and the run's metrics."""
    subprocess.run([sys.executable, "-m", "litmlp.commands.train", *overrides, f"hydra.run.dir={folder}"], check=True)
    loaded = checkpoint.load(folder / "checkpoints/best.ckpt")
    loaded.data.setup()
    return loaded, json.loads((folder / "metrics.json").read_text())


def looked_at(folder: Path) -> None:
    """Save screenshots of TensorBoard's pages about the runs in a folder."""
    with browse.tensorboard(folder) as address, browse.page(1280, 800) as page:
        browse.show(page, address, "images&tagFilter=planar|regression", "tf-image-loader img")
        page.wait_for_timeout(3000)
        page.screenshot(path=ROOT / "docs/tensorboard-images.png")
        browse.show(page, address, "custom_scalars", "tf-custom-scalar-multi-line-chart-card")
        page.wait_for_timeout(5000)
        page.screenshot(path=ROOT / "docs/tensorboard-scalars.png")


def searched(folder: Path) -> Figure:
    """Search for better settings for California's houses, and draw the score against each of them."""
    search = ["sweep=mlp", "data=california", "trainer.max_epochs=15", "hydra/sweeper/pruner=median"]
    subprocess.run(
        [sys.executable, "-m", "litmlp.commands.train", "-m", *search, f"hydra.sweep.dir={folder}"], check=True
    )
    return figures(compare([folder]))["hyperparameters"]


def draw_regions(axes: Axes, loaded: Loaded, metrics: dict[str, float]) -> None:
    """Draw the probability of a class over the plane, and the test points."""
    task, data, _ = loaded
    target = data.target
    assert isinstance(target, ClassTarget)
    x1, x2 = (column.scaling for column in data.inputs.columns if isinstance(column, NumericColumn))
    assert isinstance(x1, StandardScaling)
    assert isinstance(x2, StandardScaling)
    side = np.linspace(-6, 6, 301)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    scaled = torch.from_numpy(np.stack([x1.apply(grid[:, 0]), x2.apply(grid[:, 1])], axis=1))
    with torch.inference_mode():
        probability = task.predict(task.network(scaled, torch.zeros(len(grid), 0, dtype=torch.int64)))[:, 0]
    colours = LinearSegmentedColormap.from_list("", [ORANGE, "white", BLUE])
    axes.imshow(
        probability.reshape(301, 301), origin="lower", extent=(-6, 6, -6, 6), cmap=colours, vmin=0, vmax=1, alpha=0.6
    )
    test = data.tables["test"]
    assert test.target is not None
    points = test.numeric.numpy() * [x1.std, x2.std] + [x1.mean, x2.mean]
    for index, (name, colour) in enumerate(zip(target.classes, (BLUE, ORANGE), strict=True)):
        own = points[(test.target == index).numpy()]
        axes.scatter(own[:, 0], own[:, 1], s=14, color=colour, edgecolor="white", linewidth=0.5, label=name)
    axes.set(title=f"data=spiral: {metrics['test/accuracy']:.1%} of test points right", xlabel="x1", ylabel="x2")
    axes.legend(loc="upper right")


def draw_predictions(axes: Axes, loaded: Loaded, metrics: dict[str, float]) -> None:
    """Draw predicted against true values of the test rows."""
    task, data, _ = loaded
    test = data.tables["test"]
    assert test.target is not None
    with torch.inference_mode():
        predicted, true = task.predict(task(test)), task.predict(test.target)
    axes.scatter(true, predicted, s=4, alpha=0.25, color=BLUE, linewidth=0)
    axes.axline((0, 0), slope=1, color="black", linewidth=1)
    axes.set(
        title=f"data=california: test RMSE {metrics['test/rmse']:.3f}, R² {metrics['test/r2']:.3f}",
        xlabel="median house value of a district, $100k",
        ylabel="predicted, $100k",
        xlim=(0, 5.3),
        ylim=(0, 5.8),
    )


if __name__ == "__main__":
    main()
