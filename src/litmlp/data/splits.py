"""Rows for training, validation and test: disjoint, complete, and the same for the same seed.

Each function returns sorted places of rows for `train`, `val` and `test`.
"""

from typing import NamedTuple

import numpy as np

from litmlp.data.cells import Levels
from litmlp.errors import InputError

SPLITS = ("train", "val", "test")
WORDS = {
    "train": ("train", "training", "trn", "tr", "learn"),
    "val": ("val", "valid", "validation", "validate", "dev", "development", "tune"),
    "test": ("test", "testing", "tst", "te", "holdout", "hold-out", "eval", "evaluation"),
}
Rows = dict[str, np.ndarray]


class SplitFractions(NamedTuple):
    """How much of the rows goes where.

    Attributes:
        val: fraction of all rows for validation.
        test: fraction for the test; without meaning where there are folds.
        folds: number of parts, each of which is the test once; None for one split.
        fold: the part that is the test now.
    """

    val: float
    test: float
    folds: int | None = None
    fold: int = 0

    def check(self) -> None:
        """Raise ValueError for fractions that leave a split empty, or a fold that there is not."""
        if self.folds is None:
            if not (0 < self.val < 1 and 0 < self.test < 1 and self.val + self.test < 1):
                raise ValueError(
                    f"val_size={self.val} and test_size={self.test} must be fractions above 0 that leave rows to train"
                )
            return
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise ValueError(
                f"folds={self.folds} and fold={self.fold}: give 2 or more folds, and a fold from 0 up to one less"
            )
        if not 0 < self.val < 1 - 1 / self.folds:
            raise ValueError(
                f"val_size={self.val} must be a fraction above 0 that leaves rows to train beside the fold"
            )


def random_split(num_rows: int, fractions: SplitFractions, seed: int, strata: np.ndarray | None = None) -> Rows:
    """Draw the fractions of the rows; with `strata`, labels `[N]`, of each label's rows."""
    order = np.random.default_rng(seed).permutation(num_rows)
    if strata is not None:
        order = _spread(order, strata)
    if fractions.folds is None:
        start, end = 0, round(fractions.test * num_rows)
    else:
        start, end = (round(num_rows * fold / fractions.folds) for fold in (fractions.fold, fractions.fold + 1))
    others = np.concatenate([order[end:], order[:start]])
    split_of_row = np.zeros(num_rows, dtype=np.int8)  # train
    split_of_row[others[: round(num_rows * fractions.val)]] = 1
    split_of_row[order[start:end]] = 2
    return _rows(split_of_row)


def group_split(groups: np.ndarray, fractions: SplitFractions, seed: int) -> Rows:
    """Give each group, a label of `[N]`, to one split whole; groups go where most rows are still wanted."""
    names, of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    needed = 3 if fractions.folds is None else max(fractions.folds, 3)
    if len(names) < needed:
        raise InputError(
            f"data.group_column has {len(names)} different groups, but no group may be on two sides of the split: "
            f"give {needed} or more groups"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    if fractions.folds is None:
        split_of_group = _filled(sizes, order, [1 - fractions.val - fractions.test, fractions.val, fractions.test])
        return _rows(split_of_group[of_row])
    is_test = _filled(sizes, order, [1 / fractions.folds] * fractions.folds) == fractions.fold
    others = order[~is_test[order]]
    split_of_group = np.full(len(names), SPLITS.index("test"))
    split_of_group[others] = _filled(sizes[others], np.arange(len(others)), [1 - fractions.val, fractions.val])
    return _rows(split_of_group[of_row])


def time_split(moments: np.ndarray, fractions: SplitFractions) -> Rows:
    """Train on the earliest rows, validate on later ones, test on the latest; equal moments stay together."""
    in_order = np.sort(moments)
    ends = (1 - fractions.val - fractions.test, 1 - fractions.test)
    first_val, first_test = (in_order[min(round(end * len(moments)), len(moments) - 1)] for end in ends)
    return _rows((moments >= first_val).astype(np.int8) + (moments >= first_test))


def column_split(
    column: Levels, name: str, val_size: float, seed: int, strata: np.ndarray | None = None, test_size: float = 0.0
) -> Rows:
    """Follow a column that says which split a row is for; without `val`, draw it from the training rows.

    Without `test`, draw that as well if it has a size. The words in WORDS are understood in any case; 0, 1 and 2 stand
    for train, val and test where all three are there, and 1 for what a column such as `is_test` is called by.
    """
    split_of = _split_of(column.names, name)
    places = np.array([*(SPLITS.index(split_of[one]) for one in column.names), -1])[column.codes]
    if (places < 0).any():
        raise _odd_split(name, "nothing")
    rows = {split: np.flatnonzero(places == i) for i, split in enumerate(SPLITS)}
    for split, fraction in (("test", test_size), ("val", val_size)):
        if len(rows[split]) == 0 and fraction:
            train = rows["train"]
            drawn = random_split(
                len(train), SplitFractions(fraction, 0.0), seed, None if strata is None else strata[train]
            )
            rows["train"], rows[split] = train[drawn["train"]], train[drawn["val"]]
    return rows


def _split_of(words: list[str], name: str) -> dict[str, str]:
    """Return the split that each word of a column stands for."""
    understood = {
        word: next((split for split, others in WORDS.items() if word.lower() in others), "") for word in words
    }
    if all(understood.values()):
        return understood
    if {*words} == {"0", "1", "2"}:
        return dict(zip(sorted(words), SPLITS, strict=True))
    if {word.lower() for word in words} in ({"0", "1"}, {"false", "true"}, {"no", "yes"}):
        named = [split for split in SPLITS if split in name.lower()]
        no, yes = sorted(words, key=str.lower)
        if len(named) == 1:
            other = "test" if named == ["train"] else "train"
            return {yes: named[0], no: other}
    raise _odd_split(name, min(word for word in words if not understood[word]))


def _odd_split(name: str, word: str) -> InputError:
    return InputError(f"the split column '{name}' holds {word!r}: its cells must say train, val or test")


def some_of(rows: np.ndarray, number: int, seed: int, strata: np.ndarray | None = None) -> np.ndarray:
    """Draw some of the rows at random, always the same for the same seed.

    A larger number keeps all rows of a smaller one and adds others, so that runs with more rows can be compared.

    Args:
        rows: indices of rows.
        number: how many to draw.
        seed: of the drawing.
        strata: a label for each row of the table; each label keeps its fraction of the rows.
    """
    if number > len(rows):
        raise InputError(f"data.train_rows is {number}, but there are {len(rows)} training rows: give that or less")
    order = np.random.default_rng(seed).permutation(len(rows))
    if strata is not None:
        order = _spread(order, strata[rows])
    return np.sort(rows[order[:number]])


def check_sizes(rows: Rows) -> None:
    """Raise InputError unless each split has the two rows that metrics need at least."""
    for split, index in rows.items():
        if len(index) < 2:
            raise InputError(
                f"the {split} split has {len(index)} of {sum(map(len, rows.values()))} rows, but needs 2 or "
                f"more: give more rows, or change how they are split"
            )


def _rows(split_of_row: np.ndarray) -> Rows:
    return {split: np.flatnonzero(split_of_row == i) for i, split in enumerate(SPLITS)}


def _spread(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    # Place the j-th of n rows of a label at (j + 1/2) / n: any slice then holds each label in the same proportion.
    by_label = np.argsort(labels[order], kind="stable")
    counts = np.unique(labels, return_counts=True)[1]
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    place = np.empty(len(order))
    place[by_label] = (np.arange(len(order)) - starts + 0.5) / np.repeat(counts, counts)
    return order[np.argsort(place, kind="stable")]


def _filled(sizes: np.ndarray, order: np.ndarray, fractions: list[float]) -> np.ndarray:
    # The part of each group. No part stays empty: the last groups are kept for those that would.
    wanted = np.array(fractions) * sizes.sum()
    part = np.empty(len(sizes), dtype=np.int64)
    is_empty = np.ones(len(fractions), dtype=bool)
    for num_done, group in enumerate(order):
        must_fill = len(order) - num_done <= is_empty.sum()
        candidates = np.where(is_empty, wanted, -np.inf) if must_fill else wanted
        part[group] = chosen = int(np.argmax(candidates))
        wanted[chosen] -= sizes[group]
        is_empty[chosen] = False
    return part
