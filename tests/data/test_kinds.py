from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from litmlp.data.cells import dictionary_coded
from litmlp.data.kinds import LEFT_OUT, MIN_ROWS, Kind, kind_of
from litmlp.data.notation import UNKNOWN, Notation, with_marks

COLOURS = ["red", "green", "blue"] * 10
NAMES_OF_IDENTIFIERS = [
    *("id", "ID", "user_id", "order id", "Row-Id", "my.index", "userId", "CustomerID", "uuid", "idx", "row"),
    *("", "Unnamed: 0", "unnamed:3"),
]


def kind(*cells: object, name: str = "a", notation: Notation = UNKNOWN) -> Kind:
    return kind_of(pl.Series(name, list(cells), strict=False), notation)


def is_identifier(cells: pl.Series) -> bool:
    guess = kind_of(cells, UNKNOWN)
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
            (["1", "2.5", "-1e3"], Kind("numeric")),
            (["$1,200", "$3"], Kind("numeric")),
            (["45 %", "5 %"], Kind("numeric")),
            (["1.234,5", "5"], Kind("categorical")),
            (["2021-03-04", "2021-03-05"], Kind("date", date_format="%Y-%m-%d")),
            (["04.03.2021 05:06", "05.03.2021 00:00"], Kind("date", date_format="%d.%m.%Y %H:%M")),
            (["2021-03-04T05:06:07Z", "2021-03-04T05:06:08Z"], Kind("date", date_format="%Y-%m-%dT%H:%M:%S")),
            (["yes", "NO", "Yes"], Kind("boolean")),
            (["T", "f"], Kind("boolean")),
            (["red", "blue"], Kind("categorical")),
            (["yes", "no", "perhaps"], Kind("categorical")),
            (["no", "nope"], Kind("categorical")),
            (["no", "off"], Kind("categorical")),
            (["10:30", "10:45"], Kind("date", date_format="%H:%M")),
            (["5 kg", "3 g"], Kind("categorical", "its numbers have different units: write them in one")),
        ],
    )
    def test_kind_of_text_follows_its_cells(self, cells: list[str], expected: Kind) -> None:
        assert kind(*cells) == expected
        assert kind_of(dictionary_coded(pl.Series("a", cells)), UNKNOWN) == expected

    @pytest.mark.parametrize("cells", [["1", "2"], ["2021-03-04", "2021-03-05"], ["yes", "no"], ["red", "blue"]])
    def test_missing_cells_do_not_change_the_kind(self, cells: list[str]) -> None:
        assert (
            kind(None, " NA ", *cells, "", "?", notation=with_marks(UNKNOWN, ["default", "?"])).name
            == kind(*cells).name
        )

    def test_one_cell_far_down_changes_nothing_and_is_named(self) -> None:
        said = "row 20001 holds 'x', which is taken for a missing cell"
        assert kind(*["1", "2"] * 10_000, "x") == Kind("numeric", said, absent=("x",))
        days = [f"2021-03-{day:02}" for day in range(1, 31)]
        said = "row 31 holds 'Total', which is taken for a missing cell"
        assert kind(*days, "Total") == Kind("date", said, "%Y-%m-%d", ("Total",))

    def test_one_number_that_is_not_finite_changes_nothing_and_is_named(self) -> None:
        said = "row 3 holds inf, which is taken for a missing cell"
        assert kind(1.5, 2.5, float("inf"), *np.arange(30.0)) == Kind("numeric", said, absent=("inf",))

    def test_a_word_that_often_stands_among_numbers_is_a_missing_cell(self) -> None:
        cells = [str(i) if i % 3 else "unknown" for i in range(60)]
        said = "row 1 holds 'unknown' (and 19 other rows hold such a cell), which is taken for a missing cell"
        assert kind(*cells) == Kind("numeric", said, absent=("unknown",))

    def test_marks_of_levels_are_told(self) -> None:
        told = "'NA' marks missing cells: if it is a level, add data.missing_values=[]"
        assert kind("a", "b", "NA") == Kind("categorical", told)
        told = "'NA' is a level: if it marks missing cells, add data.missing_values=[default]"
        assert kind("a", "b", "NA", notation=UNKNOWN._replace(level_marks=("",))) == Kind("categorical", told)

    def test_day_and_month_that_nothing_tells_apart_are_told(self) -> None:
        told = "its dates also fit %d/%m/%Y: if that is right, add data.date_format='%d/%m/%Y'"
        assert kind("03/04/2014", "05/06/2014") == Kind("date", told, "%m/%d/%Y")
        day_first = UNKNOWN._replace(day_first=True)
        assert kind("03/04/2014", "05/06/2014", notation=day_first) == Kind("date", date_format="%d/%m/%Y")

    def test_codes_that_begin_with_zeros_are_told(self) -> None:
        told = "its numbers begin with zeros, as codes do: if they are amounts, add the column to data.numeric"
        assert kind("01000", "99999") == Kind("categorical", told)
        told = "'007.1' begins with a zero, as codes do: if it is one, add the column to data.categorical"
        assert kind("007.1", "38.11") == Kind("numeric", told)

    def test_dates_among_which_some_are_written_otherwise_are_told(self) -> None:
        told = "many of its levels are dates, written like %d/%m/%Y, but row 3 holds '2014-05-02'"
        assert kind("18/04/1995", "16/09/2005", "2014-05-02", "30/11/2001") == Kind("categorical", told)

    def test_an_enumeration_is_categorical(self) -> None:
        assert kind_of(pl.Series("a", ["x", "y"], dtype=pl.Enum(["x", "y", "z"])), UNKNOWN) == Kind("categorical")


class TestWithoutInformation:
    @pytest.mark.parametrize("dtype", [pl.Null, pl.Int64, pl.Float64, pl.String, pl.Date, pl.Boolean])
    def test_column_without_values_is_left_out(self, dtype: pl.DataType) -> None:
        guess = kind_of(pl.Series("a", [None, None], dtype=dtype), UNKNOWN)
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
        assert kind_of(pl.Series(name, range(50)), UNKNOWN) == Kind("numeric")

    def test_repeating_whole_numbers_are_no_identifier(self) -> None:
        assert kind_of(pl.Series("id", [*range(50), 7]), UNKNOWN) == Kind("numeric")

    def test_different_fractions_are_no_identifier(self) -> None:
        assert kind_of(pl.Series("id", np.random.default_rng(0).normal(size=50)), UNKNOWN) == Kind("numeric")

    @pytest.mark.parametrize(
        "cells", [pl.Series("id", range(MIN_ROWS)), pl.Series("a", [f"x{i}" for i in range(MIN_ROWS)])]
    )
    def test_few_rows_do_not_tell_an_identifier(self, cells: pl.Series) -> None:
        assert is_identifier(cells)
        assert not is_identifier(cells[1:])

    def test_different_texts_are_an_identifier(self) -> None:
        guess = kind(*(f"person {i}" for i in range(50)))
        assert reason_to_leave_out(guess) == "it looks like an identifier: (nearly) each row has a different text"

    def test_a_few_repetitions_do_not_hide_an_identifier(self) -> None:
        assert is_identifier(pl.Series("a", [*(f"x{i}" for i in range(97)), "x0", "x1", "x2"]))

    def test_missing_cells_do_not_hide_an_identifier(self) -> None:
        assert is_identifier(pl.Series("a", [*(f"x{i}" for i in range(50)), *[None] * 50]))

    @pytest.mark.parametrize("name", ["a", "id"])
    def test_repeating_texts_are_no_identifier(self, name: str) -> None:
        assert kind_of(pl.Series(name, [f"x{i // 2}" for i in range(100)]), UNKNOWN) == Kind("categorical")

    def test_different_dates_are_no_identifier(self) -> None:
        texts = [f"2021-03-{day:02}" for day in range(1, 31)]
        assert kind_of(pl.Series("a", texts), UNKNOWN) == Kind("date", date_format="%Y-%m-%d")


class TestDoubt:
    def test_odd_cells_among_few_numbers_are_named_with_their_row(self) -> None:
        guess = kind(*["1", "2", "3", "4", "5", "6"] * 5, " x ", " x ")
        assert guess.name == "categorical"
        assert guess.reason == (
            "most of its levels are numbers, but row 31 holds ' x ': if that stands for a missing cell, add it to "
            "data.missing_values"
        )

    @pytest.mark.parametrize("mark", ["?", "-", "None", "#DIV/0!", "."])
    def test_usual_marks_leave_no_doubt(self, mark: str) -> None:
        assert kind(*["1", "2", "3", "4", "5", "6"] * 5, f" {mark} ", mark) == Kind("numeric")

    def test_the_same_cell_among_the_missing_values_leaves_no_doubt(self) -> None:
        cells = ["1", "2", "3", "4", "5", "6"] * 5
        assert kind(*cells, "x", "x", notation=with_marks(UNKNOWN, ["x"])) == Kind("numeric")

    def test_a_few_numbers_among_words_raise_no_doubt(self) -> None:
        assert kind(*COLOURS, "1", "2") == Kind("categorical")
