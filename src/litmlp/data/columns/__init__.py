"""The kinds of input columns. Each turns cells into the numbers and codes that a network sees."""

from litmlp.data.columns.base import Column, Encoded
from litmlp.data.columns.categorical import FIRST_LEVEL, CategoricalColumn
from litmlp.data.columns.date import DateColumn
from litmlp.data.columns.numeric import BooleanColumn, NumericColumn

KINDS = tuple(column.kind for column in (NumericColumn, BooleanColumn, CategoricalColumn, DateColumn))

__all__ = [
    "FIRST_LEVEL",
    "KINDS",
    "BooleanColumn",
    "CategoricalColumn",
    "Column",
    "DateColumn",
    "Encoded",
    "NumericColumn",
]
