import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from litmlp.data import ClassTarget, NumericTarget, TableData, Target
from litmlp.errors import InputError

HEADER = "size,colour,code,price,weight"


def row(i: int) -> str:
    return f"{i * 0.5},{'red' if i % 2 else 'blue'},{i % 3},{i * 10},{100 - i}"


def write(folder: Path, rows: list[str], header: str = HEADER) -> str:
    path = folder / "things.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return write(tmp_path, [row(i) for i in range(40)])


def table(
    path: str, target: str | list[str] = "price", target_type: type[Target] = NumericTarget, **arguments: Any
) -> TableData:
    data = TableData(path, target, target_type, **arguments)
    data.setup()
    return data


def inputs(data: TableData) -> tuple[list[str], dict[str, int]]:
    return data.spec.numeric, data.spec.categorical


def num_rows(data: TableData) -> int:
    return sum(len(batch.numeric) for batch in data.tables.values())


def test_numbers_are_numeric_and_texts_categorical(path: str) -> None:
    assert inputs(table(path)) == (["size", "code", "weight"], {"colour": 4})


def test_numbers_asked_for_as_categorical_are_levels(path: str) -> None:
    assert inputs(table(path, categorical=["code"])) == (["size", "weight"], {"colour": 4, "code": 5})


def test_ignored_columns_are_no_inputs(path: str) -> None:
    assert inputs(table(path, ignore=["size", "colour"])) == (["code", "weight"], {})


def test_texts_asked_for_as_numeric_must_be_numbers(path: str) -> None:
    with pytest.raises(InputError, match=r"column 'colour' .* row 1 holds 'blue'"):
        table(path, numeric=["colour"])


def test_column_of_missing_cells_is_no_input_even_if_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{i},{i},," for i in range(20)], "price,size,a,b")
    assert inputs(table(path, numeric=["a"], categorical=["b"])) == (["size"], {})


def test_file_without_an_input_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{i}," for i in range(20)], "price,a")
    with pytest.raises(InputError, match="has no input column beside price, a: give at least one"):
        table(path)


def test_missing_values_leave_a_column_numeric(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{'?' if i % 4 == 0 else i},{i}" for i in range(40)], "size,price")
    assert inputs(table(path))[0] == []
    assert inputs(table(path, missing_values=["?"]))[0] == ["size", "size is missing"]


@pytest.mark.parametrize("argument", ["numeric", "categorical", "ignore"])
def test_absent_column_names_the_nearest(path: str, argument: str) -> None:
    with pytest.raises(InputError, match=r"no column 'color': did you mean 'colour'\?"):
        table(path, **{argument: ["color"]})


def test_absent_target_names_the_nearest(path: str) -> None:
    with pytest.raises(InputError, match=r"no target column 'prise': did you mean 'price'\?"):
        table(path, "prise")


def test_absent_split_column_names_the_nearest(path: str) -> None:
    with pytest.raises(InputError, match=r"no split column 'coulor': did you mean 'colour'\?"):
        table(path, split_column="coulor")


def test_absent_file_is_named() -> None:
    with pytest.raises(InputError, match=r"no file 'nowhere\.csv'"):
        table("nowhere.csv")


def test_several_targets_are_standardised_and_no_inputs(path: str) -> None:
    data = table(path, ["price", "weight"])
    assert inputs(data)[0] == ["size", "code"]
    target = data.tables["train"].target
    assert target.shape == (len(data.tables["train"].numeric), 2)
    assert_allclose(target.mean(dim=0), [0, 0], atol=1e-6)
    assert_allclose(target.std(dim=0, correction=0), [1, 1], rtol=1e-5)
    assert_allclose(target[:, 0], -target[:, 1], atol=1e-5)


def test_classes_are_coded_in_sorted_order(path: str) -> None:
    data = table(path, "colour", ClassTarget, val_size=0.2)
    assert data.target.classes == ["blue", "red"]
    counts = {split: np.bincount(batch.target).tolist() for split, batch in data.tables.items()}
    assert counts == {"train": [12, 12], "val": [4, 4], "test": [4, 4]}


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, [row(i) for i in range(40)] + ["1,red,2,,5", "1,red,2,NA,5", "1,red,2,7,"])
    with caplog.at_level(logging.WARNING):
        data = table(path, missing_values=["NA"])
    assert num_rows(data) == 41
    assert "left out 2 of 43 rows" in caplog.text


def test_nothing_is_logged_where_every_row_has_a_target(path: str, caplog: pytest.LogCaptureFixture) -> None:
    assert num_rows(table(path)) == 40
    assert caplog.text == ""


def test_file_without_any_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row has a value"):
        table(write(tmp_path, [f"{i}," for i in range(9)], "size,price"))


def test_nan_target_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{i},{i}" for i in range(20)] + ["1,nan"], "size,price")
    assert num_rows(table(path)) == 20


def test_split_column_is_followed_and_no_input(tmp_path: Path) -> None:
    splits = ["train", "test", "val", "train", "train"] * 4
    path = write(tmp_path, [f"{i},{i},{split}" for i, split in enumerate(splits)], "size,price,part")
    data = table(path, split_column="part")
    assert inputs(data) == (["size"], {})
    prices = data.tables["test"].target * data.target.std + data.target.mean
    assert_allclose(prices.flatten(), [1, 6, 11, 16], rtol=1e-5)


def test_validation_rows_come_from_training_rows_where_the_split_column_names_none(tmp_path: Path) -> None:
    rows = [f"{i},{i},{'test' if i >= 30 else 'train'}" for i in range(40)]
    data = table(write(tmp_path, rows, "size,price,part"), split_column="part", val_size=0.2)
    assert {split: len(batch.numeric) for split, batch in data.tables.items()} == {"train": 24, "val": 6, "test": 10}


def test_split_without_rows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{i},{i},train" for i in range(20)], "size,price,part")
    with pytest.raises(InputError, match="the test split has 0 of 20 rows"):
        table(path, split_column="part")


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([row(0), "1,red,2,,5", "oops,red,2,7,5"], 3),
        ([row(0), row(1), "oops,red,2,7,5"], 3),
    ],
    ids=["after a row left out", "after whole rows"],
)
def test_cell_that_is_no_number_is_named_by_its_row_of_the_file(tmp_path: Path, rows: list[str], line: int) -> None:
    path = write(tmp_path, rows + [row(i) for i in range(40)])
    with pytest.raises(InputError, match=f"'size' .* row {line} holds 'oops'"):
        table(path, numeric=["size"])


def test_target_that_is_no_number_is_named_by_its_row_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, [*(row(i) for i in range(40)), "1,red,2,much,5"])
    with pytest.raises(InputError, match=r"'price' .* row 41 holds 'much'"):
        table(path)


@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile"])
def test_infinite_input_is_refused(tmp_path: Path, scaling: str) -> None:
    path = write(tmp_path, [f"{i},{i}" for i in range(40)] + ["inf,1"] * 10, "size,price")
    with pytest.raises(InputError, match="column 'size' should hold finite numbers, but its row 41 holds inf:"):
        table(path, scaling=scaling)


def test_infinite_target_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{i},{i}" for i in range(40)] + ["1,-inf"], "size,price")
    with pytest.raises(InputError, match="column 'price' should hold finite numbers, but its row 41 holds -inf:"):
        table(path)


@pytest.mark.parametrize("target", [[], ["price", "price"], ["price", "weight", "price"]])
def test_targets_must_be_different_columns(path: str, target: list[str]) -> None:
    with pytest.raises(ValueError, match="must name one column, or several different ones"):
        table(path, target)
