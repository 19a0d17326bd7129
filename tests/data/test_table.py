import datetime
import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose

from litmlp.data import ClassTarget, NumericTarget, TableData, Target
from litmlp.errors import InputError

HEADER = "size,colour,code,price,weight"
FIRST_DAY = datetime.date(2020, 1, 1)


def row(i: int) -> str:
    return f"{i * 0.5},{'red' if i % 2 else 'blue'},{i % 3},{i * 10},{100 - i}"


def write(folder: Path, rows: list[str], header: str = HEADER) -> str:
    path = folder / "things.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def parquet(folder: Path, **columns: Any) -> str:
    """A table of 40 rows with a number `x` and a target `y` beside `columns`."""
    path = folder / "things.parquet"
    pl.DataFrame({"x": range(0, 80, 2), "y": [float(i) for i in range(40)], **columns}).write_parquet(path)
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


def targets(data: TableData, split: str) -> list[float]:
    """The numbers in the target column of a split's rows."""
    return (
        (data.tables[split].target * data.target.scaling.std + data.target.scaling.mean)[:, 0]
        .round(decimals=3)
        .tolist()
    )


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
    data = table(write(tmp_path, [f"{i},{i},," for i in range(20)], "price,size,a,b"), numeric=["a"], categorical=["b"])
    assert inputs(data) == (["size"], {})
    assert data.inputs.decisions["a"] == data.inputs.decisions["b"] == "left out: it has no values"


@pytest.mark.parametrize(
    ("header", "rows", "reason"),
    [
        ("price,a", "{i},", r"\('a' is left out: it has no values\)"),
        ("price,a", "{i},7", r"\('a' is left out: all rows have the same value, 7\)"),
        ("price", "{i}", r"\(there is none\)"),
    ],
)
def test_file_without_an_input_is_refused_with_the_reasons(tmp_path: Path, header: str, rows: str, reason: str) -> None:
    path = write(tmp_path, [rows.format(i=i) for i in range(20)], header)
    with pytest.raises(InputError, match=f"no column beside the target can be an input {reason}: give one"):
        table(path)


def test_missing_values_leave_a_column_numeric(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{'<5' if i % 4 == 0 else i},{i}" for i in range(40)], "size,price")
    assert inputs(table(path))[0] == []
    assert inputs(table(path, missing_values=["<5"]))[0] == ["size", "size is missing"]
    usual = write(tmp_path, [f"{'?' if i % 4 == 0 else i},{i}" for i in range(40)], "size,price")
    assert inputs(table(usual))[0] == ["size", "size is missing"]


def test_missing_values_can_be_missing_in_parquet_too(tmp_path: Path) -> None:
    cells = ["?" if i % 4 == 0 else str(i) for i in range(40)]
    assert inputs(table(parquet(tmp_path, a=cells), "y", missing_values=["?"]))[0] == ["x", "a", "a is missing"]


def test_spaces_around_cells_do_not_matter(tmp_path: Path) -> None:
    spaced = [f" {i % 9},\t{i}.5 , {'ab'[i % 2]},{i}" for i in range(20)] + ["1,2,a,3"]
    assert inputs(table(write(tmp_path, spaced, "a,b,c,price"))) == (["a", "b"], {"c": 4})


def test_a_late_cell_of_another_type_leaves_all_columns_as_they_were(tmp_path: Path) -> None:
    rows = [f"{i % 7},{i % 5},{i}" for i in range(20_000)]
    data = table(write(tmp_path, [*rows, "many,3,1"], "a,b,price"))
    assert inputs(data) == (["a", "b"], {})
    assert data.inputs.decisions["a"] == "numeric; row 20001 holds 'many', which is taken for a missing cell"


@pytest.mark.parametrize("argument", ["numeric", "categorical", "date", "ignore"])
def test_absent_column_names_the_nearest(path: str, argument: str) -> None:
    with pytest.raises(InputError, match=r"no column 'color': did you mean 'colour'\?"):
        table(path, **{argument: ["color"]})


@pytest.mark.parametrize("role", ["split_column", "group_column", "time_column", "weight_column"])
def test_absent_column_of_another_role_names_the_nearest(path: str, role: str) -> None:
    with pytest.raises(InputError, match=r"no column 'wieght': did you mean 'weight'\?"):
        table(path, **{role: "wieght"})


def test_absent_target_names_the_nearest(path: str) -> None:
    with pytest.raises(InputError, match=r"no target column 'prise': did you mean 'price'\?"):
        table(path, "prise")


def test_absent_file_is_named() -> None:
    with pytest.raises(InputError, match=r"no file 'nowhere\.csv'"):
        table("nowhere.csv")


ROLES = {
    "numeric": ["size"],
    "categorical": ["size"],
    "date": ["size"],
    "ignore": ["size"],
    "split_column": "size",
    "group_column": "size",
    "time_column": "size",
    "weight_column": "size",
}


@pytest.mark.parametrize(
    ("first", "second"), [(a, b) for i, a in enumerate(ROLES) for b in list(ROLES)[i + 1 :]], ids="-".join
)
def test_a_column_has_one_role(first: str, second: str) -> None:
    with pytest.raises(InputError, match=f"'size' is in data.{first} and in data.{second}: leave it in one of them"):
        TableData("nowhere.csv", "price", NumericTarget, **{name: ROLES[name] for name in (first, second)})


@pytest.mark.parametrize("role", ROLES)
def test_the_target_has_no_other_role(role: str) -> None:
    with pytest.raises(InputError, match=r"column 'size' is in .*data\.target.*: leave it in one of them"):
        TableData("nowhere.csv", ["price", "size"], NumericTarget, **{role: ROLES[role]})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"split_column": "a", "group_column": "b"}, ["split_column", "group_column"]),
        ({"split_column": "a", "time_column": "b"}, ["split_column", "time_column"]),
        ({"group_column": "a", "time_column": "b"}, ["group_column", "time_column"]),
        ({"split_column": "a", "folds": 3}, ["split_column", "folds"]),
        ({"time_column": "a", "folds": 3}, ["time_column", "folds"]),
        ({"time_column": "a", "val_fold": 1}, ["time_column", "val_fold"]),
    ],
)
def test_rows_are_split_in_one_way(arguments: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(InputError, match=f"data.{named[0]} and data.{named[1]} each split the rows: give one of them"):
        TableData("nowhere.csv", "price", NumericTarget, **arguments)


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


def test_target_transform_reaches_the_target(path: str) -> None:
    data = table(path, target_transform="log1p")
    rows = data.parted(data.read())[1]["train"]
    logarithms = np.log1p(rows * 10)
    assert_allclose(data.target.scaling.mean.item(), logarithms.mean())
    assert_allclose(data.tables["train"].target[:, 0], (logarithms - logarithms.mean()) / logarithms.std(), atol=1e-5)


def test_negative_target_without_a_logarithm_is_named_by_its_row_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, ["1,red,2,,5", "1,red,2,-7,5", *(row(i) for i in range(40))])
    with pytest.raises(InputError, match="target 'price' holds -7 in its row 2, but target_transform=log1p"):
        table(path, target_transform="log1p")


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, [row(i) for i in range(40)] + ["1,red,2,,5", "1,red,2,-,5", "1,red,2,7,"])
    with caplog.at_level(logging.WARNING):
        data = table(path, missing_values=["-"])
    assert num_rows(data) == 41
    assert "left out 2 of 43 rows" in caplog.text


def test_nothing_is_logged_where_every_row_has_a_target(path: str, caplog: pytest.LogCaptureFixture) -> None:
    assert num_rows(table(path)) == 40
    assert caplog.text == ""


def test_file_without_any_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row has a value in the target price"):
        table(write(tmp_path, [f"{i}," for i in range(9)], "size,price"))


def test_nan_target_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{i},{i}" for i in range(20)] + ["1,nan"], "size,price")
    assert num_rows(table(path)) == 20


def test_split_column_is_followed_and_no_input(tmp_path: Path) -> None:
    splits = ["train", "test", "val", "train", "train"] * 4
    path = write(tmp_path, [f"{i},{i},{split}" for i, split in enumerate(splits)], "size,price,part")
    data = table(path, split_column="part")
    assert inputs(data) == (["size"], {})
    assert "part" not in data.inputs.decisions
    assert targets(data, "test") == [1, 6, 11, 16]


def test_split_column_is_followed_beside_rows_without_a_target(tmp_path: Path) -> None:
    splits = ["train", "test", "val", "train", "train"] * 4
    rows = [f"{i},{i if i % 5 else ''},{split}" for i, split in enumerate(splits)]
    data = table(write(tmp_path, rows, "size,price,part"), split_column="part")
    assert targets(data, "test") == [1, 6, 11, 16]
    assert targets(data, "train") == [3, 4, 8, 9, 13, 14, 18, 19]


def test_validation_rows_come_from_training_rows_where_the_split_column_names_none(tmp_path: Path) -> None:
    rows = [f"{i},{i},{'test' if i >= 30 else 'train'}" for i in range(40)]
    data = table(write(tmp_path, rows, "size,price,part"), split_column="part", val_size=0.2)
    assert {split: len(batch.numeric) for split, batch in data.tables.items()} == {"train": 24, "val": 6, "test": 10}


def test_split_without_rows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{i},{i},train" for i in range(20)], "size,price,part")
    with pytest.raises(InputError, match="the test split has 0 of 20 rows"):
        table(path, split_column="part")


@pytest.mark.parametrize("folds", [None, 4])
def test_groups_stay_together_and_are_no_input(tmp_path: Path, folds: int | None) -> None:
    groups = np.random.default_rng(0).integers(0, 12, 60)
    path = write(tmp_path, [f"{i},{i},g{group}" for i, group in enumerate(groups)], "size,price,group")
    data = table(path, group_column="group", folds=folds, fold=0)
    assert inputs(data) == (["size"], {})
    assert "group" not in data.inputs.decisions
    sides = [set(groups[np.array(targets(data, split), dtype=int)].tolist()) for split in data.tables]
    assert num_rows(data) == 60
    assert sum(map(len, sides)) == len(set.union(*sides)) == len(set(groups.tolist()))


def test_rows_without_a_group_stay_together(tmp_path: Path) -> None:
    rows = [f"{i},{i},{'' if i % 4 == 0 else i % 8}" for i in range(40)]
    data = table(write(tmp_path, rows, "size,price,group"), group_column="group")
    sides = [{target % 4 == 0 for target in targets(data, split)} for split in data.tables]
    assert sum(True in side for side in sides) == 1


MOMENTS = {
    "number": [str(i) for i in range(40)],
    "day": [str(FIRST_DAY + datetime.timedelta(days=9 * i)) for i in range(40)],
    "day of another country": [f"{FIRST_DAY + datetime.timedelta(days=9 * i):%d.%m.%Y}" for i in range(40)],
    "minute": [f"2020-01-01 {i // 8:02}:{i % 8:02}" for i in range(40)],
}


@pytest.mark.parametrize("kind", MOMENTS)
def test_later_rows_validate_and_the_latest_test(tmp_path: Path, kind: str) -> None:
    order = np.random.default_rng(0).permutation(40)
    path = write(tmp_path, [f"{i % 7},{i},{MOMENTS[kind][i]}" for i in order], "size,price,when")
    data = table(path, time_column="when")
    assert {split: sorted(targets(data, split)) for split in data.tables} == {
        "train": list(range(26)),
        "val": list(range(26, 32)),
        "test": list(range(32, 40)),
    }


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("ns"), pl.Datetime("us", "Europe/Oslo")])
def test_dates_in_parquet_order_the_rows(tmp_path: Path, dtype: Any) -> None:
    days = pl.Series([FIRST_DAY + datetime.timedelta(days=i) for i in reversed(range(40))]).cast(dtype)
    data = table(parquet(tmp_path, when=days), "y", time_column="when")
    assert targets(data, "test") == list(range(8))
    assert targets(data, "val") == list(range(8, 14))


def test_time_itself_is_no_input_but_the_parts_that_come_again_are(tmp_path: Path) -> None:
    rows = [f"{i % 7},{i},{day}" for i, day in enumerate(MOMENTS["day"])]
    path = write(tmp_path, rows, "size,price,when")
    data = table(path, time_column="when")
    assert data.spec.numeric == ["size", "when day"]
    assert data.spec.categorical.keys() == {"when month", "when weekday"}
    assert data.inputs.decisions["when"].endswith("it orders the rows")
    assert table(path).spec.numeric == ["size", "when time", "when day", "when year sine", "when year cosine"]


def test_a_number_that_orders_the_rows_is_no_input(tmp_path: Path) -> None:
    data = table(write(tmp_path, [f"{i % 7},{i},{i}" for i in range(40)], "size,price,when"), time_column="when")
    assert inputs(data) == (["size"], {})
    assert data.inputs.decisions["when"] == "left out: it orders the rows"


def test_row_without_a_time_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{i},{i},{'' if i == 9 else i}" for i in range(40)], "size,price,when")
    with pytest.raises(InputError, match="time column 'when' holds no time in its row 10"):
        table(path, time_column="when")


def test_text_orders_no_rows(path: str) -> None:
    with pytest.raises(InputError, match=r"column 'colour' should hold dates, .* its row 1 holds 'blue'"):
        table(path, time_column="colour")


@pytest.mark.parametrize("target_type", [NumericTarget, ClassTarget])
def test_weights_stay_with_their_rows_and_are_no_input(tmp_path: Path, target_type: type[Target]) -> None:
    rows = [f"{i},{i if target_type is NumericTarget else i % 2},{i + 0.5}" for i in range(40)]
    data = table(write(tmp_path, rows, "size,price,w"), "price", target_type, weight_column="w", scaling="standard")
    assert inputs(data) == (["size"], {})
    assert "w" not in data.inputs.decisions
    scale = data.inputs.columns[0].scaling
    for split, batch in data.tables.items():
        size = batch.numeric[:, 0] * scale.std + scale.mean
        assert batch.weight.dtype == torch.float32
        assert_allclose(batch.weight, size + 0.5, atol=1e-4)
        (got,) = data.in_order(split)
        assert torch.equal(got.weight, batch.weight)


def test_weights_reach_the_batches_in_their_order(path: str) -> None:
    data = table(path, weight_column="weight", batch_size=7, scaling="standard")
    scale = data.inputs.columns[0].scaling
    for batch in data.train_dataloader():
        size = batch.numeric[:, 0] * scale.std + scale.mean
        assert_allclose(batch.weight, 100 - 2 * size, atol=1e-4)


def test_without_a_weight_column_no_row_has_a_weight(path: str) -> None:
    assert [batch.weight for batch in table(path).tables.values()] == [None] * 3


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        (["1", "-0.5", "1"], "row 2 holds -0.5"),
        (["1", "1", ""], "row 3 holds None"),
        (["?", "1", "1"], "row 1 holds None"),
        (["1", "heavy", "1"], "row 2 holds 'heavy'"),
        (["1", "inf", "1"], "row 2 holds inf"),
    ],
)
def test_what_is_no_weight_is_refused(tmp_path: Path, cells: list[str], shown: str) -> None:
    path = write(tmp_path, [f"{i},{i},{w}" for i, w in enumerate([*cells, *["2"] * 37])], "size,price,w")
    with pytest.raises(InputError, match=f"column 'w' should hold .* {shown}"):
        table(path, weight_column="w", missing_values=["?"])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_whose_weights_are_all_0_is_refused(tmp_path: Path, split: str) -> None:
    parts = [["train", "val", "test"][i % 3] for i in range(40)]
    rows = [f"{i},{i},{int(part != split)},{part}" for i, part in enumerate(parts)]
    path = write(tmp_path, rows, "size,price,w,part")
    with pytest.raises(InputError, match=f"all rows of the {split} split have weight 0 in data.weight_column 'w'"):
        table(path, weight_column="w", split_column="part")


@pytest.mark.parametrize("largest", [1e308, 1e39, 1e-300, 5e-324])
def test_weights_that_float32_has_no_room_for_weigh_the_same(tmp_path: Path, largest: float) -> None:
    path = write(tmp_path, [f"{i},{i},{largest if i % 2 else 0}" for i in range(40)], "size,price,w")
    weights = torch.cat([batch.weight for batch in table(path, weight_column="w").tables.values()])
    assert (weights > 0).sum() == 20
    assert weights.unique().tolist() == [0, pytest.approx(0.75, abs=0.25)]


def test_a_row_without_a_target_needs_no_weight(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{i},{i},2" for i in range(40)] + ["1,,"], "size,price,w")
    assert all((batch.weight == 2).all() for batch in table(path, weight_column="w").tables.values())


def test_levels_of_few_training_rows_are_taken_together(tmp_path: Path) -> None:
    levels = ["common"] * 6 + ["rare", "rare", "single"]
    parts = ["train"] * 9 + ["val"] * 3 + ["test"] * 3
    rows = [f"{i},{level},{part}" for i, (level, part) in enumerate(zip(levels + ["rare"] * 6, parts, strict=True))]
    path = write(tmp_path, rows, "price,level,part")
    expected = {1: [2] * 6 + [3, 3, 4], 2: [2] * 6 + [3, 3, 0], 3: [2] * 6 + [0, 0, 0]}
    for min_count, codes in expected.items():
        data = table(path, split_column="part", min_count=min_count)
        assert data.tables["train"].categorical[:, 0].tolist() == codes
        assert data.spec.categorical == {"level": max(codes) + 1}


LEFT_OUT = {
    "constant": ("7", "all rows have the same value, 7"),
    "word": ("same", "all rows have the same value, same"),
    "row_id": ("{i}", "it looks like an identifier: each row has a different number"),
    "name": ("n{i}", r"it looks like an identifier: (nearly) each row has a different text"),
    "empty": ("", "it has no values"),
    "marked": ("NA", "it has no values"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_columns_that_say_nothing_are_left_out_with_the_reason(tmp_path: Path, name: str) -> None:
    cell, reason = LEFT_OUT[name]
    data = table(write(tmp_path, [f"{i * 2},{i},{cell.format(i=i)}" for i in range(40)], f"size,price,{name}"))
    assert inputs(data) == (["size"], {})
    assert data.inputs.decisions == {"size": "numeric", name: f"left out: {reason}"}


@pytest.mark.parametrize("name", ["constant", "row_id"])
def test_columns_left_out_come_back_as_numbers(tmp_path: Path, name: str) -> None:
    rows = [f"{i * 2},{i},{LEFT_OUT[name][0].format(i=i)}" for i in range(40)]
    data = table(write(tmp_path, rows, f"size,price,{name}"), numeric=[name])
    assert inputs(data) == (["size", name], {})
    assert data.inputs.decisions[name] == "numeric"


@pytest.mark.parametrize(("name", "num_levels"), [("constant", 1), ("word", 1), ("row_id", 26), ("name", 26)])
def test_columns_left_out_come_back_as_levels(tmp_path: Path, name: str, num_levels: int) -> None:
    rows = [f"{i * 2},{i},{LEFT_OUT[name][0].format(i=i)}" for i in range(40)]
    data = table(write(tmp_path, rows, f"size,price,{name}"), categorical=[name], min_count=1)
    assert inputs(data) == (["size"], {name: 2 + num_levels})


def test_truth_values_are_a_number(tmp_path: Path) -> None:
    rows = [f"{i},{'yes' if i % 3 else 'No'},{'true' if i % 2 else 'false'}" for i in range(40)]
    data = table(write(tmp_path, rows, "price,a,b"))
    assert inputs(data) == (["a", "b"], {})
    assert data.inputs.decisions == {"a": "boolean", "b": "boolean"}


def test_nested_columns_are_left_out(tmp_path: Path) -> None:
    nested = {"items": [[1, 2]] * 40, "place": [{"lat": 1.0, "lon": 2.0}] * 40, "raw": [b"x"] * 40}
    data = table(parquet(tmp_path, **nested), "y")
    assert inputs(data) == (["x"], {})
    for name, type_name in {"items": "List", "place": "Struct", "raw": "Binary"}.items():
        assert data.inputs.decisions[name].startswith(f"left out: its cells are of type {type_name}")


@pytest.mark.parametrize("pattern", ["%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%Y-%m-%dT%H:%M:%S"])
def test_dates_in_a_csv_are_found_however_they_are_written(tmp_path: Path, pattern: str) -> None:
    """Every hour of four days in two months: 28 January and 4, 11, 18 February 2021 are Thursdays."""
    moments = [datetime.datetime(2021, 1, 28) + datetime.timedelta(days=7 * (i % 4), hours=i // 4) for i in range(96)]
    path = write(tmp_path, [f"{i},{moment:{pattern}}" for i, moment in enumerate(moments)], "price,when")
    data = table(path, scaling="standard", val_size=0.02, test_size=0.03)
    assert data.inputs.decisions["when"].startswith("date, written like %")
    assert data.spec.numeric == ["when time", "when day", "when hour", "when hour sine", "when hour cosine"]
    assert data.spec.categorical == {"when month": 4}
    encoded = data.encode_rows(path, has_target=False)
    for part, expected in {"when day": [m.day for m in moments], "when hour": [m.hour for m in moments]}.items():
        got = encoded.numeric[:, data.spec.numeric.index(part)]
        assert np.corrcoef(got, expected)[0, 1] == pytest.approx(1)
    assert [code - 1 for code in encoded.categorical[:, 0]] == [moment.month for moment in moments]


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("ms"), pl.Datetime("us", "UTC")])
def test_dates_in_parquet_give_the_same_inputs_as_in_a_csv(tmp_path: Path, dtype: Any) -> None:
    days = pl.Series([FIRST_DAY + datetime.timedelta(days=9 * i) for i in range(40)])
    binary = table(parquet(tmp_path, when=days.cast(dtype)), "y")
    text = table(write(tmp_path, [f"{2 * i},{i},{day}" for i, day in enumerate(days)], "x,y,when"), "y")
    assert inputs(binary) == inputs(text)
    assert binary.inputs.decisions["when"] == "date, as numbers (time, day), levels (month, weekday), circles (year)"
    for split, batch in binary.tables.items():
        assert torch.equal(batch.numeric, text.tables[split].numeric)
        assert torch.equal(batch.categorical, text.tables[split].categorical)


def test_dates_can_be_asked_for_as_levels(tmp_path: Path) -> None:
    rows = [f"{i},2020-01-0{i % 4 + 1}" for i in range(40)]
    assert inputs(table(write(tmp_path, rows, "price,when"), categorical=["when"])) == ([], {"when": 6})


def test_what_is_no_date_cannot_be_asked_for_as_one(tmp_path: Path) -> None:
    rows = [f"{i},{'soon' if i == 7 else '2020-01-0' + str(i % 4 + 1)}" for i in range(40)]
    with pytest.raises(InputError, match=r"column 'when' should hold dates, .* its row 8 holds 'soon'"):
        table(write(tmp_path, rows, "price,when"), date=["when"])


@pytest.mark.parametrize(
    "dtype", [pl.Int8, pl.UInt32, pl.Float32, pl.Int64, pl.Float64], ids=lambda dtype: dtype.__name__
)
def test_numbers_in_parquet_are_numbers_of_any_width(tmp_path: Path, dtype: Any) -> None:
    numbers = pl.Series([i % 9 for i in range(40)]).cast(dtype)
    data = table(parquet(tmp_path, a=numbers), "y", ignore=["x"], scaling="standard")
    assert data.spec.numeric == ["a"]
    scale = data.inputs.columns[0].scaling
    encoded = data.encode_rows(data.path, has_target=False).numeric[:, 0]
    assert_allclose(encoded * scale.std + scale.mean, numbers.to_numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["a", "b", "c"])], ids=str)
def test_levels_in_parquet_are_levels_however_they_are_kept(tmp_path: Path, dtype: Any) -> None:
    levels = pl.Series([None if i == 0 else "abc"[i % 3] for i in range(40)], dtype=dtype)
    data = table(parquet(tmp_path, level=levels), "y", min_count=1)
    assert inputs(data) == (["x"], {"level": 5})
    codes = data.encode_rows(data.path, has_target=False).categorical[:, 0].tolist()
    assert codes[1:] == [2 + i % 3 for i in range(1, 40)]


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


def test_several_files_are_one_table(tmp_path: Path) -> None:
    write(tmp_path, [row(i) for i in range(40)])
    for part, rows in enumerate([range(15), range(15, 40)]):
        (tmp_path / f"part{part}.csv").write_text("\n".join([HEADER, *map(row, rows)]) + "\n")
    whole, parts = table("things.csv"), table("part*.csv")
    assert all(torch.equal(whole.tables[split].numeric, parts.tables[split].numeric) for split in whole.tables)
    assert all(torch.equal(whole.tables[split].target, parts.tables[split].target) for split in whole.tables)


def test_a_damaged_column_is_one_sentence(tmp_path: Path) -> None:
    path = Path(parquet(tmp_path, a=[f"text {i % 9}" for i in range(40)]))
    content = bytearray(path.read_bytes())
    at = content.index(b"\x28\xb5\x2f\xfd")  # Zstandard begins so, behind the header of the first page
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot read column 'x': ") as caught:
        table(str(path), "y")
    assert "\n" not in str(caught.value)
