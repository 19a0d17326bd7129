"""Turns the columns of a table into arrays. Several columns are encoded at a time, and each is read once."""

import logging
import os
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
from litmlp.data.state import checked_values
from litmlp.errors import InputError
from litmlp.process import stderr_is_terminal

log = logging.getLogger(__name__)

MAX_AT_ONCE = 8  # groups of raw columns in memory at the same time; a group is one column unless the table is wide
READS = (
    100  # a wide table is read in about as many groups of columns: each read takes longer the more columns there are
)
CELLS_WITH_THREADS = 50_000  # from this many cells on, columns are encoded in threads
ROWS_WITH_PROGRESS = 1_000_000  # from this many rows on, a progress bar is shown
MAX_REASONS = 5  # in one message, for columns that are left out

Result = TypeVar("Result")
Treat = Callable[[pl.Series, pl.Series], Any]  # takes a column's cells, and its cells in rows without a target
Find = Callable[[pl.Series], tuple[Column | None, str]]  # see TabularData.column


class Inputs:
    """The input columns of a table.

    A column of the table may be encoded in several ways, each by a `Column` of the same name, as for the networks of an
    ensemble that have been trained on different rows.
    """

    def __init__(self) -> None:
        self.columns: list[Column] = []
        self.decisions: dict[str, str] = {}  # the kind inferred for each raw column, or why it is left out, for people

    def fit_and_encode(
        self,
        frame: pl.LazyFrame,
        names: list[str],
        find: Find,
        train: np.ndarray,
        notation: Notation,
        usable: np.ndarray | None = None,
    ) -> Encoded:
        """Infer the kinds of columns, fit them on training rows, and encode all rows.

        Args:
            frame: all raw rows.
            names: of the columns.
            find: returns a column of the inferred kind, see `TabularData.column`.
            train: indices of the training rows.
            notation: the format of cells.
            usable: which rows have a target, `[N] bool`; the cells of the other rows are treated as missing.

        Raises:
            InputError: a cell does not fit, or no column can be an input.
        """

        def treat(cells: pl.Series, cells_without_target: pl.Series) -> _Treated:
            column, decision = find(cells)
            if column is None:
                return _Treated(None, Encoded([], []), f"left out: {decision}")
            parsed = column.parse(cells, notation)
            column.fit(parsed, train)
            column.tolerate(cells_without_target, notation)
            if not column.numeric_names and not column.cardinalities:
                return _Treated(None, Encoded([], []), "left out: it does not vary")
            return _Treated(column, column.encode(parsed), "; ".join(filter(None, [column.describe(), decision])))

        treated = _for_each_column(treat, frame, names, usable)
        self.columns = [one.column for one in treated if one.column is not None]
        self.decisions = {name: one.decision for name, one in zip(names, treated, strict=True)}
        if not self.columns:
            first = list(self.decisions.items())[:MAX_REASONS]
            reasons = "; ".join(f"'{name}' is {decision}" for name, decision in first)
            raise InputError(f"no column beside the target can be an input ({reasons or 'there is none'}): give one")
        return _joined([one.encoded for one in treated])

    def encode(self, frame: pl.LazyFrame, notation: Notation, usable: np.ndarray | None = None) -> Encoded:
        """Encode all rows of a table that has at least these columns, in any order."""
        names = frame.collect_schema().names()
        indices = self.indices_by_name()
        if absent := [name for name in indices if name not in names]:
            raise InputError(
                f"the column '{absent[0]}' that the network was trained on is missing: add it, or rename the one of "
                f"{shortened(', '.join(names), 200)} that holds it"
            )

        def treat(cells: pl.Series, cells_without_target: pl.Series) -> list[Encoded]:
            return [encoded_by(self.columns[index], cells) for index in indices[cells.name]]

        def encoded_by(column: Column, cells: pl.Series) -> Encoded:
            parsed = column.parse(cells, notation)
            if remark := column.remark(parsed):
                remarks.append(f"column '{cells.name}': {remark}")
            return column.encode(parsed)

        remarks: list[str] = []
        encoded = chain.from_iterable(_for_each_column(treat, frame, list(indices), usable))
        for remark in sorted(set(remarks))[:MAX_REASONS]:  # threads append in any order
            log.warning("%s", remark)
        by_index = dict(zip(chain.from_iterable(indices.values()), encoded, strict=True))
        return _joined([by_index[index] for index in range(len(self.columns))])

    def indices_by_name(self) -> dict[str, list[int]]:
        """Return, for the name of each column of the table, the indices of those that encode it."""
        indices: dict[str, list[int]] = {}
        for index, column in enumerate(self.columns):
            indices.setdefault(column.name, []).append(index)
        return indices

    def positions_by_name(self) -> dict[str, tuple[list[int], list[int]]]:
        """Return, for the name of each column of the table, the numeric arrays and the arrays of codes it becomes."""
        positions: dict[str, tuple[list[int], list[int]]] = {name: ([], []) for name in self.indices_by_name()}
        first_numeric = first_code = 0
        for column in self.columns:
            numeric, codes = positions[column.name]
            end_numeric, end_code = first_numeric + len(column.numeric_names), first_code + len(column.cardinalities)
            numeric += range(first_numeric, end_numeric)
            codes += range(first_code, end_code)
            first_numeric, first_code = end_numeric, end_code
        return positions

    @property
    def numeric_names(self) -> list[str]:
        """The names of the numeric arrays; they are distinct."""
        return _made_distinct([name for column in self.columns for name in column.numeric_names])

    @property
    def cardinalities(self) -> dict[str, int]:
        """The distinct names of the arrays of codes, each with its number of codes."""
        pairs = [pair for column in self.columns for pair in column.cardinalities.items()]
        return dict(zip(_made_distinct([name for name, _ in pairs]), (size for _, size in pairs), strict=True))

    def state_dict(self) -> list[dict[str, Any]]:
        """Return tensors and plain values."""
        return [{"name": c.name, "kind": c.kind, "state": c.state_dict()} for c in self.columns]

    def load_state_dict(self, states: list[dict[str, Any]], make: Callable[[str, str], Column]) -> None:
        """Restore what `state_dict` returned; `make` returns a new column, given its kind and its name."""
        checked = [checked_values(state, {"name": str, "kind": Literal[*KINDS], "state": dict}) for state in states]
        self.columns = [make(kind, name) for name, kind, _ in checked]
        for column, (_, _, state) in zip(self.columns, checked, strict=True):
            column.load_state_dict(state)


class _Treated(NamedTuple):
    column: Column | None
    encoded: Encoded
    decision: str


def collected(frame: pl.LazyFrame, names: list[str]) -> pl.DataFrame:
    """Read columns; raise InputError if the file turns out to be damaged."""
    try:
        with panics.as_errors():
            return frame.select(by_name(*names)).collect()  # Polars would take names such as * or ^x$ for patterns
    except pl.exceptions.PolarsError as error:
        raise InputError(f"cannot read column '{names[0]}': {shortened(str(error).splitlines()[0], 200)}") from error


def num_rows(frame: pl.LazyFrame) -> int:
    """Count rows without reading them."""
    with panics.as_errors():
        return frame.select(pl.len()).collect().item()


def _for_each_column(
    treat: Callable[[pl.Series, pl.Series], Result], frame: pl.LazyFrame, names: list[str], usable: np.ndarray | None
) -> list[Result]:
    count_of_rows = num_rows(frame)
    is_large, is_small = count_of_rows >= ROWS_WITH_PROGRESS, count_of_rows * len(names) < CELLS_WITH_THREADS
    if is_large:
        log.info("encoding %d columns of %d rows", len(names), count_of_rows)
    shows = is_large and stderr_is_terminal()

    def read_and_treat(group: list[str]) -> list[Result]:
        table = collected(frame, group)
        without_target = table.clear()
        if usable is not None and not usable.all():
            without_target = table.filter(~usable)
            table = table.with_columns(pl.when(pl.Series(usable)).then(by_name(*group)).otherwise(None))
        return [_treated(treat, table[name], without_target[name]) for name in group]

    pool = ThreadPoolExecutor(min(MAX_AT_ONCE, os.cpu_count() or 1))
    types = frame.collect_schema()
    # Columns that are not numeric take longest. They come first, so that none of them is the last one to be encoded.
    slow_first = sorted(names, key=lambda name: types[name].is_numeric())
    at_once = max(1, len(names) // READS)
    groups = [slow_first[start : start + at_once] for start in range(0, len(names), at_once)]
    try:
        results: Any = map(read_and_treat, groups) if is_small else pool.map(read_and_treat, groups)
        results = tqdm(results, "encoding", len(groups), unit="part", leave=False, disable=not shows)
        treated = dict(zip(slow_first, chain.from_iterable(results), strict=True))
        return [treated[name] for name in names]
    finally:  # after an error or a signal, the remaining columns are not encoded
        pool.shutdown(wait=True, cancel_futures=True)


def _treated(treat: Treat, cells: pl.Series, cells_without_target: pl.Series) -> Any:
    try:
        return treat(dictionary_coded(cells) if is_text(cells) else cells, cells_without_target)
    except pl.exceptions.PolarsError as error:  # Polars cannot do some operations with some types
        raise InputError(
            f"column '{cells.name}' has cells of type {shortened(str(cells.dtype))}, which cannot be read as asked "
            f"({shortened(str(error).splitlines()[0])}): add it to data.ignore"
        ) from error


def _made_distinct(names: list[str]) -> list[str]:
    # The month of a column `when` and a column `when month` would have the same name.
    chosen: dict[str, None] = {}
    for name in names:
        candidates = chain([name], (f"{name} ({number})" for number in count(2)))
        chosen[next(candidate for candidate in candidates if candidate not in chosen)] = None
    return list(chosen)


def _joined(encoded: list[Encoded]) -> Encoded:
    return Encoded([a for one in encoded for a in one.numeric], [a for one in encoded for a in one.codes])
