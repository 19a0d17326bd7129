"""From the columns of a table to arrays, several columns at a time, each read once."""

import logging
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import polars as pl
from polars.selectors import by_name
from tqdm import tqdm

from litmlp.data import panics
from litmlp.data.cells import dictionary_coded, is_text, shortened
from litmlp.data.columns import KINDS, Column, Encoded
from litmlp.data.notation import Notation
from litmlp.data.state import different, taken
from litmlp.errors import InputError

log = logging.getLogger(__name__)

MAX_AT_ONCE = 8  # columns in memory, raw; of a wide table, parts of its columns
READS = 100  # of a wide table at most, each of which takes as long as there are columns
ROWS_WITH_PROGRESS = 1_000_000
MAX_REASONS = 5  # of columns that are left out, in a sentence

Result = TypeVar("Result")
Treat = Callable[[pl.Series, pl.Series], Any]  # of the cells that count, and of others
Find = Callable[[pl.Series], tuple[Column | None, str]]  # see TabularData.column


class Inputs:
    """The input columns of a table."""

    def __init__(self) -> None:
        self.columns: list[Column] = []
        self.decisions: dict[str, str] = {}  # what was made of each raw column, for people

    def fit_and_encode(
        self,
        frame: pl.LazyFrame,
        names: list[str],
        find: Find,
        train: np.ndarray,
        notation: Notation,
        usable: np.ndarray | None = None,
    ) -> Encoded:
        """Find out what columns are, fit them on training rows, and encode all rows.

        Args:
            frame: all rows, raw.
            names: of the columns.
            find: tells what a column is.
            train: places of the training rows.
            notation: how cells are written.
            usable: which rows count, `[N] bool`; of the others, cells are taken for missing.

        Raises:
            InputError: a cell does not fit, or no column can be an input.
        """

        def treat(cells: pl.Series, others: pl.Series) -> _Treated:
            column, decision = find(cells)
            if column is None:
                return _Treated(None, Encoded([], []), f"left out: {decision}")
            parsed = column.parse(cells, notation)
            column.fit(parsed, train)
            column.tolerate(others, notation)
            if not column.numeric_names and not column.cardinalities:
                return _Treated(None, Encoded([], []), "left out: it does not vary")
            return _Treated(column, column.encode(parsed), "; ".join(filter(None, [column.describe(), decision])))

        treated = _for_each_column(treat, frame, names, usable)
        self.columns = [one.column for one in treated if one.column is not None]
        self.decisions = {name: one.decision for name, one in zip(names, treated, strict=True)}
        if not self.columns:
            some = list(self.decisions.items())[:MAX_REASONS]
            reasons = "; ".join(f"'{name}' is {decision}" for name, decision in some)
            raise InputError(f"no column beside the target can be an input ({reasons or 'there is none'}): give one")
        return _joined([one.encoded for one in treated])

    def encode(self, frame: pl.LazyFrame, notation: Notation, usable: np.ndarray | None = None) -> Encoded:
        """Encode all rows of a table with the same columns, in any order, and perhaps others."""
        names = frame.collect_schema().names()
        columns = {column.name: column for column in self.columns}
        if absent := [name for name in columns if name not in names]:
            raise InputError(
                f"the column '{absent[0]}' that the network was trained on is missing: add it, or rename the one of "
                f"{shortened(', '.join(names), 200)} that holds it"
            )

        def treat(cells: pl.Series, others: pl.Series) -> Encoded:
            column = columns[cells.name]
            parsed = column.parse(cells, notation)
            if remark := column.remark(parsed):
                remarks.append(f"column '{cells.name}': {remark}")
            return column.encode(parsed)

        remarks: list[str] = []
        encoded = _joined(_for_each_column(treat, frame, list(columns), usable))
        for remark in sorted(remarks)[:MAX_REASONS]:
            log.warning("%s", remark)
        return encoded

    @property
    def numeric_names(self) -> list[str]:
        """A name for each encoded number."""
        return _different([name for column in self.columns for name in column.numeric_names])

    @property
    def cardinalities(self) -> dict[str, int]:
        """A name and the number of codes for each encoded level."""
        pairs = [pair for column in self.columns for pair in column.cardinalities.items()]
        return dict(zip(_different([name for name, _ in pairs]), (size for _, size in pairs), strict=True))

    def state_dict(self) -> list[dict[str, Any]]:
        """Return tensors and plain values."""
        return [{"name": c.name, "kind": c.kind, "state": c.state_dict()} for c in self.columns]

    def load_state_dict(self, states: list[dict[str, Any]], make: Callable[[str, str], Column]) -> None:
        """Restore what `state_dict` returned; `make` returns a new column of a kind and a name."""
        parts = [taken(state, {"name": str, "kind": Literal[*KINDS], "state": dict}) for state in states]
        different([name for name, _, _ in parts])
        self.columns = [make(kind, name) for name, kind, _ in parts]
        for column, (_, _, state) in zip(self.columns, parts, strict=True):
            column.load_state_dict(state)


class _Treated(NamedTuple):
    column: Column | None
    encoded: Encoded
    decision: str


def collected(frame: pl.LazyFrame, names: list[str]) -> pl.DataFrame:
    """Read columns; raise InputError where the file turns out to be damaged."""
    try:
        with panics.as_errors():
            return frame.select(by_name(*names)).collect()  # a bare name may be a pattern, such as * or ^x$
    except pl.exceptions.PolarsError as error:
        raise InputError(f"cannot read column '{names[0]}': {shortened(str(error).splitlines()[0], 200)}") from error


def num_rows(frame: pl.LazyFrame) -> int:
    """Count rows without reading them."""
    with panics.as_errors():
        return frame.select(pl.len()).collect().item()


def _for_each_column(
    treat: Callable[[pl.Series, pl.Series], Result], frame: pl.LazyFrame, names: list[str], usable: np.ndarray | None
) -> list[Result]:
    is_large = num_rows(frame) >= ROWS_WITH_PROGRESS
    if is_large:
        log.info("encoding %d columns of %d rows", len(names), num_rows(frame))
    shows = is_large and sys.stderr.isatty()

    def read_and_treat(some: list[str]) -> list[Result]:
        table = collected(frame, some)
        others = table.clear()
        if usable is not None and not usable.all():
            others = table.filter(~usable)
            table = table.with_columns(pl.when(pl.Series(usable)).then(by_name(*some)).otherwise(None))
        return [_treated(treat, table[name], others[name]) for name in some]

    pool = ThreadPoolExecutor(min(MAX_AT_ONCE, os.cpu_count() or 1))
    kinds = frame.collect_schema()
    slow_first = sorted(names, key=lambda name: kinds[name].is_numeric())  # so that none is left for the end
    at_once = max(1, len(names) // READS)
    parts = [slow_first[start : start + at_once] for start in range(0, len(names), at_once)]
    try:
        results = tqdm(
            pool.map(read_and_treat, parts), "encoding", len(parts), unit="part", leave=False, disable=not shows
        )
        treated = dict(zip(slow_first, chain.from_iterable(results), strict=True))
        return [treated[name] for name in names]
    finally:  # do not go on with other columns after a mistake or a signal
        pool.shutdown(wait=True, cancel_futures=True)


def _treated(treat: Treat, cells: pl.Series, others: pl.Series) -> Any:
    try:
        return treat(dictionary_coded(cells) if is_text(cells) else cells, others)
    except pl.exceptions.PolarsError as error:  # of whatever Polars cannot do with a type
        raise InputError(
            f"column '{cells.name}' has cells of type {shortened(str(cells.dtype))}, which cannot be read as asked "
            f"({shortened(str(error).splitlines()[0])}): add it to data.ignore"
        ) from error


def _different(names: list[str]) -> list[str]:
    # The month of `when` and a column `when month` would have the same name.
    different: dict[str, None] = {}
    for name in names:
        choices = chain([name], (f"{name} ({number})" for number in count(2)))
        different[next(choice for choice in choices if choice not in different)] = None
    return list(different)


def _joined(encoded: list[Encoded]) -> Encoded:
    return Encoded([a for one in encoded for a in one.numeric], [a for one in encoded for a in one.codes])
