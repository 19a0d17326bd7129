from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from litmlp.data.amounts import Unit
from litmlp.data.cells import (
    Levels,
    Numbers,
    as_booleans,
    as_dates,
    as_levels,
    as_numbers,
    dictionary_coded,
    is_text,
)
from litmlp.data.notation import MARKS, UNKNOWN, Notation, with_marks
from litmlp.errors import InputError

COMMA = UNKNOWN._replace(decimal=",")
MOMENT = datetime(2021, 3, 4, 5, 6, 7)


def series(*cells: object) -> pl.Series:
    return pl.Series("a", list(cells), strict=False)


def listed(numbers: Numbers) -> list[float | None]:
    is_missing = np.zeros(len(numbers.values), dtype=bool) if numbers.is_missing is None else numbers.is_missing
    return [None if gap else value for value, gap in zip(numbers.values.tolist(), is_missing, strict=True)]


def names_of_rows(levels: Levels) -> list[str | None]:
    return [levels.names[code] if code >= 0 else None for code in levels.codes.tolist()]


def marked(*marks: str) -> Notation:
    return with_marks(UNKNOWN, ["default", *marks])


def dates(*cells: object, notation: Notation = UNKNOWN) -> list[datetime | None]:
    return as_dates(series(*cells), notation).to_list()


class TestNumbers:
    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            ([1, 2, -3], [1.0, 2.0, -3.0]),
            ([1, None, 3], [1.0, None, 3.0]),
            ([1.5, -2.0], [1.5, -2.0]),
            ([1.5, None], [1.5, None]),
            ([1.5, float("nan")], [1.5, None]),
            ([float("nan"), None], [None, None]),
            (["1e2", None, "-3", "+4", ".5"], [100.0, None, -3.0, 4.0, 0.5]),
            ([True, False, None], [1.0, 0.0, None]),
            ([True, False], [1.0, 0.0]),
        ],
    )
    def test_cells_of_any_type_become_numbers(self, cells: list, expected: list) -> None:
        assert listed(as_numbers(series(*cells), UNKNOWN)) == expected

    def test_numbers_have_double_precision(self) -> None:
        assert as_numbers(series("0.1", "1000000000.1"), UNKNOWN).values.tolist() == [0.1, 1000000000.1]

    @pytest.mark.parametrize("cells", [[1, 2], [1.0, 2.0], ["1", "2"], [True, False]])
    def test_no_missing_cell_means_no_mask(self, cells: list) -> None:
        assert as_numbers(series(*cells), UNKNOWN).is_missing is None

    @pytest.mark.parametrize("cells", [[1, None], [1.0, float("nan")], ["1", "NA"], [True, None]])
    def test_missing_number_is_0_and_masked(self, cells: list) -> None:
        numbers = as_numbers(series(*cells), UNKNOWN)
        assert numbers.values.tolist() == [1.0, 0.0]
        assert numbers.is_missing is not None
        assert numbers.is_missing.tolist() == [False, True]

    def test_present_values_are_those_of_the_rows_that_are_not_missing(self) -> None:
        numbers = as_numbers(series(5, None, 7, 8), UNKNOWN)
        assert numbers.present(np.array([3, 1, 0])).tolist() == [8.0, 5.0]
        assert as_numbers(series(5, 6), UNKNOWN).present(np.array([1])).tolist() == [6.0]

    @pytest.mark.parametrize("mark", MARKS)
    def test_mark_of_a_missing_cell_may_have_blanks_around(self, mark: str) -> None:
        assert listed(as_numbers(series("1", mark, f" {mark}\t"), UNKNOWN)) == [1.0, None, None]

    def test_users_own_mark_stands_for_a_missing_cell(self) -> None:
        assert listed(as_numbers(series("1", "?", " ? ", "-"), marked("?", "-"))) == [1.0, None, None, None]

    def test_users_own_mark_may_look_like_a_number(self) -> None:
        numbers = as_numbers(series("1", "-999"), marked("-999"))
        assert listed(numbers) == [1.0, None]
        assert numbers.values.tolist() == [1.0, 0.0]

    def test_number_may_have_blanks_around(self) -> None:
        assert listed(as_numbers(series(" 1", "2\t"), UNKNOWN)) == [1.0, 2.0]

    def test_duration_is_seconds(self) -> None:
        cells = [timedelta(days=1, seconds=2), timedelta(seconds=-1.5), None]
        assert listed(as_numbers(series(*cells), UNKNOWN)) == [86402.0, -1.5, None]

    @pytest.mark.parametrize("unit", ["ms", "us", "ns"])
    def test_duration_is_seconds_in_any_unit(self, unit: str) -> None:
        cells = pl.Series("a", [timedelta(seconds=-1.5)], dtype=pl.Duration(unit))
        assert listed(as_numbers(cells, UNKNOWN)) == [-1.5]

    def test_time_of_day_is_seconds(self) -> None:
        assert listed(as_numbers(series(time(1, 2, 3, 500_000), None), UNKNOWN)) == [pytest.approx(3723.5), None]

    def test_date_is_seconds_since_1970(self) -> None:
        assert listed(as_numbers(series(date(1969, 12, 31), None), UNKNOWN)) == [-86400.0, None]
        assert listed(as_numbers(series(MOMENT), UNKNOWN)) == [MOMENT.replace(tzinfo=UTC).timestamp()]

    @pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.Int64, pl.UInt64, pl.Float32, pl.Float64])
    def test_width_of_numbers_does_not_matter(self, dtype: type[pl.DataType]) -> None:
        assert listed(as_numbers(pl.Series("a", [3, None, 100], dtype=dtype), UNKNOWN)) == [3.0, None, 100.0]

    def test_text_that_is_kept_once_a_level_reads_the_same(self) -> None:
        cells = series("1,5", " NA ", "-2,25", None, "1,5")
        assert listed(as_numbers(dictionary_coded(cells), COMMA)) == listed(as_numbers(cells, COMMA))

    def test_no_cells_give_no_numbers(self) -> None:
        assert as_numbers(pl.Series("a", [], dtype=pl.String), UNKNOWN).values.shape == (0,)

    def test_cell_that_is_no_number_is_named_with_its_column_and_row(self) -> None:
        with pytest.raises(
            InputError, match=r"^column 'age' should hold finite numbers, but its row 3 holds 'old': correct"
        ):
            as_numbers(pl.Series("age", ["1", None, "old", "older"]), UNKNOWN)

    @pytest.mark.parametrize(
        ("cells", "shown"),
        [
            ([1.0, float("nan"), float("inf")], "inf"),
            ([None, 1.0, -float("inf")], "-inf"),
            ([1.0, 2.0, float("inf")], "inf"),
            (["1", "nan", "inf"], "'inf'"),
            (["1", "nan", "nAn"], "'nAn'"),
        ],
    )
    def test_cell_that_is_not_finite_is_refused(self, cells: list, shown: str) -> None:
        with pytest.raises(InputError, match=f"column 'age' should hold finite numbers, but its row 3 holds {shown}:"):
            as_numbers(pl.Series("age", cells), UNKNOWN)

    def test_mark_of_another_user_is_no_number(self) -> None:
        with pytest.raises(InputError, match=r"its row 2 holds '\?'"):
            as_numbers(series("1", "?"), with_marks(UNKNOWN, ["-"]))


class TestAmounts:
    @pytest.mark.parametrize(
        ("cell", "decimal", "number", "unit"),
        [
            ("12", ".", 12.0, ("", "")),
            ("-1.5e3", ".", -1500.0, ("", "")),
            ("1,234.5", ".", 1234.5, ("", "")),
            ("-1,234,567", ".", -1234567.0, ("", "")),
            ("12,34,567.5", ".", 1234567.5, ("", "")),
            ("$1,200", ".", 1200.0, ("$", "")),
            ("-$1,200.50", ".", -1200.5, ("$", "")),
            ("$-5", ".", -5.0, ("$", "")),
            ("£ 3", ".", 3.0, ("£", "")),
            ("45 %", ".", 45.0, ("", "%")),
            ("+4.5%", ".", 4.5, ("", "%")),
            (" 1,200 ", ".", 1200.0, ("", "")),
            ("(1,234)", ".", -1234.0, ("", "")),
            ("4630-", ".", -4630.0, ("", "")),
            ("\u22125.2", ".", -5.2, ("", "")),
            ("37'400.46", ".", 37400.46, ("", "")),
            ("37.40 kg", ".", 37.4, ("", "kg")),
            ("37.4K", ".", 37400.0, ("", "K/M/B")),
            ("€110.5M", ".", 110.5e6, ("€", "K/M/B")),
            ("5.955", ".", 5.955, ("", "")),
            ("1.234,5", ",", 1234.5, ("", "")),
            ("-1.234.567", ",", -1234567.0, ("", "")),
            ("0,25", ",", 0.25, ("", "")),
            ("5,955", ",", 5.955, ("", "")),
            ("1.200,50 €", ",", 1200.5, ("", "€")),
            ("45,5 %", ",", 45.5, ("", "%")),
            ("37 400,46", ",", 37400.46, ("", "")),
            ("37\u202f400,46", ",", 37400.46, ("", "")),
            ("R$ 5,10", ",", 5.1, ("R$", "")),
        ],
    )
    def test_number_and_unit_are_read(self, cell: str, decimal: str, number: float, unit: tuple[str, str]) -> None:
        numbers = as_numbers(series(cell), UNKNOWN._replace(decimal=decimal))
        assert listed(numbers) == [pytest.approx(number, rel=1e-15)]
        assert numbers.unit == unit

    @pytest.mark.parametrize(
        "cell",
        ["12,34.5", "1,234,5", "1.23.4", "5 5", "five", "1-2", "$", "%", "1 2 %", "10:30", "(5", "--5", "-5-", "B12"],
    )
    def test_what_nobody_writes_is_no_number(self, cell: str) -> None:
        with pytest.raises(InputError, match="should hold finite numbers"):
            as_numbers(series(cell), UNKNOWN)

    def test_the_mark_of_thousands_can_be_given(self) -> None:
        assert listed(as_numbers(series("1'000", "2"), UNKNOWN._replace(thousands="'"))) == [1000.0, 2.0]
        with pytest.raises(InputError, match="row 1 holds '1,000'"):
            as_numbers(series("1,000"), UNKNOWN._replace(thousands="'"))
        with pytest.raises(InputError, match="row 1 holds '1,000'"):
            as_numbers(series("1,000"), UNKNOWN._replace(thousands=""))

    def test_missing_cells_have_any_style(self) -> None:
        assert listed(as_numbers(series("NA", "1,200", "", None, " ? "), UNKNOWN)) == [None, 1200.0, None, None, None]

    def test_cell_of_another_style_is_named(self) -> None:
        with pytest.raises(InputError, match=r"column 'a' should hold finite numbers, but its row 2 holds '1\.234,5'"):
            as_numbers(series("1,234.5", "1.234,5"), UNKNOWN)

    def test_two_units_are_refused_and_shown(self) -> None:
        with pytest.raises(
            InputError, match="column 'a' have different units, as in '5 kg' and '3 g': write them in one"
        ):
            as_numbers(series("5 kg", "4", "3 g"), UNKNOWN)

    def test_another_unit_than_before_is_named(self) -> None:
        with pytest.raises(InputError, match="should hold finite numbers with kg, but its row 2 holds '3 g'"):
            as_numbers(series("5 kg", "3 g"), UNKNOWN, unit=Unit(suffix="kg"))


class TestBooleans:
    @pytest.mark.parametrize(
        "word", ["true", "True", "TRUE", "yes", "Yes", "t", "T", "y", "on", "On", "1", "1.0", " y "]
    )
    def test_words_for_true_are_1_in_any_case(self, word: str) -> None:
        assert listed(as_booleans(series(word), UNKNOWN)) == [1.0]

    @pytest.mark.parametrize("word", ["false", "False", "FALSE", "no", "nO", "f", "F", "n", "off", "0", "0.0", "\tno"])
    def test_words_for_false_are_0_in_any_case(self, word: str) -> None:
        assert listed(as_booleans(series(word), UNKNOWN)) == [0.0]

    @pytest.mark.parametrize("cells", [[True, False, None], [1, 0, None], [1.0, 0.0, float("nan")], ["y", "n", "NA"]])
    def test_type_of_truth_values_does_not_matter(self, cells: list) -> None:
        assert listed(as_booleans(series(*cells), UNKNOWN)) == [1.0, 0.0, None]

    def test_no_missing_truth_value_means_no_mask(self) -> None:
        assert as_booleans(series("yes", "no"), UNKNOWN).is_missing is None

    def test_missing_truth_value_is_0_and_masked(self) -> None:
        booleans = as_booleans(series("yes", " ? ", None), marked("?"))
        assert booleans.values.tolist() == [1.0, 0.0, 0.0]
        assert booleans.is_missing is not None
        assert booleans.is_missing.tolist() == [False, True, True]

    def test_cell_that_is_neither_true_nor_false_is_named_with_its_column_and_row(self) -> None:
        with pytest.raises(
            InputError, match=r"^column 'smoker' should hold true or false, but its row 3 holds 'maybe': correct"
        ):
            as_booleans(pl.Series("smoker", ["yes", None, "maybe", "perhaps"]), UNKNOWN)

    def test_other_number_is_neither_true_nor_false(self) -> None:
        with pytest.raises(InputError, match="its row 2 holds 2:"):
            as_booleans(series(1, 2), UNKNOWN)


class TestLevels:
    @pytest.mark.parametrize("cells", [[1, 2, None], [1.0, 2.0, None], [1.0, 2.0, float("nan")], ["1", "2.00", None]])
    def test_the_same_level_has_the_same_name_whatever_its_type(self, cells: list) -> None:
        assert names_of_rows(as_levels(series(*cells), UNKNOWN)) == ["1", "2", None]

    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            ([1.5, 2.0], ["1.5", "2"]),
            ([True, False], ["true", "false"]),
            (["1.05", "1.50"], ["1.05", "1.50"]),
            (["007", "7"], ["007", "7"]),
            (["Red", "red"], ["Red", "red"]),
            (["a b", "v1.0"], ["a b", "v1.0"]),
        ],
    )
    def test_other_levels_keep_their_text(self, cells: list, expected: list[str]) -> None:
        assert names_of_rows(as_levels(series(*cells), UNKNOWN)) == expected

    def test_blanks_around_a_level_do_not_count(self) -> None:
        levels = as_levels(series("a", " a", "a\t", "b"), UNKNOWN)
        assert sorted(levels.names) == ["a", "b"]
        assert names_of_rows(levels) == ["a", "a", "a", "b"]

    def test_1_and_1_point_0_are_one_level(self) -> None:
        levels = as_levels(series("1", "1.0", "1.00", "x"), UNKNOWN)
        assert sorted(levels.names) == ["1", "x"]
        assert names_of_rows(levels) == ["1", "1", "1", "x"]

    @pytest.mark.parametrize("mark", MARKS)
    def test_marks_of_missing_cells_are_no_levels(self, mark: str) -> None:
        levels = as_levels(series("a", mark, f" {mark} ", None), UNKNOWN)
        assert levels.names == ["a"]
        assert levels.codes.tolist() == [0, -1, -1, -1]

    def test_users_own_mark_is_no_level(self) -> None:
        assert names_of_rows(as_levels(series("a", "?", " ? ", "-9"), marked("?", "-9"))) == ["a", None, None, None]

    def test_users_own_mark_applies_to_numbers_as_levels(self) -> None:
        assert names_of_rows(as_levels(series(1, -9), marked("-9"))) == ["1", None]

    def test_all_cells_missing_give_no_levels(self) -> None:
        levels = as_levels(series("", None, " "), UNKNOWN)
        assert levels.names == []
        assert levels.codes.tolist() == [-1, -1, -1]

    def test_cells_without_a_type_give_no_levels(self) -> None:
        assert as_levels(series(None, None), UNKNOWN).codes.tolist() == [-1, -1]

    def test_rows_keep_their_level_among_thousands(self) -> None:
        rows = [f"level {number}" for number in np.random.default_rng(0).integers(0, 5000, 20_000)]
        levels = as_levels(series(*rows), UNKNOWN)
        assert names_of_rows(levels) == rows
        assert sorted(levels.names) == sorted(set(rows))

    @pytest.mark.parametrize(
        "dtype",
        [pl.Categorical(), pl.Enum(["b", "unused", "a"]), pl.Categorical(pl.Categories("few", physical=pl.UInt8))],
    )
    def test_text_that_is_kept_once_a_level_reads_the_same(self, dtype: pl.DataType) -> None:
        levels = as_levels(pl.Series("x", ["a", None, "b", "a"], dtype=dtype), UNKNOWN)
        assert sorted(levels.names) == ["a", "b"]
        assert names_of_rows(levels) == ["a", None, "b", "a"]

    def test_levels_of_other_rows_are_none_of_these_rows(self) -> None:
        levels = as_levels(dictionary_coded(series("x", "y", "b", None, "a", "z"))[2:5], UNKNOWN)
        assert sorted(levels.names) == ["a", "b"]
        assert names_of_rows(levels) == ["b", None, "a"]


class TestDates:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2021-03-04 05:06:07.25", MOMENT.replace(microsecond=250_000)),
            ("2021-03-04T05:06:07.000001", MOMENT.replace(microsecond=1)),
            ("2021-3-4", datetime(2021, 3, 4)),
            ("4.3.2021 05:06", datetime(2021, 3, 4, 5, 6)),
            ("29.02.2020", datetime(2020, 2, 29)),
            ("1000-01-01", datetime(1000, 1, 1)),
            ("9999-12-31", datetime(9999, 12, 31)),
            ("1969-12-31 23:59:59.5", datetime(1969, 12, 31, 23, 59, 59, 500_000)),
        ],
    )
    def test_date_by_hand(self, text: str, moment: datetime) -> None:
        assert dates(text) == [moment]

    @pytest.mark.parametrize("offset", ["Z", "+00:00", "+02:00", "-0530", "+14:00", "-05"])
    @pytest.mark.parametrize("between", [" ", "T"])
    def test_time_zone_is_taken_into_account(self, offset: str, between: str) -> None:
        text = f"2021-03-04{between}05:06:07{offset}"
        assert dates(text) == [datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)]

    def test_rows_may_be_in_different_time_zones(self) -> None:
        assert dates("2021-03-04T12:00:00+02:00", "2021-03-04T12:00:00-03:00") == [
            datetime(2021, 3, 4, 10),
            datetime(2021, 3, 4, 15),
        ]

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
    @pytest.mark.parametrize("month", [1, 7])
    def test_typed_moment_with_a_time_zone_becomes_utc(self, zone: str, month: int) -> None:
        moment = datetime(2021, month, 4, 22, 30)
        cells = series(moment).dt.replace_time_zone(zone)
        expected = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
        assert as_dates(cells, [], UNKNOWN).to_list() == [expected]

    @pytest.mark.parametrize("unit", ["ms", "us", "ns"])
    def test_typed_moment_stays_in_any_unit(self, unit: str) -> None:
        moments = [MOMENT, None, datetime(1969, 12, 31, 23, 59, 59, 500_000)]
        assert as_dates(pl.Series("a", moments, dtype=pl.Datetime(unit)), [], UNKNOWN).to_list() == moments

    def test_typed_date_is_its_midnight(self) -> None:
        assert dates(date(1969, 7, 20), None) == [datetime(1969, 7, 20), None]

    def test_moments_are_microseconds_without_a_time_zone(self) -> None:
        for cells in [series("2021-03-04"), series("2021-03-04 10:00:00Z"), series(date(2021, 3, 4))]:
            assert as_dates(cells, UNKNOWN).dtype == pl.Datetime("us")

    def test_missing_date_is_null(self) -> None:
        assert dates("2021-03-04", None, " NA ", "", "!", notation=marked("!")) == [datetime(2021, 3, 4), *[None] * 4]

    @pytest.mark.parametrize("cells", [["", None, "NA"], [None, None]])
    def test_all_dates_may_be_missing(self, cells: list) -> None:
        assert dates(*cells) == [None] * len(cells)

    def test_date_may_have_blanks_around(self) -> None:
        assert dates(" 2021-03-04", "2021-03-05\t") == [datetime(2021, 3, 4), datetime(2021, 3, 5)]

    def test_day_above_12_tells_the_order_of_day_and_month(self) -> None:
        assert dates("01/02/2021", "01/31/2021") == [datetime(2021, 1, 2), datetime(2021, 1, 31)]
        assert dates("01/02/2021", "31/01/2021") == [datetime(2021, 2, 1), datetime(2021, 1, 31)]

    def test_the_given_format_is_the_only_one(self) -> None:
        assert as_dates(series("01/02/2021"), UNKNOWN, "%d/%m/%Y").to_list() == [datetime(2021, 2, 1)]
        with pytest.raises(InputError, match="written like %d/%m/%Y, but its row 1 holds '2021-02-01'"):
            as_dates(series("2021-02-01"), UNKNOWN, "%d/%m/%Y")

    def test_text_that_is_kept_once_a_level_reads_the_same(self) -> None:
        cells = series("04.03.2021", None, " NA", "04.03.2021")
        assert as_dates(dictionary_coded(cells), UNKNOWN).to_list() == [
            datetime(2021, 3, 4),
            None,
            None,
            datetime(2021, 3, 4),
        ]

    @pytest.mark.parametrize("odd", ["2021-02-29", "2021-13-01", "04.03.2021", "soon", "2021-03-04 25:00:00"])
    def test_cell_that_is_no_date_is_named_with_its_column_and_row(self, odd: str) -> None:
        with pytest.raises(
            InputError, match=f"^column 'born' should hold dates, written like %Y-%m-%d, but its row 3 holds '{odd}': "
        ):
            as_dates(pl.Series("born", ["2021-03-04", None, odd, "2021-03-05"]), UNKNOWN)

    def test_cell_named_is_the_first_that_fails_in_the_format_that_fits_most(self) -> None:
        with pytest.raises(InputError, match="its row 4 holds 'x'"):
            dates("04.03.2021", "05.03.2021", "31.03.2021", "x")


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(pl.String, True), (pl.Categorical, True), (pl.Enum(["a"]), True), (pl.Int64, False), (pl.Boolean, False)],
)
def test_text_is_known_by_its_type(dtype: pl.DataType, expected: bool) -> None:
    assert is_text(pl.Series("a", [None], dtype=dtype)) is expected


def test_dictionary_coded_cells_keep_their_name_and_text() -> None:
    cells = pl.Series("colour", ["red", None, "blue", "red"])
    coded = dictionary_coded(cells)
    assert coded.name == "colour"
    assert coded.cast(pl.String).to_list() == cells.to_list()
    assert dictionary_coded(coded) is coded


@pytest.mark.parametrize("unit", ["ms", "us"])
def test_a_moment_of_no_calendar_is_a_sentence(unit: str) -> None:
    for number in (2**63 - 1, -(2**63) + 1):
        moments = pl.Series("when", [0, number]).cast(pl.Datetime(unit))
        with pytest.raises(InputError, match="'when' holds a date outside the years 1 to 9999 in its row 2"):
            as_dates(moments, [], UNKNOWN)
        with pytest.raises(InputError, match="'when' holds a date outside the years 1 to 9999 in its row 2"):
            as_levels(moments, UNKNOWN)


def test_days_and_moments_are_levels_too() -> None:
    days = pl.Series("day", [0, 1, None, 0], dtype=pl.Int32).cast(pl.Date)
    assert as_levels(days, UNKNOWN).names == ["1970-01-01", "1970-01-02"]
    moments = pl.Series("when", [0, 1_500], dtype=pl.Int64).cast(pl.Datetime("ms", "Asia/Tokyo"))
    assert as_levels(moments, UNKNOWN).names == ["1970-01-01 00:00:00.000000", "1970-01-01 00:00:01.500000"]
