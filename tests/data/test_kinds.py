from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from litmlp.data.cells import dictionary_coded
from litmlp.data.kinds import FEWEST_ROWS, LEFT_OUT, Kind, kind_of

COLOURS = ["red", "green", "blue"] * 10
NAMES_OF_IDENTIFIERS = [
    *("id", "ID", "user_id", "order id", "Row-Id", "my.index", "userId", "CustomerID", "uuid", "idx", "row"),
    *("", "Unnamed: 0", "unnamed:3"),
]


def kind(*cells: object, name: str = "a", missing_values: tuple[str, ...] = ()) -> Kind:
    return kind_of(pl.Series(name, list(cells), strict=False), list(missing_values))


def is_identifier(cells: pl.Series) -> bool:
    guess = kind_of(cells, [])
    return guess.name == LEFT_OUT and guess.reason.startswith("it looks like an identifier")


def reason_to_leave_out(guess: Kind) -> str:
    assert guess.name == LEFT_OUT
    return guess.reason


class TestKindsOfCells:
    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            ([1, 2, None], "numeric"),
            ([0.5, 1.5], "numeric"),
            ([Decimal("0.5"), Decimal("1.5")], "numeric"),
            ([time(1), time(2)], "numeric"),
            ([timedelta(1), timedelta(2)], "numeric"),
            ([True, False], "boolean"),
            ([date(2021, 3, 4), date(2021, 3, 5)], "date"),
            ([datetime(2021, 3, 4), None, datetime(2021, 3, 5)], "date"),
            (["red", "blue", None], "categorical"),
        ],
    )
    def test_kind_follows_the_type(self, cells: list, expected: str) -> None:
        assert kind(*cells) == Kind(expected)

    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            (["1", "2.5", "-1e3"], Kind("numeric", written="plain")),
            (["$1,200", "$3"], Kind("numeric", written="1,234.5")),
            (["45 %", "5 %"], Kind("numeric", written="1,234.5")),
            (["1.234,5", "5"], Kind("numeric", written="1.234,5")),
            (["2021-03-04", "2021-03-05"], Kind("date", written="%Y-%m-%d")),
            (["04.03.2021 05:06", "05.03.2021 00:00"], Kind("date", written="%d.%m.%Y %H:%M")),
            (["2021-03-04T05:06:07Z", "2021-03-04T05:06:08Z"], Kind("date", written="%Y-%m-%dT%H:%M:%S%.f%#z")),
            (["yes", "NO", "Yes"], Kind("boolean")),
            (["T", "f"], Kind("boolean")),
            (["red", "blue"], Kind("categorical")),
            (["yes", "no", "perhaps"], Kind("categorical")),
            (["no", "nope"], Kind("categorical")),
            (["no", "off"], Kind("categorical")),
            (["10:30", "10:45"], Kind("categorical")),
        ],
    )
    def test_kind_of_text_follows_its_cells(self, cells: list[str], expected: Kind) -> None:
        assert kind(*cells) == expected
        assert kind_of(dictionary_coded(pl.Series("a", cells)), []) == expected

    @pytest.mark.parametrize("cells", [["1", "2"], ["2021-03-04", "2021-03-05"], ["yes", "no"], ["red", "blue"]])
    def test_missing_cells_do_not_change_the_kind(self, cells: list[str]) -> None:
        assert kind(None, " NA ", *cells, "", "?", missing_values=("?",)) == kind(*cells)

    def test_one_cell_far_down_changes_the_kind(self) -> None:
        assert kind(*["1", "2"] * 10_000, "x").name == "categorical"

    def test_an_enumeration_is_categorical(self) -> None:
        assert kind_of(pl.Series("a", ["x", "y"], dtype=pl.Enum(["x", "y", "z"])), []) == Kind("categorical")


class TestWithoutInformation:
    @pytest.mark.parametrize("dtype", [pl.Null, pl.Int64, pl.Float64, pl.String, pl.Date, pl.Boolean])
    def test_column_without_values_is_left_out(self, dtype: pl.DataType) -> None:
        guess = kind_of(pl.Series("a", [None, None], dtype=dtype), [])
        assert reason_to_leave_out(guess) == "it has no values"

    @pytest.mark.parametrize(
        ("cells", "shown"),
        [
            ([7, 7], "7"),
            ([0.5, 0.5], "0.5"),
            ([True, True], "True"),
            ([date(2021, 3, 4)] * 2, "2021-03-04"),
            ([time(1, 2)] * 2, "01:02:00"),
            (["red", "red"], "red"),
            (["red", " red "], "red"),
            (["yes", "yes"], "yes"),
        ],
    )
    def test_column_with_one_value_is_left_out(self, cells: list, shown: str) -> None:
        assert reason_to_leave_out(kind(*cells)) == f"all rows have the same value, {shown}"

    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            ([7, None, 7], "numeric"),
            ([True, None], "boolean"),
            (["red", None], "categorical"),
            (["red", "NA"], "categorical"),
        ],
    )
    def test_column_with_one_value_in_some_of_its_rows_tells_something(self, cells: list, expected: str) -> None:
        assert kind(*cells).name == expected

    @pytest.mark.parametrize(
        ("cells", "shown"),
        [([[1], [2, 3]], "List(Int64)"), ([{"x": 1}, {"x": 2}], "Struct"), ([b"x", b"y"], "Binary")],
    )
    def test_column_of_another_type_is_left_out(self, cells: list, shown: str) -> None:
        assert reason_to_leave_out(kind(*cells)).startswith(f"its cells are of type {shown}")


class TestIdentifiers:
    @pytest.mark.parametrize("name", NAMES_OF_IDENTIFIERS)
    def test_different_whole_numbers_named_so_are_an_identifier(self, name: str) -> None:
        assert is_identifier(pl.Series(name, range(50)))

    @pytest.mark.parametrize(
        "name", ["paid", "width", "valid", "grid", "android", "COVID", "ids", "rows", "idea", "year"]
    )
    def test_different_whole_numbers_named_otherwise_are_numbers(self, name: str) -> None:
        assert kind_of(pl.Series(name, range(50)), []) == Kind("numeric")

    def test_repeating_whole_numbers_are_no_identifier(self) -> None:
        assert kind_of(pl.Series("id", [*range(50), 7]), []) == Kind("numeric")

    def test_different_fractions_are_no_identifier(self) -> None:
        assert kind_of(pl.Series("id", np.random.default_rng(0).normal(size=50)), []) == Kind("numeric")

    @pytest.mark.parametrize(
        "cells", [pl.Series("id", range(FEWEST_ROWS)), pl.Series("a", [f"x{i}" for i in range(FEWEST_ROWS)])]
    )
    def test_few_rows_do_not_tell_an_identifier(self, cells: pl.Series) -> None:
        assert is_identifier(cells)
        assert not is_identifier(cells[1:])

    def test_different_texts_are_an_identifier(self) -> None:
        guess = kind(*(f"person {i}" for i in range(50)))
        assert reason_to_leave_out(guess) == "it looks like an identifier: (nearly) each row has another text"

    def test_a_few_repetitions_do_not_hide_an_identifier(self) -> None:
        assert is_identifier(pl.Series("a", [*(f"x{i}" for i in range(97)), "x0", "x1", "x2"]))

    def test_missing_cells_do_not_hide_an_identifier(self) -> None:
        assert is_identifier(pl.Series("a", [*(f"x{i}" for i in range(50)), *[None] * 50]))

    @pytest.mark.parametrize("name", ["a", "id"])
    def test_repeating_texts_are_no_identifier(self, name: str) -> None:
        assert kind_of(pl.Series(name, [f"x{i // 2}" for i in range(100)]), []) == Kind("categorical")

    def test_different_dates_are_no_identifier(self) -> None:
        texts = [f"2021-03-{day:02}" for day in range(1, 31)]
        assert kind_of(pl.Series("a", texts), []) == Kind("date", written="%Y-%m-%d")


class TestDoubt:
    def test_one_odd_cell_among_numbers_is_named_with_its_row(self) -> None:
        guess = kind(*["1", "2", "3", "4", "5", "6"] * 5, " ? ", "?")
        assert guess.name == "categorical"
        assert guess.reason == (
            "most of its levels are numbers, but row 31 holds '?': if that stands for a missing cell, add it to "
            "data.missing_values"
        )

    def test_the_same_cell_among_the_missing_values_leaves_no_doubt(self) -> None:
        cells = ["1", "2", "3", "4", "5", "6"] * 5
        assert kind(*cells, "?", missing_values=("?",)) == Kind("numeric", written="plain")

    def test_a_few_numbers_among_words_raise_no_doubt(self) -> None:
        assert kind(*COLOURS, "1", "2") == Kind("categorical")
