"""Datasets: rows, splits, encoding, batches."""

from litmlp.data.batch import Batch, Batches
from litmlp.data.function import FunctionData
from litmlp.data.planar import Bumps, Circle, Gauss, PlanarData, Plane, Spiral, Xor
from litmlp.data.spec import Spec
from litmlp.data.table import TableData
from litmlp.data.tabular import TabularData
from litmlp.data.targets import ClassTarget, NumericTarget, Target

__all__ = [
    "Batch",
    "Batches",
    "Bumps",
    "Circle",
    "ClassTarget",
    "FunctionData",
    "Gauss",
    "NumericTarget",
    "PlanarData",
    "Plane",
    "Spec",
    "Spiral",
    "TableData",
    "TabularData",
    "Target",
    "Xor",
]
