"""Rows for training, validation and test: disjoint, complete, and the same for the same seed."""

import numpy as np
import polars as pl

from litmlp.errors import InputError

SPLITS = ("train", "val", "test")
Rows = dict[str, np.ndarray]


def random_split(num_rows: int, val_size: float, test_size: float, seed: int, strata: pl.Series | None = None) -> Rows:
    """Draw shares `val_size` and `test_size` of the rows; with `strata`, of each label's rows.

    Returns:
        Sorted row indices for `train`, `val` and `test`.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(num_rows)
    if strata is not None:
        order = _spread(order, strata.to_numpy())
    shares = {"test": test_size, "val": val_size, "train": 1 - val_size - test_size}
    ends = np.round(np.cumsum(list(shares.values())) * num_rows).astype(int)
    pieces = np.split(order, ends[:-1])
    return {split: np.sort(rows) for split, rows in zip(shares, pieces, strict=True)}


def column_split(column: pl.Series, val_size: float, seed: int, strata: pl.Series | None = None) -> Rows:
    """Follow a column that says `train`, `val` or `test`; without `val`, draw it from the training rows."""
    if unknown := sorted(set(column.cast(pl.String).fill_null("(missing)").unique()) - set(SPLITS)):
        raise InputError(
            f"the split column '{column.name}' holds {unknown[0]!r}: its cells must say train, val or test"
        )
    rows = {split: (column == split).arg_true().to_numpy().astype(np.int64) for split in SPLITS}
    if len(rows["val"]) == 0:
        train = rows["train"]
        drawn = random_split(len(train), val_size, 0.0, seed, None if strata is None else strata[train])
        rows.update(train=train[drawn["train"]], val=train[drawn["val"]])
    return rows


def check_sizes(rows: Rows) -> None:
    """Raise InputError unless each split has the two rows that metrics need at least."""
    for split, index in rows.items():
        if len(index) < 2:
            raise InputError(
                f"the {split} split has {len(index)} of {sum(map(len, rows.values()))} rows, but needs 2 or "
                f"more: give more rows, or change data.val_size and data.test_size"
            )


def _spread(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    # Place the j-th of n rows of a label at (j + 1/2) / n: any stretch then holds each label's share.
    place = np.empty(len(order))
    for label in np.unique(labels):
        mine = np.flatnonzero(labels[order] == label)
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return order[np.argsort(place, kind="stable")]
