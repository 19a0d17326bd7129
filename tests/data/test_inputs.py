import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler

from litmlp.data.columns import BooleanColumn, CategoricalColumn, Column, DateColumn, Encoded, NumericColumn
from litmlp.data.inputs import Inputs, collected, num_rows
from litmlp.data.notation import UNKNOWN
from litmlp.errors import InputError

MARKED = UNKNOWN._replace(level_marks=(*UNKNOWN.level_marks, "?"))
TABLE = pl.DataFrame(
    {
        "age": [20.0, 40.0, None, 30.0],
        "colour": ["red", "blue", "red", None],
        "smokes": ["yes", "no", "no", "yes"],
        "born": ["2000-01-01", "1980-05-06", "1990-03-04", "1970-01-01"],
        "note": ["p", "q", "r", "s"],
    }
)
KINDS = {"age": "numeric", "colour": "categorical", "smokes": "boolean", "born": "date"}
MAKE: dict[str, Callable[[str], Column]] = {
    "numeric": lambda name: NumericColumn(name, "standard"),
    "categorical": CategoricalColumn,
    "boolean": lambda name: BooleanColumn(name, "standard"),
    "date": lambda name: DateColumn(name, "standard"),
}


def find(cells: pl.Series) -> tuple[Column | None, str]:
    return (make(KINDS[cells.name], cells.name), "as told") if cells.name in KINDS else (None, "nobody needs it")


def make(kind: str, name: str) -> Column:
    return MAKE[kind](name)


def fitted(
    table: pl.DataFrame = TABLE, names: list[str] | None = None, train: list[int] | None = None
) -> tuple[Inputs, Encoded]:
    inputs = Inputs()
    rows = np.arange(len(table)) if train is None else np.array(train)
    return inputs, inputs.fit_and_encode(table.lazy(), table.columns if names is None else names, find, rows, MARKED)


def saved_and_loaded(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_same(first: Encoded, second: Encoded) -> None:
    for some, others in zip(first, second, strict=True):
        assert len(some) == len(others)
        for array, other in zip(some, others, strict=True):
            assert_array_equal(array, other)


def test_arrays_lie_side_by_side_in_the_order_of_their_names() -> None:
    inputs, encoded = fitted(names=["colour", "smokes", "age"])
    assert inputs.numeric_names == ["smokes", "age", "age is missing"]
    assert inputs.cardinalities == {"colour": 4}
    ages = StandardScaler().fit_transform([[20.0], [40.0], [30.0]])[:, 0]
    assert_allclose(encoded.numeric, [[1, -1, -1, 1], [*ages[:2], 0, ages[2]], [0, 0, 1, 0]], atol=1e-6)
    assert [array.tolist() for array in encoded.codes] == [[3, 2, 3, 1]]


def test_parts_of_a_date_are_among_the_inputs() -> None:
    inputs, encoded = fitted(names=["born", "colour"])
    assert inputs.numeric_names == ["born time", "born day", "born year sine", "born year cosine"]
    assert inputs.cardinalities == {"born month": 5, "born weekday": 6, "colour": 4}
    assert (len(encoded.numeric), len(encoded.codes)) == (4, 3)


def test_only_training_rows_set_scales_and_levels() -> None:
    wild = pl.DataFrame({"age": [20.0, 40.0, 1e9], "colour": ["red", "red", "violet"]})
    inputs, encoded = fitted(wild, train=[0, 1])
    assert encoded.numeric[0][:2].tolist() == [-1, 1]
    assert encoded.codes[0].tolist() == [2, 2, 0]
    assert inputs.cardinalities == {"colour": 3}


def test_all_rows_are_encoded_in_their_order_whatever_the_order_of_training_rows() -> None:
    assert_same(fitted(train=[3, 1, 0, 2])[1], fitted()[1])


def test_decisions_say_what_became_of_each_column() -> None:
    inputs, _ = fitted()
    assert inputs.decisions == {
        "age": "numeric, some missing; as told",
        "colour": "categorical, 2 levels; as told",
        "smokes": "boolean; as told",
        "born": "date, as numbers (time, day), levels (month, weekday), circles (year); as told",
        "note": "left out: nobody needs it",
    }


def test_decision_without_a_remark_is_the_description() -> None:
    inputs = Inputs()
    inputs.fit_and_encode(TABLE.lazy(), ["age"], lambda _: (make("numeric", "age"), ""), np.arange(4), UNKNOWN)
    assert inputs.decisions == {"age": "numeric, some missing"}


def test_column_left_out_gives_no_input() -> None:
    inputs, encoded = fitted(names=["note", "age"])
    assert [column.name for column in inputs.columns] == ["age"]
    assert len(encoded.numeric) == 2
    assert encoded.codes == []


def test_no_column_that_can_be_an_input_is_refused_with_the_reasons() -> None:
    with pytest.raises(
        InputError,
        match=r"^no column beside the target can be an input \('note' is left out: nobody needs it\): give one$",
    ):
        fitted(names=["note"])


def test_no_column_at_all_is_refused() -> None:
    with pytest.raises(InputError, match=r"can be an input \(there is none\): give one"):
        fitted(names=[])


def test_cell_that_does_not_fit_is_named_with_its_column_and_row() -> None:
    table = TABLE.with_columns(smokes=pl.Series(["yes", "no", "sometimes", "no"]))
    with pytest.raises(InputError, match="column 'smokes' should hold true or false, but its row 3 holds 'sometimes'"):
        fitted(table)


def test_first_of_several_columns_that_do_not_fit_is_named() -> None:
    table = pl.DataFrame({"colour": ["red"], "smokes": ["never"], "age": ["old"], "born": ["long ago"]})
    with pytest.raises(InputError, match="column 'smokes'"):
        fitted(table)


def test_users_own_mark_stands_for_a_missing_cell() -> None:
    inputs, encoded = fitted(pl.DataFrame({"age": ["1", " ? ", "3"], "colour": ["red", "?", "red"]}))
    assert inputs.numeric_names == ["age", "age is missing"]
    assert encoded.numeric[0].tolist() == [-1, 0, 1]
    assert encoded.codes[0].tolist() == [2, 1, 2]


def test_many_columns_keep_their_order() -> None:
    names = [f"c{i}" for i in range(50)]
    table = pl.DataFrame({name: [0.0, i + 1.0] for i, name in enumerate(names)})
    inputs = Inputs()
    encoded = inputs.fit_and_encode(
        table.lazy(), names, lambda cells: (make("numeric", cells.name), ""), np.array([0, 0]), UNKNOWN
    )
    assert inputs.numeric_names == names
    assert [array[1] for array in encoded.numeric] == [i + 1 for i in range(50)]


class TestAnotherTable:
    def test_the_same_rows_are_encoded_the_same(self) -> None:
        inputs, encoded = fitted()
        assert_same(inputs.encode(TABLE.lazy(), MARKED), encoded)

    def test_order_of_columns_does_not_matter(self) -> None:
        inputs, encoded = fitted()
        assert_same(inputs.encode(TABLE.select(reversed(TABLE.columns)).lazy(), MARKED), encoded)

    def test_other_columns_do_not_matter(self) -> None:
        inputs, encoded = fitted()
        table = TABLE.drop("note").with_columns(extra=pl.lit("x"))
        assert_same(inputs.encode(table.lazy(), MARKED), encoded)

    def test_unseen_levels_and_missing_cells_have_their_codes(self) -> None:
        inputs, _ = fitted(names=["age", "colour"])
        table = pl.DataFrame({"age": ["30", "?"], "colour": ["violet", "?"]})
        encoded = inputs.encode(table.lazy(), MARKED)
        assert encoded.codes[0].tolist() == [0, 1]
        assert [array.tolist() for array in encoded.numeric] == [[0, 0], [0, 1]]

    def test_absent_column_is_named_with_those_that_there_are(self) -> None:
        inputs, _ = fitted()
        with pytest.raises(
            InputError,
            match=r"^the column 'colour' .* is missing: add it, or rename the one of .*, color, .* that holds it$",
        ):
            inputs.encode(TABLE.rename({"colour": "color"}).lazy(), UNKNOWN)

    def test_cell_that_does_not_fit_is_named_with_its_column_and_row(self) -> None:
        inputs, _ = fitted()
        table = TABLE.with_columns(age=pl.Series(["1", "2", "3", "old"]))
        with pytest.raises(InputError, match="column 'age' should hold finite numbers, but its row 4 holds 'old'"):
            inputs.encode(table.lazy(), UNKNOWN)


class TestState:
    def test_state_loaded_from_a_file_gives_the_same_encoding(self) -> None:
        inputs, encoded = fitted()
        loaded = Inputs()
        loaded.load_state_dict(saved_and_loaded(inputs.state_dict()), make)
        assert_same(loaded.encode(TABLE.lazy(), MARKED), encoded)
        assert loaded.numeric_names == inputs.numeric_names
        assert loaded.cardinalities == inputs.cardinalities

    def test_state_tells_kinds_and_names(self) -> None:
        state = fitted(names=["born", "note", "age"])[0].state_dict()
        assert [(column["kind"], column["name"]) for column in state] == [("date", "born"), ("numeric", "age")]


class TestReading:
    def test_columns_come_in_the_order_asked_for(self) -> None:
        assert collected(TABLE.lazy(), ["born", "age"]).columns == ["born", "age"]

    def test_rows_are_counted(self) -> None:
        assert num_rows(TABLE.lazy()) == 4
        assert num_rows(TABLE.lazy().head(0)) == 0

    def test_damaged_file_is_refused_with_the_columns(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.parquet"
        pl.DataFrame({"a": np.random.default_rng(0).normal(size=5000)}).write_parquet(path)
        content = bytearray(path.read_bytes())
        content[8:2000] = bytes(1992)
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"^cannot read column 'a': "):
            collected(pl.scan_parquet(path), ["a"])


def test_a_wide_table_is_read_in_parts_whose_columns_stay_apart() -> None:
    generator = np.random.default_rng(0)
    names = [f"c{i}" for i in generator.permutation(450)]
    frame = pl.DataFrame({name: generator.normal(int(name[1:]), 0.1, 12) for name in names})
    frame = frame.with_columns(pl.col(names[7]).cast(pl.String))
    inputs = Inputs()
    find = lambda cells: (NumericColumn(cells.name, "standard"), "")  # noqa: E731
    inputs.fit_and_encode(frame.lazy(), names[::-1], find, np.arange(12), UNKNOWN)
    assert [column.name for column in inputs.columns] == names[::-1]
    assert all(round(column.scaling.mean) == int(column.name[1:]) for column in inputs.columns)


def test_inputs_have_different_names_where_a_part_of_a_date_is_called_as_a_column() -> None:
    days = pl.Series([f"2024-{i % 12 + 1:02}-01" for i in range(40)]).str.to_date()
    frame = pl.DataFrame({"when": days, "when month": ["a", "b"] * 20})
    columns = {"when": DateColumn("when", "standard"), "when month": CategoricalColumn("when month")}
    inputs = Inputs()
    encoded = inputs.fit_and_encode(
        frame.lazy(), list(columns), lambda cells: (columns[cells.name], ""), np.arange(40), UNKNOWN
    )
    assert list(inputs.cardinalities) == ["when month", "when weekday", "when month (2)"]
    assert list(inputs.cardinalities.values()) == [14, 9, 4]
    assert len(encoded.codes) == 3
