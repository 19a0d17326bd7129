"""The style of plots: colours that the colour-blind can tell apart, plain axes, the size of TensorBoard's cards."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
# Okabe and Ito (2008), "Color Universal Design".
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442", "#000000")
WIDTH, HEIGHT = 4.8, 4.0  # inches
DPI = 100


def new_figure(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Return a figure with one plot and fixed margins: with a computed layout, drawing takes twice as long."""
    figure = blank()
    axes = figure.add_axes((0.17, 0.13, 0.8, 0.77))
    plain(axes)
    axes.locator_params(nbins=6)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    caption(figure, title)
    return figure, axes


def blank(height: float = HEIGHT) -> Figure:
    """Return an empty figure for axes at fixed positions, whatever layout the user's matplotlib settings ask for."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    figure.set_layout_engine("none")
    return figure


def plain(axes: Axes) -> None:
    """Hide the upper and right border of a plot, and draw a light grid behind it."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)


def caption(figure: Figure, title: str) -> None:
    """Write a title at the top left of a figure, in a smaller font if it is long."""
    figure.text(0.02, 0.985, title, fontsize=10 if len(title) <= 62 else 8, va="top")


def to_image(figure: Figure) -> np.ndarray:
    """Draw a figure and return its pixels, `[height, width, 3] uint8`."""
    canvas = FigureCanvasAgg(figure)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a column may be called "$ per m$", which is no formula
    with rc_context({"text.parse_math": False}):  # for texts that matplotlib creates only while it draws
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write(image: np.ndarray, path: Path) -> None:
    """Write an image, `[height, width, 3] uint8`, as a PNG file."""
    Image.fromarray(image).save(path, format="png", compress_level=1)


def clipped(text: str, length: int = 14) -> str:
    """Return text, shortened to `length` characters if it is longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
