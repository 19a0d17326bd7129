"""The playground: generated data, which are points of a plane or of a curve, and plots of what a network learns.

A project that does not need this part of the template can remove it.
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
