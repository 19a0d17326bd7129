"""Splits of rows for training, validation and test.

Splits are disjoint, together contain all rows, and are the same for the same seed. Each function returns sorted row
indices for `train`, `val` and `test`.
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
Rows = dict[str, np.ndarray]  # row indices of each split


class SplitFractions(NamedTuple):
    """The fractions of the rows that go into each split.

    Attributes:
        val: fraction of all rows for validation.
        test: fraction of all rows for the test; ignored if there are folds.
        folds: number of folds for cross-validation, each of which is the test set once; None for a single split.
        fold: the fold that is the test set now.
        val_fold: which of the disjoint validation sets is used; all of them have the same test set.
    """

    val: float
    test: float
    folds: int | None = None
    fold: int = 0
    val_fold: int = 0

    @property
    def num_val_folds(self) -> int:
        """How many disjoint validation sets there are beside a test set."""
        known = 1 - (self.test if self.folds is None else 1 / self.folds)
        return int(known / self.val + 1e-9)  # 0.8 / 0.16 must give 5, whatever it is rounded to

    def check(self) -> None:
        """Raise ValueError for fractions that leave a split empty, or for a fold that does not exist."""
        self._check_sizes()
        if not 0 <= self.val_fold < self.num_val_folds:
            raise ValueError(
                f"val_fold={self.val_fold}, but with val_size={self.val} there are {self.num_val_folds} disjoint "
                f"validation sets: give a number from 0 to {self.num_val_folds - 1}"
            )

    def _check_sizes(self) -> None:
        if self.folds is None:
            if not (0 < self.val < 1 and 0 < self.test < 1 and self.val + self.test < 1):
                raise ValueError(
                    f"val_size={self.val} and test_size={self.test} must be fractions above 0 that leave rows to train"
                )
            return
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise ValueError(
                f"folds={self.folds} and fold={self.fold}: give 2 or more folds, and a fold from 0 to folds - 1"
            )
        if not 0 < self.val < 1 - 1 / self.folds:
            raise ValueError(
                f"val_size={self.val} must be a fraction above 0 that leaves rows to train beside the fold"
            )


def random_split(num_rows: int, fractions: SplitFractions, seed: int, strata: np.ndarray | None = None) -> Rows:
    """Assign rows to splits at random; with `strata`, labels `[N]`, each label has the same fractions."""
    order = np.random.default_rng(seed).permutation(num_rows)
    if strata is not None:
        order = _spread(order, strata)
    if fractions.folds is None:
        start, end = 0, round(fractions.test * num_rows)
    else:
        start, end = (round(num_rows * fold / fractions.folds) for fold in (fractions.fold, fractions.fold + 1))
    remaining = np.concatenate([order[end:], order[:start]])
    split_of_row = np.zeros(num_rows, dtype=np.int8)  # an index into SPLITS: 0 is train
    first_val, end_val = (
        round(num_rows * fractions.val * fold) for fold in (fractions.val_fold, fractions.val_fold + 1)
    )
    split_of_row[remaining[first_val:end_val]] = 1
    split_of_row[order[start:end]] = 2
    return _rows(split_of_row)


def group_split(groups: np.ndarray, fractions: SplitFractions, seed: int) -> Rows:
    """Assign each group of rows as a whole to one split.

    Groups are assigned in random order, each to the split that still lacks most rows.

    Args:
        groups: the label of each row's group, `[N]`.
        fractions: of the rows.
        seed: of the order of groups.
    """
    names, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    needed = 3 if fractions.folds is None else max(fractions.folds, 3)
    if len(names) < needed:
        raise InputError(
            f"data.group_column has {len(names)} different groups, but no group may be on two sides of the split: "
            f"give {needed} or more groups"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    if fractions.folds is None:
        split_of_group = _filled(sizes, order, [1 - fractions.val - fractions.test, fractions.val, fractions.test])
    else:
        is_test = _filled(sizes, order, [1 / fractions.folds] * fractions.folds) == fractions.fold
        remaining = order[~is_test[order]]
        split_of_group = np.full(len(names), SPLITS.index("test"))
        parts = [1 - fractions.val, fractions.val]
        split_of_group[remaining] = _filled(sizes[remaining], np.arange(len(remaining)), parts)
    if fractions.val_fold:
        split_of_group = _with_other_val(split_of_group, sizes, order, fractions)
    return _rows(split_of_group[group_of_row])


def _with_other_val(
    split_of_group: np.ndarray, sizes: np.ndarray, order: np.ndarray, fractions: SplitFractions
) -> np.ndarray:
    # The first validation set goes to the training rows; the others are disjoint parts of what were training rows.
    in_train = order[split_of_group[order] == SPLITS.index("train")]
    num_others = fractions.num_val_folds - 1
    if len(in_train) <= num_others:
        raise InputError(
            f"data.group_column has {len(in_train)} groups of training rows, too few for {num_others + 1} validation "
            "sets: leave data.val_fold out, or raise data.val_size"
        )
    in_val = sizes[split_of_group == SPLITS.index("val")].sum()  # the other validation sets get about as many rows
    rows = np.array([in_val] * num_others + [max(sizes[in_train].sum() - num_others * in_val, 0)])
    part = _filled(sizes[in_train], np.arange(len(in_train)), [*(rows / rows.sum())])
    split_of_group = np.where(split_of_group == SPLITS.index("val"), SPLITS.index("train"), split_of_group)
    split_of_group[in_train[part == fractions.val_fold - 1]] = SPLITS.index("val")
    return split_of_group


def time_split(times: np.ndarray, fractions: SplitFractions) -> Rows:
    """Train on the earliest rows, validate on later ones, test on the latest; rows of the same time stay together."""
    in_order = np.sort(times)
    ends = (1 - fractions.val - fractions.test, 1 - fractions.test)
    first_val, first_test = (in_order[min(round(end * len(times)), len(times) - 1)] for end in ends)
    return _rows((times >= first_val).astype(np.int8) + (times >= first_test))


def column_split(
    column: Levels, name: str, fractions: SplitFractions, seed: int, strata: np.ndarray | None = None
) -> Rows:
    """Use a column that names the split of each row.

    If no row is for `val`, the validation rows are drawn from the training rows. The same holds for `test` if its
    fraction is not 0. The words in WORDS are recognised in upper and lower case. 0, 1 and 2 stand for train, val and
    test if the column contains all three. In a column with two values whose name contains one split, such as
    `is_test`, 1 stands for this split.
    """
    split_of = _split_of(column.names, name)
    # A missing cell has the code -1, which takes the last element.
    split_of_row = np.array([*(SPLITS.index(split_of[word]) for word in column.names), -1])[column.codes]
    if (split_of_row < 0).any():
        raise _unknown_split(name, "nothing")
    rows = {split: np.flatnonzero(split_of_row == i) for i, split in enumerate(SPLITS)}
    if fractions.val_fold and len(rows["val"]):
        raise InputError(
            f"data.val_fold is {fractions.val_fold}, but {name} already says which rows are for validation: leave "
            "data.val_fold out"
        )
    for split, size, fold in (("test", fractions.test, 0), ("val", fractions.val, fractions.val_fold)):
        if len(rows[split]) == 0 and size:
            train = rows["train"]
            drawn_fractions = SplitFractions(size, 0.0, val_fold=fold)
            drawn = random_split(len(train), drawn_fractions, seed, None if strata is None else strata[train])
            rows["train"], rows[split] = train[drawn["train"]], train[drawn["val"]]
    return rows


def _split_of(words: list[str], name: str) -> dict[str, str]:
    """Return the split that each word of a column stands for."""
    known = {word: next((split for split, names in WORDS.items() if word.lower() in names), "") for word in words}
    if all(known.values()):
        return known
    if {*words} == {"0", "1", "2"}:
        return dict(zip(sorted(words), SPLITS, strict=True))
    if {word.lower() for word in words} in ({"0", "1"}, {"false", "true"}, {"no", "yes"}):
        named = [split for split in SPLITS if split in name.lower()]
        no, yes = sorted(words, key=str.lower)
        if len(named) == 1:
            other = "test" if named == ["train"] else "train"
            return {yes: named[0], no: other}
    raise _unknown_split(name, min(word for word in words if not known[word]))


def _unknown_split(name: str, word: str) -> InputError:
    return InputError(f"the split column '{name}' holds {word!r}: its cells must say train, val or test")


def sample_of(rows: np.ndarray, number: int, seed: int, strata: np.ndarray | None = None) -> np.ndarray:
    """Draw a random sample of the rows, which is the same for the same seed.

    A larger sample contains each smaller one, so that runs with different numbers of rows can be compared.

    Args:
        rows: row indices.
        number: how many rows to draw.
        seed: of the random order.
        strata: a label for each row of the table; each label keeps its fraction of the rows.
    """
    if number > len(rows):
        raise InputError(f"data.train_rows is {number}, but there are {len(rows)} training rows: give that or less")
    order = np.random.default_rng(seed).permutation(len(rows))
    if strata is not None:
        order = _spread(order, strata[rows])
    return np.sort(rows[order[:number]])


def check_sizes(rows: Rows) -> None:
    """Raise InputError unless each split has two rows, the smallest number for which metrics are defined."""
    for split, indices in rows.items():
        if len(indices) < 2:
            raise InputError(
                f"the {split} split has {len(indices)} of {sum(map(len, rows.values()))} rows, but needs 2 or "
                f"more: give more rows, or change how they are split"
            )


def _rows(split_of_row: np.ndarray) -> Rows:
    return {split: np.flatnonzero(split_of_row == i) for i, split in enumerate(SPLITS)}


def _spread(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    # Reorder the rows so that any slice holds each label in the same proportion: the j-th of the n rows of a label
    # gets the position (j + 1/2) / n, and rows are sorted by position.
    by_label = np.argsort(labels[order], kind="stable")
    counts = np.unique(labels, return_counts=True)[1]
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    position = np.empty(len(order))
    position[by_label] = (np.arange(len(order)) - starts + 0.5) / np.repeat(counts, counts)
    return order[np.argsort(position, kind="stable")]


def _filled(sizes: np.ndarray, order: np.ndarray, fractions: list[float]) -> np.ndarray:
    # Return the part that each group is assigned to. No part stays empty: as soon as only as many groups are left as
    # there are empty parts, each of these groups goes into an empty part.
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
