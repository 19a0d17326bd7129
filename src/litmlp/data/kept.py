"""Keeps encoded rows in memory, for the next runs of this process that have the same data."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from litmlp.data.batch import Batch
from litmlp.data.tabular import TabularData
from litmlp.memo import Memo

MAX_BYTES = 2**22  # of the rows of a table that is kept
MAX_TABLES = 16

_ours = logging.getLogger(__package__.partition(".")[0])
_kept = Memo(MAX_TABLES)


class Kept(NamedTuple):
    """What setting up data has led to, and what was logged meanwhile."""

    facts: dict[str, Any]
    tables: dict[str, Batch]
    records: list[logging.LogRecord]


def set_up(data: TabularData, settings: dict[str, Any]) -> None:
    """Do `data.setup()`, or restore what it led to for the same settings and rows, and log the same.

    Nothing changes encoded rows: a step copies those that it takes.

    Args:
        data: not set up yet.
        settings: the node of the config that `data` was built from.
    """
    key = (type(data), type(data.target), repr(settings), _ours.isEnabledFor(logging.INFO), data.version_of_rows())
    kept: Kept | None = _kept.kept.get(key)
    if kept is not None:
        data.restore(kept.facts, dict(kept.tables))
        for record in kept.records:
            logging.getLogger(record.name).log(record.levelno, "%s", record.getMessage())
        return
    with _recorded() as records:
        data.setup()
    if key[-1] is not None and key[-1] == data.version_of_rows() and _size(data.tables) <= MAX_BYTES:
        _kept.of(key, lambda: Kept(data.facts(), dict(data.tables), records))


@contextmanager
def _recorded() -> Iterator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []
    thread = threading.get_ident()
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record) if record.thread == thread else None  # type: ignore[method-assign]
    _ours.addHandler(handler)
    try:
        yield records
    finally:
        _ours.removeHandler(handler)


def _size(tables: dict[str, Batch]) -> int:
    return sum(tensor.nbytes for table in tables.values() for tensor in table if tensor is not None)
