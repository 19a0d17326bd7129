"""The plane and the curve: data drawn by a rule, and plots of what a network makes of them.

A part of the template that a project can leave out.
"""

from litmlp.playground.function import FunctionData
from litmlp.playground.function_callback import FunctionPlots
from litmlp.playground.planar import Bumps, Circle, Gauss, PlanarData, Plane, Spiral, Xor
from litmlp.playground.planar_callback import PlanarPlots

__all__ = [
    "Bumps",
    "Circle",
    "FunctionData",
    "FunctionPlots",
    "Gauss",
    "PlanarData",
    "PlanarPlots",
    "Plane",
    "Spiral",
    "Xor",
]
