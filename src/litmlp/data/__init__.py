"""Datasets: they read rows, split them, encode them and cut them into batches."""

from litmlp.data.batch import Batch
from litmlp.data.batches import Batches
from litmlp.data.spec import Spec
from litmlp.data.table import TableData
from litmlp.data.tabular import TabularData
from litmlp.data.targets import ClassTarget, NumericTarget, Target

__all__ = [
    "Batch",
    "Batches",
    "ClassTarget",
    "NumericTarget",
    "Spec",
    "TableData",
    "TabularData",
    "Target",
]
