"""No row is kept as a test where someone else has the test rows."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from litmlp.data import ClassTarget, NumericTarget
from litmlp.data.without_test import WithoutTest


def places(labels: list[str], target_type: Any = ClassTarget, **arguments: Any) -> dict[str, np.ndarray]:
    """Of the rows of each split, by their place in the table, which is the input `x`."""
    frame = pl.DataFrame({"x": np.arange(len(labels), dtype=float), "g": np.arange(len(labels)) // 5, "y": labels})
    data = WithoutTest(None, "y", target_type, scaling="standard", **arguments)
    data.frame = frame
    data.setup()
    (column,) = [column for column in data.inputs.columns if column.name == "x"]
    index = data.spec.numeric.index("x")
    scaled = {split: batch.numeric[:, index].double().numpy() for split, batch in data.tables.items()}
    return {
        split: np.round(values * column.scaling.std + column.scaling.mean).astype(int)
        for split, values in scaled.items()
    }


def test_rows_train_or_validate_and_those_that_validate_are_the_test():
    split = places(["a", "b"] * 50, val_size=0.2)
    assert np.array_equal(split["val"], split["test"])
    assert sorted([*split["train"], *split["val"]]) == [*range(100)]
    assert np.bincount(split["val"] % 2).tolist() == [10, 10]


def test_few_rows_all_train_and_validate():
    for split in places(["a", "b"] * 9).values():
        assert split.tolist() == [*range(18)]


def test_all_rows_train_where_a_class_would_not_be_among_them():
    labels = ["a", "b"] * 30 + ["c"]
    assert [len(places(labels, val_size=size)["train"]) for size in (0.4, 0.6)] == [37, 61]


def test_groups_stay_on_one_side():
    split = places([str(float(i)) for i in range(100)], NumericTarget, group_column="g")
    assert not {*(split["train"] // 5)} & {*(split["val"] // 5)}
    assert sorted([*split["train"], *split["val"]]) == [*range(100)]


@pytest.mark.parametrize("size", [0.01, 0.99 - 0.2])
def test_a_share_that_leaves_no_rows_to_validate_leaves_all(size: float):
    split = places(["a", "b"] * 20, val_size=size)
    assert len(split["val"]) in (40, round(40 * size))
