import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose

from litmlp.data.cells import Levels, as_levels
from litmlp.data.notation import UNKNOWN
from litmlp.data.splits import (
    SPLITS,
    Rows,
    SplitFractions,
    check_sizes,
    column_split,
    group_split,
    random_split,
    sample_of,
    time_split,
)
from litmlp.errors import InputError

SHARES = SplitFractions(val=0.16, test=0.2)
DRAWN = SplitFractions(val=0.2, test=0.0)
FRACTION_OF = {"train": 0.64, "val": 0.16, "test": 0.2}
TOLERANCE = {"train": 1, "val": 2, "test": 1}  # validation lies between two cuts, each less than a row off


def same(first: Rows, second: Rows) -> bool:
    return all(np.array_equal(first[split], second[split]) for split in SPLITS)


def labels(num_rows: int, shares: list[float], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(len(shares), num_rows, p=shares)


def levels(*cells: object) -> Levels:
    return as_levels(pl.Series("s", cells), UNKNOWN)


def in_groups(num_groups: int, largest: int, seed: int) -> np.ndarray:
    """A group for each row, in no order; groups have 1 to `largest` rows."""
    generator = np.random.default_rng(seed)
    return generator.permutation(np.repeat(np.arange(num_groups), generator.integers(1, largest + 1, num_groups)))


def check_partition(rows: Rows, num_rows: int) -> None:
    assert sorted(np.concatenate([rows[split] for split in SPLITS]).tolist()) == list(range(num_rows))


def check_groups(rows: Rows, groups: np.ndarray) -> None:
    """Each row is somewhere, no split is empty, and no group is on two sides."""
    check_partition(rows, len(groups))
    sides = [set(groups[rows[split]].tolist()) for split in SPLITS]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides))


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("num_rows", [10, 11, 97, 1000])
@pytest.mark.parametrize("is_stratified", [False, True])
def test_splits_are_disjoint_and_complete(num_rows: int, seed: int, is_stratified: bool) -> None:
    strata = labels(num_rows, [0.7, 0.2, 0.1], seed) if is_stratified else None
    check_partition(random_split(num_rows, SHARES, seed, strata), num_rows)


@pytest.mark.parametrize("num_rows", [10, 11, 97, 1000])
def test_splits_have_their_shares(num_rows: int) -> None:
    for split, rows in random_split(num_rows, SHARES, seed=0).items():
        assert abs(len(rows) - FRACTION_OF[split] * num_rows) <= 1


def test_rows_are_sorted() -> None:
    for rows in random_split(100, SHARES, seed=0).values():
        assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("strata", [None, labels(100, [0.5, 0.5], 0)], ids=["plain", "stratified"])
def test_same_seed_gives_same_split(strata: np.ndarray | None) -> None:
    assert same(random_split(100, SHARES, 3, strata), random_split(100, SHARES, 3, strata))


@pytest.mark.parametrize("strata", [None, labels(100, [0.5, 0.5], 0)], ids=["plain", "stratified"])
def test_another_seed_gives_another_split(strata: np.ndarray | None) -> None:
    assert not same(random_split(100, SHARES, 3, strata), random_split(100, SHARES, 4, strata))


@pytest.mark.parametrize("seed", range(5))
def test_each_row_is_as_likely_to_be_drawn(seed: int) -> None:
    drawn = np.zeros(50)
    for i in range(400):
        drawn[random_split(50, SHARES, 1000 * seed + i)["test"]] += 1
    assert np.abs(drawn / 400 - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 400)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.9, 0.1], [0.3, 0.3, 0.4]])
def test_classes_keep_their_shares_in_each_split(shares: list[float], seed: int) -> None:
    strata = labels(200, shares, seed)
    rows = random_split(200, SHARES, seed, strata)
    for label in np.unique(strata):
        total = (strata == label).sum()
        for split, share in FRACTION_OF.items():
            assert abs((strata[rows[split]] == label).sum() - share * total) < TOLERANCE[split]


def test_classes_of_whole_shares_are_split_exactly() -> None:
    strata = np.repeat([0, 1, 2], [100, 50, 50])
    rows = random_split(200, SplitFractions(0.2, 0.2), 0, strata)
    counts = {split: np.bincount(strata[rows[split]]).tolist() for split in SPLITS}
    assert counts == {"train": [60, 30, 30], "val": [20, 10, 10], "test": [20, 10, 10]}


@pytest.mark.parametrize("folds", [2, 3, 5])
@pytest.mark.parametrize("num_rows", [30, 97])
@pytest.mark.parametrize("is_stratified", [False, True])
def test_each_row_is_tested_in_exactly_one_fold(num_rows: int, folds: int, is_stratified: bool) -> None:
    strata = labels(num_rows, [0.7, 0.3], 0) if is_stratified else None
    parts = [random_split(num_rows, SplitFractions(0.16, 0.2, folds, fold), 0, strata) for fold in range(folds)]
    assert sorted(np.concatenate([part["test"] for part in parts]).tolist()) == list(range(num_rows))
    for part in parts:
        assert abs(len(part["test"]) - num_rows / folds) <= 1


@pytest.mark.parametrize("fold", range(5))
@pytest.mark.parametrize("is_stratified", [False, True])
def test_within_a_fold_no_row_is_on_two_sides(fold: int, is_stratified: bool) -> None:
    strata = labels(97, [0.7, 0.3], 0) if is_stratified else None
    rows = random_split(97, SplitFractions(0.16, 0.2, 5, fold), 0, strata)
    check_partition(rows, 97)
    assert len(rows["val"]) == round(0.16 * 97)


def test_each_fold_validates_on_other_rows() -> None:
    validated = [random_split(100, SplitFractions(0.16, 0.2, 5, fold), 0)["val"] for fold in range(5)]
    assert len(np.unique(np.concatenate(validated))) == 5 * 16


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fold", range(5))
def test_classes_keep_their_shares_in_each_fold(fold: int, seed: int) -> None:
    strata = labels(200, [0.6, 0.3, 0.1], seed)
    rows = random_split(200, SplitFractions(0.16, 0.2, 5, fold), seed, strata)
    for label in np.unique(strata):
        total = (strata == label).sum()
        assert abs((strata[rows["test"]] == label).sum() - total / 5) < 2
        assert abs((strata[rows["val"]] == label).sum() - 0.16 * total) < 2


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (SplitFractions(0.0, 0.2), "val_size=0.0 and test_size=0.2 must be fractions above 0"),
        (SplitFractions(0.2, 0.0), "val_size=0.2 and test_size=0.0 must be"),
        (SplitFractions(0.5, 0.5), "val_size=0.5 and test_size=0.5 must be"),
        (SplitFractions(-0.1, 0.2), "val_size=-0.1 and test_size=0.2 must be"),
        (SplitFractions(0.2, 1.0), "val_size=0.2 and test_size=1.0 must be"),
        (SplitFractions(0.16, 0.2, val_fold=5), "val_fold=5, .* are 5 disjoint .*: give a number from 0 to 4"),
        (SplitFractions(0.16, 0.2, val_fold=-1), "val_fold=-1, .*: give a number from 0 to 4"),
        (SplitFractions(0.2, 0.2, 1), "folds=1 and fold=0: give 2 or more folds"),
        (SplitFractions(0.2, 0.2, 3, 3), "folds=3 and fold=3: .* a fold from 0 to folds - 1"),
        (SplitFractions(0.2, 0.2, 3, -1), "folds=3 and fold=-1: .* a fold from 0 to folds - 1"),
        (
            SplitFractions(0.5, 0.2, 2),
            "val_size=0.5 must be a fraction above 0 that leaves rows to train beside the fold",
        ),
        (SplitFractions(0.0, 0.2, 2), "val_size=0.0 must be a fraction above 0"),
    ],
)
def test_shares_that_leave_a_split_empty_are_refused(shares: SplitFractions, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shares.check()


@pytest.mark.parametrize(
    "shares", [SHARES, SplitFractions(0.5, 0.49), SplitFractions(0.16, 0.9, 2, 1), SplitFractions(0.49, 0.2, 2)]
)
def test_shares_that_leave_rows_everywhere_are_taken(shares: SplitFractions) -> None:
    shares.check()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shares", [SHARES, SplitFractions(0.16, 0.2, 4, 2)], ids=["once", "fold"])
def test_no_group_is_on_two_sides(shares: SplitFractions, seed: int) -> None:
    groups = in_groups(30, 9, seed)
    check_groups(group_split(groups, shares, seed), groups)


@pytest.mark.parametrize("seed", range(5))
def test_splits_by_group_have_about_their_shares(seed: int) -> None:
    groups = in_groups(200, 9, seed)
    rows = group_split(groups, SHARES, seed)
    for split, share in FRACTION_OF.items():
        assert abs(len(rows[split]) - share * len(groups)) <= 9  # a group's size


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("sizes", [[5, 5, 5], [100, 1, 1], [1, 2, 100]])
@pytest.mark.parametrize("shares", [SHARES, SplitFractions(0.16, 0.2, 3, 1)], ids=["once", "fold"])
def test_three_groups_fill_three_splits(shares: SplitFractions, sizes: list[int], seed: int) -> None:
    groups = np.repeat([7, 8, 9], sizes)
    check_groups(group_split(groups, shares, seed), groups)


@pytest.mark.parametrize("kind", ["random", "strata", "groups", "column"])
@pytest.mark.parametrize(("val", "test", "folds"), [(0.16, 0.2, None), (0.1, 0.25, None), (0.3, 0.2, 3)])
@pytest.mark.parametrize("seed", [0, 7])
def test_validation_sets_are_disjoint_beside_the_same_test_set(
    kind: str, val: float, test: float, folds: int | None, seed: int
) -> None:
    num_rows = 600
    groups = in_groups(90, 12, seed)[:num_rows]

    def split(val_fold: int) -> Rows:
        fractions = SplitFractions(val, 0.0 if kind == "column" else test, folds, 1 if folds else 0, val_fold)
        if kind == "groups":
            return group_split(groups, fractions, seed)
        if kind == "column":
            column = levels(*np.where(np.arange(num_rows) < 100, "test", "train"))
            return column_split(column, "s", fractions._replace(folds=None), seed)
        return random_split(num_rows, fractions, seed, labels(num_rows, [0.7, 0.3], seed) if kind == "strata" else None)

    parts = [split(val_fold) for val_fold in range(SplitFractions(val, test, folds).num_val_folds)]
    assert len(parts) > 1
    assert all(np.array_equal(part["test"], parts[0]["test"]) for part in parts)
    validated = np.concatenate([part["val"] for part in parts])
    assert len(np.unique(validated)) == len(validated)
    assert abs(len(validated) / len(parts) - len(parts[0]["val"])) < 30
    for part in parts:
        check_partition(part, len(groups) if kind == "groups" else num_rows)
        if kind == "groups":
            check_groups(part, groups)


def test_the_usual_fractions_give_five_validation_sets_that_hold_all_rows_but_the_test() -> None:
    parts = [random_split(1000, SplitFractions(0.16, 0.2, val_fold=val_fold), 3) for val_fold in range(5)]
    validated = np.sort(np.concatenate([part["val"] for part in parts]))
    assert np.array_equal(validated, np.setdiff1d(np.arange(1000), parts[0]["test"]))
    assert same(parts[0], random_split(1000, SplitFractions(0.16, 0.2), 3))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("num_groups", "folds"), [(5, 5), (23, 4)])
def test_each_group_is_tested_in_exactly_one_fold(num_groups: int, folds: int, seed: int) -> None:
    groups = in_groups(num_groups, 9, seed)
    parts = [group_split(groups, SplitFractions(0.16, 0.2, folds, fold), seed)["test"] for fold in range(folds)]
    tested = [group for part in parts for group in set(groups[part].tolist())]
    assert sorted(tested) == list(range(num_groups))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))


def test_folds_of_groups_have_about_the_same_size() -> None:
    groups = in_groups(200, 9, 0)
    parts = [group_split(groups, SplitFractions(0.16, 0.2, 5, fold), 0) for fold in range(5)]
    sizes = [len(part["test"]) for part in parts]
    assert max(sizes) - min(sizes) <= 9
    assert all(len(part["val"]) < len(part["test"]) < len(part["train"]) for part in parts)


def test_groups_follow_the_seed() -> None:
    groups = in_groups(50, 9, 0)
    assert same(group_split(groups, SHARES, 0), group_split(groups, SHARES, 0))
    assert not same(group_split(groups, SHARES, 0), group_split(groups, SHARES, 1))


@pytest.mark.parametrize(
    ("num_groups", "shares", "needed"), [(1, SHARES, 3), (2, SHARES, 3), (4, SplitFractions(0.16, 0.2, 5), 5)]
)
def test_too_few_groups_are_refused(num_groups: int, shares: SplitFractions, needed: int) -> None:
    message = f"data.group_column has {num_groups} different groups, .* give {needed} or more groups"
    with pytest.raises(InputError, match=message):
        group_split(np.arange(60) % num_groups, shares, 0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_rows", [10, 97])
def test_later_rows_validate_and_the_latest_test(num_rows: int, seed: int) -> None:
    moments = np.random.default_rng(seed).permutation(num_rows) * 1.5 - 20
    rows = time_split(moments, SHARES)
    check_partition(rows, num_rows)
    assert moments[rows["train"]].max() < moments[rows["val"]].min()
    assert moments[rows["val"]].max() < moments[rows["test"]].min()
    for split, share in FRACTION_OF.items():
        assert abs(len(rows[split]) - share * num_rows) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_the_same_moment_stay_together(seed: int) -> None:
    moments = np.random.default_rng(seed).integers(0, 12, 100)
    rows = time_split(moments, SHARES)
    check_groups(rows, moments)
    assert moments[rows["train"]].max() < moments[rows["val"]].min()
    assert moments[rows["val"]].max() < moments[rows["test"]].min()


def test_moments_by_hand() -> None:
    # Ten rows, of which the 6 earliest train. The cut to the test falls among the rows of moment 8: all of them test.
    rows = time_split(np.array([8, 1, 2, 8, 3, 7, 4, 5, 8, 6]), SplitFractions(0.2, 0.2))
    assert {split: index.tolist() for split, index in rows.items()} == {
        "train": [1, 2, 4, 6, 7, 9],
        "val": [5],
        "test": [0, 3, 8],
    }


def test_column_is_followed() -> None:
    rows = column_split(levels("val", "train", "test", "train", "val"), "s", DRAWN, 0)
    assert {split: index.tolist() for split, index in rows.items()} == {"train": [1, 3], "val": [0, 4], "test": [2]}


def test_validation_rows_are_drawn_from_training_rows_where_the_column_names_none() -> None:
    rows = column_split(levels(*["train", "test", "train", "train"] * 10), "s", DRAWN, 0)
    check_partition(rows, 40)
    assert rows["test"].tolist() == list(range(1, 40, 4))
    assert len(rows["val"]) == 6


@pytest.mark.parametrize("seed", range(5))
def test_validation_rows_drawn_for_a_column_keep_the_shares_of_classes(seed: int) -> None:
    strata = np.array([0, 0, 1, 0, 1] * 20)
    rows = column_split(levels(*["train"] * 50, *["test"] * 50), "s", DRAWN, seed, strata)
    assert np.bincount(strata[rows["val"]]).tolist() == [6, 4]


def test_drawn_validation_rows_follow_the_seed() -> None:
    column = levels(*["train"] * 50, *["test"] * 10)
    assert same(column_split(column, "s", DRAWN, 0), column_split(column, "s", DRAWN, 0))
    assert not same(column_split(column, "s", DRAWN, 0), column_split(column, "s", DRAWN, 1))


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        (["train", "later"], "'later'"),
        (["train", None], "'nothing'"),
        ([0, 1], "'0'"),
        ([0, 1, 2, 3], "'0'"),
    ],
)
def test_other_cells_of_a_split_column_are_refused(cells: list, shown: str) -> None:
    with pytest.raises(InputError, match=f"split column 'part' holds {shown}"):
        column_split(levels(*cells), "part", DRAWN, 0)


@pytest.mark.parametrize(
    ("cells", "name", "expected"),
    [
        (["Train", "Validation", "TEST"], "s", "train val test"),
        (["training", "dev", "holdout"], "s", "train val test"),
        (["valid", "test", "train"], "s", "val test train"),
        ([0, 1, 2], "s", "train val test"),
        (["2", "0", "1"], "s", "test train val"),
    ],
)
def test_other_words_for_splits_are_understood(cells: list, name: str, expected: str) -> None:
    rows = column_split(levels(*cells, *cells), name, DRAWN, 0)
    for place, split in enumerate(expected.split()):
        assert rows[split].tolist() == [place, place + len(cells)]


@pytest.mark.parametrize(
    ("cells", "name", "train"),
    [
        ([0, 1], "is_test", 0),
        (["False", "True"], "in_test_set", 0),
        (["yes", "no"], "train", 0),
        ([True, False], "Training", 0),
    ],
)
def test_a_column_that_is_called_by_a_split_says_yes_or_no(cells: list, name: str, train: int) -> None:
    rows = column_split(levels(*cells * 10), name, DRAWN, 0)
    assert rows["test"].tolist() == list(range(1 - train, 20, 2))
    assert sorted([*rows["train"], *rows["val"]]) == list(range(train, 20, 2))


@pytest.mark.parametrize("short", SPLITS)
def test_a_split_needs_two_rows(short: str) -> None:
    rows = {split: np.arange(1 if split == short else 2) for split in SPLITS}
    with pytest.raises(InputError, match=f"the {short} split has 1 of 5 rows"):
        check_sizes(rows)


def test_two_rows_a_split_are_enough() -> None:
    rows = column_split(levels(*["train", "val", "test"] * 2), "s", DRAWN, 0)
    check_sizes(rows)
    with pytest.raises(InputError, match="the test split has 0 of 4 rows"):
        check_sizes(rows | {"test": np.arange(0)})


@pytest.mark.parametrize("is_stratified", [False, True])
def test_some_of_the_rows_are_among_more_of_them(is_stratified: bool) -> None:
    strata = labels(500, [0.7, 0.2, 0.1], 0) if is_stratified else None
    rows = np.arange(0, 500, 2)
    few, many = (set(sample_of(rows, number, 3, strata).tolist()) for number in (40, 120))
    assert (len(few), len(many)) == (40, 120)
    assert few < many < set(rows.tolist())


def test_some_of_the_rows_have_each_labels_share() -> None:
    strata = labels(1000, [0.7, 0.2, 0.1], 0)
    rows = np.arange(300, 1000)
    few = sample_of(rows, 70, 0, strata)
    assert_allclose(np.bincount(strata[few]) / 70, np.bincount(strata[rows]) / 700, atol=1.5 / 70)


def test_more_rows_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match=r"data.train_rows is 11, but there are 10 training rows: give that or less"):
        sample_of(np.arange(10), 11, 0)
