import numpy as np
import polars as pl
import pytest

from litmlp.data.splits import SPLITS, Rows, check_sizes, column_split, random_split
from litmlp.errors import InputError

SHARES = {"train": 0.64, "val": 0.16, "test": 0.2}
TOLERANCE = {"train": 1, "val": 2, "test": 1}  # validation lies between two cuts, each less than a row off


def same(first: Rows, second: Rows) -> bool:
    return all(np.array_equal(first[split], second[split]) for split in SPLITS)


def labels(num_rows: int, shares: list[float], seed: int) -> pl.Series:
    names = np.array([f"class {i}" for i in range(len(shares))])
    return pl.Series(np.random.default_rng(seed).choice(names, num_rows, p=shares))


def check_partition(rows: Rows, num_rows: int) -> None:
    assert sorted(np.concatenate([rows[split] for split in SPLITS]).tolist()) == list(range(num_rows))


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("num_rows", [10, 11, 97, 1000])
@pytest.mark.parametrize("is_stratified", [False, True])
def test_splits_are_disjoint_and_complete(num_rows: int, seed: int, is_stratified: bool) -> None:
    strata = labels(num_rows, [0.7, 0.2, 0.1], seed) if is_stratified else None
    check_partition(random_split(num_rows, 0.16, 0.2, seed, strata), num_rows)


@pytest.mark.parametrize("num_rows", [10, 11, 97, 1000])
def test_splits_have_their_shares(num_rows: int) -> None:
    for split, rows in random_split(num_rows, 0.16, 0.2, seed=0).items():
        assert abs(len(rows) - SHARES[split] * num_rows) <= 1


def test_rows_are_sorted() -> None:
    for rows in random_split(100, 0.16, 0.2, seed=0).values():
        assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("strata", [None, labels(100, [0.5, 0.5], 0)], ids=["plain", "stratified"])
def test_same_seed_gives_same_split(strata: pl.Series | None) -> None:
    assert same(random_split(100, 0.16, 0.2, 3, strata), random_split(100, 0.16, 0.2, 3, strata))


@pytest.mark.parametrize("strata", [None, labels(100, [0.5, 0.5], 0)], ids=["plain", "stratified"])
def test_another_seed_gives_another_split(strata: pl.Series | None) -> None:
    assert not same(random_split(100, 0.16, 0.2, 3, strata), random_split(100, 0.16, 0.2, 4, strata))


@pytest.mark.parametrize("seed", range(5))
def test_each_row_is_as_likely_to_be_drawn(seed: int) -> None:
    drawn = np.zeros(50)
    for i in range(400):
        drawn[random_split(50, 0.16, 0.2, 1000 * seed + i)["test"]] += 1
    assert np.abs(drawn / 400 - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 400)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.9, 0.1], [0.3, 0.3, 0.4]])
def test_classes_keep_their_shares_in_each_split(shares: list[float], seed: int) -> None:
    strata = labels(200, shares, seed)
    rows = random_split(200, 0.16, 0.2, seed, strata)
    for name in strata.unique():
        total = (strata == name).sum()
        for split, share in SHARES.items():
            assert abs((strata[rows[split]] == name).sum() - share * total) < TOLERANCE[split]


def test_classes_of_whole_shares_are_split_exactly() -> None:
    strata = pl.Series(["a"] * 100 + ["b"] * 50 + ["c"] * 50)
    rows = random_split(200, 0.2, 0.2, 0, strata)
    counts = {split: strata[rows[split]].value_counts().sort("")["count"].to_list() for split in SPLITS}
    assert counts == {"train": [60, 30, 30], "val": [20, 10, 10], "test": [20, 10, 10]}


def test_column_is_followed() -> None:
    rows = column_split(pl.Series("s", ["val", "train", "test", "train", "val"]), 0.2, 0)
    assert {split: index.tolist() for split, index in rows.items()} == {"train": [1, 3], "val": [0, 4], "test": [2]}


def test_validation_rows_are_drawn_from_training_rows_where_the_column_names_none() -> None:
    column = pl.Series("s", ["train", "test", "train", "train"] * 10)
    rows = column_split(column, 0.2, 0)
    check_partition(rows, 40)
    assert rows["test"].tolist() == list(range(1, 40, 4))
    assert len(rows["val"]) == 6


@pytest.mark.parametrize("seed", range(5))
def test_validation_rows_drawn_for_a_column_keep_the_shares_of_classes(seed: int) -> None:
    strata = pl.Series(["a", "a", "b", "a", "b"] * 20)
    rows = column_split(pl.Series("s", ["train"] * 50 + ["test"] * 50), 0.2, seed, strata)
    assert strata[rows["val"]].value_counts().sort("")["count"].to_list() == [6, 4]


def test_drawn_validation_rows_follow_the_seed() -> None:
    column = pl.Series("s", ["train"] * 50 + ["test"] * 10)
    assert same(column_split(column, 0.2, 0), column_split(column, 0.2, 0))
    assert not same(column_split(column, 0.2, 0), column_split(column, 0.2, 1))


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        (["train", "Test"], "'Test'"),
        (["train", None], r"'\(missing\)'"),
        (["train", "valid"], "'valid'"),
        ([0, 1], "'0'"),
    ],
)
def test_other_cells_of_a_split_column_are_refused(cells: list, shown: str) -> None:
    with pytest.raises(InputError, match=f"split column 'part' holds {shown}"):
        column_split(pl.Series("part", cells), 0.2, 0)


@pytest.mark.parametrize("short", SPLITS)
def test_a_split_needs_two_rows(short: str) -> None:
    rows = {split: np.arange(1 if split == short else 2) for split in SPLITS}
    with pytest.raises(InputError, match=f"the {short} split has 1 of 5 rows"):
        check_sizes(rows)


def test_two_rows_a_split_are_enough() -> None:
    rows = column_split(pl.Series("s", ["train", "val", "test"] * 2), 0.2, 0)
    check_sizes(rows)
    with pytest.raises(InputError, match="the test split has 0 of 4 rows"):
        check_sizes(rows | {"test": np.arange(0)})
