import calendar
import io
import math
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import RobustScaler, StandardScaler

from litmlp.data.cells import dictionary_coded
from litmlp.data.columns import (
    BooleanColumn,
    CategoricalColumn,
    Column,
    DateColumn,
    Encoded,
    NumericColumn,
    base,
)
from litmlp.data.columns.categorical import MISSING, UNSEEN
from litmlp.data.notation import UNKNOWN, Notation
from litmlp.data.scaling import SCALINGS
from litmlp.errors import InputError

NOTATION = UNKNOWN._replace(level_marks=(*UNKNOWN.level_marks, "?"))
COMMA = NOTATION._replace(decimal=",")
DAYS = [date(2020, 1, 1) + timedelta(days=37 * i) for i in range(40)]
YEARS = [datetime(1965, 1, 1) + timedelta(days=7 * i) for i in range(60 * 52)]
YEAR_CIRCLE = ["d year sine", "d year cosine"]
MOMENTS = [datetime(1969, 11, 30, 23) + timedelta(hours=37 * i, minutes=i) for i in range(60)]


def series(*cells: object, dtype: Any = None) -> pl.Series:
    return pl.Series("a", list(cells), dtype=dtype, strict=False)


def fitted(
    column: Column, cells: pl.Series, rows: list[int] | range | None = None, notation: Notation = NOTATION
) -> Column:
    places = np.arange(len(cells)) if rows is None else np.array(rows, dtype=np.int64)
    column.fit(column.parse(cells, notation), places)
    return column


def encoded(column: Column, *cells: object, dtype: Any = None) -> Encoded:
    return column.encode(column.parse(series(*cells, dtype=dtype), NOTATION))


def numbers(column: Column, *cells: object, dtype: Any = None) -> list[list[float]]:
    return [array.tolist() for array in encoded(column, *cells, dtype=dtype).numeric]


def numbers_in(notation: Notation, column: Column, *cells: object) -> list[list[float]]:
    return [array.tolist() for array in column.encode(column.parse(series(*cells), notation)).numeric]


def codes(column: Column, *cells: object, dtype: Any = None) -> list[list[int]]:
    return [array.tolist() for array in encoded(column, *cells, dtype=dtype).codes]


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_same(first: Encoded, second: Encoded) -> None:
    for some, others in zip(first, second, strict=True):
        for array, other in zip(some, others, strict=True):
            assert array.dtype == other.dtype
            assert_array_equal(array, other)


class TestNumeric:
    def test_standardisation_equals_scikit_learn(self) -> None:
        train, other = np.random.default_rng(0).normal(50, 20, (2, 200))
        expected = StandardScaler().fit(train[:, None]).transform(other[:, None])[:, 0]
        column = fitted(NumericColumn("a", "standard"), pl.Series("a", train))
        assert_allclose(numbers(column, *other), [expected], rtol=1e-5, atol=1e-6)

    def test_missing_cells_do_not_set_the_scale(self) -> None:
        values = np.random.default_rng(0).normal(50, 20, 200)
        values[::7] = np.nan
        expected = np.nan_to_num(StandardScaler().fit_transform(values[:, None])[:, 0])
        column = fitted(NumericColumn("a", "standard"), pl.Series("a", values))
        assert_allclose(numbers(column, *values)[0], expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("scaling", SCALINGS)
    def test_missing_cell_becomes_the_scales_zero_and_is_marked(self, scaling: str) -> None:
        column = fitted(NumericColumn("gaps", scaling), series(1, None, 3, 8))
        assert column.numeric_names == ["gaps", "gaps is missing"]
        scaled, mark = numbers(column, None, 2, "?", "NA")
        assert scaled[0] == scaled[2] == scaled[3] == 0
        assert scaled[1] != 0
        assert mark == [1, 0, 1, 1]

    def test_mark_stays_where_later_no_cell_is_missing(self) -> None:
        column = fitted(NumericColumn("a", "standard"), series(1, None, 3))
        assert numbers(column, 2, 3) == [[0, 1], [0, 0]]

    def test_missing_cell_in_a_column_clean_in_training_becomes_0_without_a_mark(self) -> None:
        column = fitted(NumericColumn("a", "standard"), series(1, 2, 6))
        assert column.numeric_names == ["a"]
        assert numbers(column, None, dtype=pl.Float64) == [[0]]

    def test_missing_cell_outside_the_training_rows_makes_no_mark(self) -> None:
        column = fitted(NumericColumn("a", "standard"), series(1, 3, None), rows=[0, 1])
        assert column.numeric_names == ["a"]
        assert numbers(column, 1, None) == [[-1, 0]]

    @pytest.mark.parametrize(("num_missing", "is_marked"), [(0, False), (2, False), (3, True)])
    def test_mark_needs_as_many_missing_training_cells_as_asked_for(self, num_missing: int, is_marked: bool) -> None:
        cells = series(1, 3, *[None] * 5, dtype=pl.Float64)
        column = fitted(NumericColumn("a", "standard", min_count=3), cells, rows=range(2 + num_missing))
        assert column.numeric_names == (["a", "a is missing"] if is_marked else ["a"])
        assert numbers(column, 1, None) == ([[-1, 0], [0, 1]] if is_marked else [[-1, 0]])

    @pytest.mark.parametrize("scaling", SCALINGS)
    def test_column_without_any_value_in_training_becomes_0_and_is_marked(self, scaling: str) -> None:
        column = fitted(NumericColumn("a", scaling), series(None, None, dtype=pl.Float64))
        assert numbers(column, None, None, dtype=pl.Float64) == [[0, 0], [1, 1]]

    @pytest.mark.parametrize("scaling", SCALINGS)
    def test_column_without_any_value_in_training_makes_later_values_finite(self, scaling: str) -> None:
        column = fitted(NumericColumn("a", scaling), series(None, None, 7, 9), rows=[0, 1])
        assert np.isfinite(numbers(column, 7, -9, None)).all()

    @pytest.mark.parametrize("scaling", SCALINGS)
    def test_no_training_rows_make_values_finite(self, scaling: str) -> None:
        column = fitted(NumericColumn("a", scaling), series(1, 2), rows=[])
        assert np.isfinite(numbers(column, 1, 2)).all()

    @pytest.mark.parametrize("scaling", SCALINGS)
    def test_rows_outside_training_change_nothing(self, scaling: str) -> None:
        train = [3, 1, None, 4, 1, 5]
        alone = fitted(NumericColumn("a", scaling), series(*train))
        among_others = fitted(NumericColumn("a", scaling), series(1e6, *train, -1e9), rows=range(1, 7))
        assert_same(encoded(among_others, *train, 9), encoded(alone, *train, 9))

    def test_numbers_are_read_as_their_table_writes_them(self) -> None:
        column = fitted(NumericColumn("a", "standard"), series("1.000 €", "3.000 €"), notation=COMMA)
        assert numbers_in(COMMA, column, "2.000", "1.500,0 €") == [[0, -0.5]]
        with pytest.raises(InputError, match=r"finite numbers with €, but its row 1 holds '2\.000 \$'"):
            numbers_in(COMMA, column, "2.000 $")

    def test_texts_that_were_no_numbers_in_training_are_missing_later_and_no_others(self) -> None:
        column = fitted(NumericColumn("a", "standard", ["Total"]), series("1", "3", "Total"))
        assert numbers(column, "3", "Total") == [[1, 0], [0, 1]]
        with pytest.raises(InputError, match="its row 2 holds 'Sum'"):
            numbers(column, "3", "Sum")

    def test_scale_of_a_large_table_is_set_by_evenly_spaced_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(base, "ROWS_FOR_SCALE", 200)
        values = np.arange(1000.0)
        column = fitted(NumericColumn("a", "robust"), pl.Series("a", values))
        z = RobustScaler().fit_transform(values[:, None])[:, 0]
        assert_allclose(numbers(column, *values)[0], 3 * np.sin(np.arctan(z / 3)), atol=0.01)

    def test_state_tells_what_stands_beside_numbers_and_for_missing_ones(self) -> None:
        original = fitted(NumericColumn("a", "standard", ["Total"]), series("$1", "$3", "Total"))
        loaded = NumericColumn("a", "standard")
        loaded.load_state_dict(saved_and_loaded(original.state_dict()))
        assert numbers(loaded, "$1", "2", "Total") == [[-1, 0, 0], [0, 0, 1]]
        with pytest.raises(InputError, match="its row 1 holds '€1'"):
            numbers(loaded, "€1")

    def test_unknown_scaling_names_the_nearest(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'robust'"):
            NumericColumn("a", "robost")

    @pytest.mark.parametrize(
        ("cells", "description"),
        [
            (["1", "2"], "numeric"),
            (["$1", "$2"], "numeric, in $"),
            (["$1M", "$2M", "NA"], "numeric, in $ and K/M/B, some missing"),
        ],
    )
    def test_description_tells_of_unit_and_gaps(self, cells: list[str], description: str) -> None:
        assert fitted(NumericColumn("a", "standard"), series(*cells)).describe() == description


class TestBoolean:
    @pytest.mark.parametrize("cells", [["yes", "No"], ["1", "0"], [True, False], [1, 0]])
    def test_true_is_above_false(self, cells: list) -> None:
        column = fitted(BooleanColumn("a", "standard"), series(*cells))
        assert numbers(column, True, False) == numbers(column, "T", "off") == [[1, -1]]

    def test_missing_truth_value_becomes_the_scales_zero_and_is_marked(self) -> None:
        column = fitted(BooleanColumn("a", "standard"), series("yes", "no", None))
        assert numbers(column, "yes", "?", None) == [[1, 0, 0], [0, 1, 1]]
        assert column.numeric_names == ["a", "a is missing"]

    def test_cell_that_is_neither_is_named(self) -> None:
        with pytest.raises(InputError, match="column 'a' should hold true or false, but its row 2 holds 'maybe'"):
            fitted(BooleanColumn("a", "standard"), series("yes", "maybe"))

    def test_description_is_the_kind(self) -> None:
        assert fitted(BooleanColumn("a", "standard"), series("yes", "no")).describe() == "boolean"


AMOUNTS = [100 * i * i for i in range(60) for _ in range(10)]  # 60 whole numbers that lie far apart


class TestNumbersThatAreAlsoLevels:
    def test_whole_numbers_that_lie_far_apart_have_codes(self) -> None:
        column = fitted(NumericColumn("a", "standard"), series(*AMOUNTS))
        assert column.cardinalities == {"a level": 62}
        assert column.describe() == "numeric, 60 of its numbers also levels"
        assert codes(column, 0, 100, 400, 348100, 99, 1e9, None) == [[2, 3, 4, 61, UNSEEN, UNSEEN, MISSING]]
        assert_allclose(encoded(column, *AMOUNTS).numeric[0], standardised(AMOUNTS), atol=1e-5)

    def test_rare_numbers_are_no_levels(self) -> None:
        column = fitted(NumericColumn("a", "standard", min_count=3), series(*AMOUNTS, 7, 7, *[8] * 30))
        assert codes(column, 7, 8) == [[UNSEEN, 3]]

    @pytest.mark.parametrize(
        "cells",
        [
            [i for i in range(60) for _ in range(10)],  # all whole numbers of a range
            [11 * i for i in range(48) for _ in range(20)],  # bins tell these apart
            [amount + 0.5 for amount in AMOUNTS],
            AMOUNTS[::5],  # few rows of each
            [*AMOUNTS, *range(0, 300000, 7)],  # many numbers
            [-1.7e308, 1.7e308, *range(600)],
            [None] * 600,
        ],
    )
    def test_other_numbers_have_no_codes(self, cells: list) -> None:
        column = fitted(NumericColumn("a", "standard"), series(*cells, dtype=pl.Float64))
        assert (column.cardinalities, encoded(column, 1.0).codes) == ({}, [])

    def test_dates_have_no_levels_of_time(self) -> None:
        months = [date(2015 + i // 12, i % 12 + 1, 1) for i in range(72) for _ in range(10)]
        assert list(fitted(DateColumn("d", "standard"), series(*months)).cardinalities) == ["d month", "d weekday"]

    def test_states_without_levels_can_be_loaded(self) -> None:
        state = fitted(NumericColumn("a", "standard"), series(*AMOUNTS)).state_dict()
        del state["levels"]
        loaded = NumericColumn("a", "standard")
        loaded.load_state_dict(saved_and_loaded(state))
        assert loaded.cardinalities == {}

    @pytest.mark.parametrize("levels", [[2.0, 1.0], [1.0, 1.0], [1.0, math.inf], [math.nan], [[1.0]]])
    def test_levels_that_do_not_rise_are_refused(self, levels: list) -> None:
        state = fitted(NumericColumn("a", "standard"), series(*AMOUNTS)).state_dict()
        state["levels"] = torch.tensor(levels, dtype=torch.float64)
        with pytest.raises(ValueError, match="a state"):
            NumericColumn("a", "standard").load_state_dict(state)


class TestCategorical:
    def test_levels_have_codes_from_2_in_sorted_order(self) -> None:
        column = fitted(CategoricalColumn("colour"), series("red", "blue", "red", "green"))
        assert codes(column, "blue", "green", "red") == [[2, 3, 4]]
        assert column.cardinalities == {"colour": 5}
        assert column.numeric_names == []

    def test_unseen_level_has_code_0_and_missing_cell_code_1(self) -> None:
        column = fitted(CategoricalColumn("a"), series("red", "blue"))
        assert codes(column, "violet", None, "?", " NA ", "red") == [[UNSEEN, MISSING, MISSING, MISSING, 3]]
        assert (UNSEEN, MISSING) == (0, 1)

    def test_level_outside_the_training_rows_is_unseen(self) -> None:
        column = fitted(CategoricalColumn("a"), series("red", "blue", "green"), rows=[2, 0])
        assert codes(column, "red", "blue", "green") == [[3, UNSEEN, 2]]

    def test_blanks_and_spelling_of_whole_numbers_make_no_new_level(self) -> None:
        column = fitted(CategoricalColumn("a"), series("a", " a", "1", "1.0"))
        assert codes(column, "a ", "1.00", " 1") == [[3, 2, 2]]
        assert column.cardinalities == {"a": 4}

    @pytest.mark.parametrize("cells", [[1, 2], [1.0, 2.0], ["1", "2"], ["1.0", " 2"]])
    def test_levels_are_the_same_in_a_table_of_other_types(self, cells: list) -> None:
        column = fitted(CategoricalColumn("a"), series("1", "2", "x"))
        assert codes(column, *cells) == [[2, 3]]

    @pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["unused", "red", "blue"])])
    def test_text_that_is_kept_once_a_level_has_the_same_codes(self, dtype: pl.DataType) -> None:
        column = fitted(CategoricalColumn("a"), series("red", "blue"))
        assert codes(column, "blue", None, "red", dtype=dtype) == [[2, MISSING, 3]]

    def test_rare_levels_are_taken_together(self) -> None:
        column = fitted(CategoricalColumn("a", min_count=3), series(*"aaabbbbccd"))
        assert codes(column, *"abcdx") == [[2, 3, UNSEEN, UNSEEN, UNSEEN]]
        assert column.describe() == "categorical, 2 levels, 2 rare ones taken together"

    @pytest.mark.parametrize(("num_missing", "code"), [(0, MISSING), (2, UNSEEN), (3, MISSING)])
    def test_cells_rarely_missing_in_training_are_among_the_rare(self, num_missing: int, code: int) -> None:
        cells = series(*"aaa", *[None] * 5)
        column = fitted(CategoricalColumn("a", min_count=3), cells, rows=range(3 + num_missing))
        assert codes(column, None, "?", "a") == [[code, code, 2]]
        assert column.cardinalities == {"a": 3}

    def test_only_training_rows_make_a_level_frequent(self) -> None:
        column = fitted(CategoricalColumn("a", min_count=2), series(*"aabb"), rows=[0, 1, 2])
        assert codes(column, *"ab") == [[2, UNSEEN]]
        assert column.describe() == "categorical, 1 level, 1 rare ones taken together"

    def test_frequent_levels_are_found_among_thousands(self) -> None:
        generator = np.random.default_rng(0)
        rows = [f"level {number}" for number in (3000 * generator.beta(0.5, 3, 30_000)).astype(int)]
        names, counts = np.unique(rows, return_counts=True)
        frequent = sorted(names[counts >= 10].tolist())
        column = fitted(CategoricalColumn("a", min_count=10), series(*rows))
        assert 300 < len(frequent) < len(names) - 300
        assert column.cardinalities == {"a": 2 + len(frequent)}
        assert codes(column, *rows) == [[frequent.index(row) + 2 if row in frequent else UNSEEN for row in rows]]

    @pytest.mark.parametrize("num_levels", [253, 254, 255, 256, 65_534, 65_535])
    def test_highest_code_fits_its_width(self, num_levels: int) -> None:
        rows = [f"{number:06}" for number in range(num_levels)]
        column = fitted(CategoricalColumn("a"), series(*rows))
        assert codes(column, rows[0], rows[-1], None) == [[2, num_levels + 1, MISSING]]

    def test_column_without_any_level_in_training_knows_only_missing(self) -> None:
        column = fitted(CategoricalColumn("a"), series(None, None, dtype=pl.String))
        assert column.cardinalities == {"a": 2}
        assert codes(column, "x", None) == [[UNSEEN, MISSING]]

    def test_no_training_rows_make_every_level_unseen(self) -> None:
        assert codes(fitted(CategoricalColumn("a"), series("x", "y"), rows=[]), "x", None) == [[UNSEEN, MISSING]]

    def test_loaded_state_is_a_copy(self) -> None:
        original, loaded = CategoricalColumn("a"), CategoricalColumn("a")
        loaded.load_state_dict(fitted(original, series("red", "blue")).state_dict())
        original.levels.append("zinc")
        assert loaded.levels == ["blue", "red"]


def parts(*cells: object, dtype: Any = None, **arguments: Any) -> dict[str, list[float]]:
    """Each part of a date column that was fitted on these cells, encoded, by its name."""
    column = fitted(DateColumn("d", "standard", **arguments), series(*cells, dtype=dtype))
    both = encoded(column, *cells, dtype=dtype)
    names = [*column.numeric_names, *column.cardinalities]
    return {name: array.tolist() for name, array in zip(names, [*both.numeric, *both.codes], strict=True)}


def standardised(values: list[float]) -> np.ndarray:
    return StandardScaler().fit_transform(np.array(values)[:, None])[:, 0]


def ranks(values: list[int]) -> list[int]:
    return [sorted(set(map(str, values))).index(str(value)) + 2 for value in values]


def year_angle(day: date) -> float:
    """The angle of a day on the circle of its year, in radians; January 1 is at 0."""
    return 2 * math.pi * (day - date(day.year, 1, 1)).days / (365 + calendar.isleap(day.year))


class TestDate:
    def test_parts_of_moments_are_those_of_datetime(self) -> None:
        found = parts(*MOMENTS)
        numeric = ["d time", "d day", "d hour", "d hour sine", "d hour cosine"]
        assert list(found) == [*numeric, "d month", "d weekday"]
        hours = [moment.hour + moment.minute / 60 for moment in MOMENTS]
        expected = [
            [(moment - MOMENTS[0]) / timedelta(days=1) for moment in MOMENTS],
            [moment.day for moment in MOMENTS],
            hours,
            [math.sin(2 * math.pi * hour / 24) for hour in hours],
            [math.cos(2 * math.pi * hour / 24) for hour in hours],
        ]
        for name, values in zip(numeric, expected, strict=True):
            assert_allclose(found[name], standardised(values), rtol=1e-5, atol=1e-5)
        assert found["d month"] == ranks([moment.month for moment in MOMENTS])
        assert found["d weekday"] == ranks([moment.isoweekday() for moment in MOMENTS])

    def test_days_without_a_time_of_day_have_no_hour(self) -> None:
        found = parts(*DAYS)
        assert list(found) == ["d time", "d day", "d year sine", "d year cosine", "d month", "d weekday"]
        assert_allclose(found["d time"], standardised([day.toordinal() for day in DAYS]), rtol=1e-5, atol=1e-5)
        assert_allclose(found["d year sine"], standardised([math.sin(year_angle(day)) for day in DAYS]), atol=1e-5)
        assert_allclose(found["d year cosine"], standardised([math.cos(year_angle(day)) for day in DAYS]), atol=1e-5)
        assert found["d month"] == ranks([day.month for day in DAYS])
        assert found["d weekday"] == ranks([day.isoweekday() for day in DAYS])

    def test_days_between_year_1_and_9999_have_the_parts_of_the_calendar(self) -> None:
        drawn = np.random.default_rng(0).integers(date.min.toordinal(), date.max.toordinal() + 1, 500)
        days = [date.min, date(1600, 2, 29), date(1900, 2, 28), date(1969, 12, 31), date(2000, 12, 31), date.max]
        days += [date.fromordinal(ordinal) for ordinal in drawn.tolist()]
        found = parts(*days)
        assert_allclose(found["d year sine"], standardised([math.sin(year_angle(day)) for day in days]), atol=1e-5)
        assert_allclose(found["d year cosine"], standardised([math.cos(year_angle(day)) for day in days]), atol=1e-5)
        assert_allclose(found["d day"], standardised([day.day for day in days]), atol=1e-5)
        assert found["d weekday"] == ranks([calendar.weekday(day.year, day.month, day.day) + 1 for day in days])

    @pytest.mark.parametrize(
        ("neighbours", "part"),
        [
            ((datetime(2020, 12, 31), datetime(2021, 1, 1)), "year"),
            ((datetime(1965, 12, 31), datetime(1966, 1, 1)), "year"),
            ((datetime(2020, 5, 5, 23, 59, 59), datetime(2020, 5, 6)), "hour"),
        ],
    )
    def test_ends_of_a_circle_lie_beside_each_other(self, neighbours: tuple[datetime, datetime], part: str) -> None:
        column = fitted(DateColumn("d", "quantile"), series(*(day + timedelta(hours=i) for i, day in enumerate(YEARS))))
        arrays = dict(zip(column.numeric_names, numbers(column, *neighbours), strict=True))
        for name in (f"d {part} sine", f"d {part} cosine"):
            assert arrays[name][1] == pytest.approx(arrays[name][0], abs=0.03)

    @pytest.mark.parametrize("scaling", SCALINGS)
    def test_points_of_a_circle_have_the_same_distance_from_their_centre(self, scaling: str) -> None:
        column = fitted(DateColumn("d", scaling), series(*(datetime(2020, 1, 1, hour) for hour in range(24))))
        assert column.numeric_names == ["d time", "d hour", "d hour sine", "d hour cosine"]
        sine, cosine = numbers(column, *(datetime(2031, 5, 6, hour, 30) for hour in range(24)))[2:]
        assert_allclose(np.hypot(sine, cosine), math.sqrt(2), rtol=1e-6)

    def test_months_without_a_day_have_a_circle_of_twelve_points(self) -> None:
        months = [f"{year}-{month:02}-01" for year in (2019, 2021, 2022) for month in range(1, 13)]  # no leap years
        found = parts(*months)
        assert list(found) == ["d time", "d year sine", "d year cosine", "d month", "d weekday"]
        assert len(set(zip(found["d year sine"], found["d year cosine"], strict=True))) == 12

    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            (["2020-03-02", "2020-03-09"], ["d time", "d day"]),
            (["2020-03-05", "2020-06-05"], ["d time", "d month", "d weekday"]),
            (["2020-03-05", "2026-03-05"], ["d time"]),
            (["2020-03-05", "2021-03-05", "2021-12-05"], ["d time", *YEAR_CIRCLE, "d month", "d weekday"]),
            (["2020-03-05 10:00", "2020-03-05 10:30"], ["d time", "d hour"]),
            (["2020-03-05 00:00", "2020-03-05 12:00"], ["d time", "d hour", "d hour cosine"]),
            (["2020-03-05", "2020-03-05"], []),
            (["2020-03-05 10:00:00Z", "2020-03-05 12:00:00+02:00"], []),
        ],
    )
    def test_parts_that_do_not_vary_are_dropped(self, cells: list[str], expected: list[str]) -> None:
        assert list(parts(*cells)) == expected

    def test_only_training_rows_tell_what_varies(self) -> None:
        column = fitted(DateColumn("d", "standard"), series("2020-03-02", "2020-03-09", "2021-05-06 "), rows=[0, 1])
        assert column.numeric_names == ["d time", "d day"]
        assert column.cardinalities == {}

    def test_rows_outside_training_change_nothing(self) -> None:
        alone = fitted(DateColumn("d", "robust"), series(*MOMENTS))
        others = [datetime(1900, 1, 1), datetime(2100, 1, 1, 5)]
        among_others = fitted(DateColumn("d", "robust"), series(*others, *MOMENTS), rows=range(2, 62))
        assert_same(encoded(among_others, *others, *MOMENTS), encoded(alone, *others, *MOMENTS))

    def test_rows_encoded_with_it_do_not_change_a_row(self) -> None:
        column = fitted(DateColumn("d", "standard"), series(*MOMENTS))
        together = encoded(column, *MOMENTS)
        for row in range(0, 60, 7):
            one = encoded(column, MOMENTS[row])
            assert [a[0] for a in [*one.numeric, *one.codes]] == [a[row] for a in [*together.numeric, *together.codes]]

    @pytest.mark.parametrize("missing", [None, "", " NA", "?"])
    def test_missing_date_is_0_in_numbers_and_a_code_of_its_own(self, missing: str | None) -> None:
        column = fitted(DateColumn("d", "standard"), series("2020-03-02", missing, "2021-05-04"))
        assert column.numeric_names == ["d time", "d time is missing", "d day", *YEAR_CIRCLE]
        found = numbers(column, missing, "2020-03-02")
        assert found[:3] == [[0, -1], [1, 0], [0, -1]]
        assert [array[0] for array in found[3:]] == [0, 0]
        assert codes(column, missing, "2020-03-02")[0] == [MISSING, 2]

    @pytest.mark.parametrize("cells", [[None, None], ["", "NA"]])
    def test_date_missing_in_all_rows_has_no_parts(self, cells: list) -> None:
        assert parts(*cells, dtype=pl.String) == {}
        assert parts(None, None, dtype=pl.Date) == {}

    def test_no_training_rows_leave_no_parts(self) -> None:
        column = fitted(DateColumn("d", "standard"), series("2020-03-02", "2021-05-04"), rows=[])
        assert encoded(column, "2020-03-02") == Encoded([], [])

    def test_no_rows_are_encoded_as_none(self) -> None:
        column = fitted(DateColumn("d", "standard"), series("2020-03-02", "2021-05-04"))
        some, none = encoded(column, "2020-03-02"), encoded(column, dtype=pl.Date)
        for arrays, empty in zip(some, none, strict=True):
            assert [array.shape for array in empty] == [(0,)] * len(arrays)

    @pytest.mark.parametrize(
        ("days", "has_trend", "has_circle"),
        [(182, True, False), (183, True, True), (365, False, False), (366, False, True)],
    )
    def test_part_of_a_year_has_no_circle(self, days: int, has_trend: bool, has_circle: bool) -> None:
        cells = [date(2020, 3, 1) + timedelta(days=i) for i in (0, days // 2, days)]
        found = parts(*cells, has_trend=has_trend)
        assert [name for name in found if name in YEAR_CIRCLE] == (YEAR_CIRCLE if has_circle else [])

    def test_state_with_fewer_parts_gives_those(self) -> None:
        state = fitted(DateColumn("d", "standard"), series(*DAYS)).state_dict()
        state["parts"] = {part: state["parts"][part] for part in ("time", "day", "month", "weekday")}
        loaded = DateColumn("d", "standard")
        loaded.load_state_dict(saved_and_loaded(state))
        expected = encoded(fitted(DateColumn("d", "standard"), series(*DAYS)), *DAYS)
        assert loaded.numeric_names == ["d time", "d day"]
        assert_same(encoded(loaded, *DAYS), Encoded(expected.numeric[:2], expected.codes))

    def test_one_array_marks_missing_dates(self) -> None:
        column = fitted(DateColumn("d", "standard"), series(*MOMENTS, None))
        assert [name for name in column.numeric_names if "missing" in name] == ["d time is missing"]
        without_trend = fitted(DateColumn("d", "standard", has_trend=False), series(*MOMENTS, None))
        assert [name for name in without_trend.numeric_names if "missing" in name] == ["d day is missing"]

    def test_month_never_seen_in_training_is_unseen(self) -> None:
        column = fitted(DateColumn("d", "standard"), series("2020-03-02", "2020-12-03"))
        assert codes(column, "2021-05-02", "2021-12-02")[0] == [UNSEEN, 2]

    def test_time_goes_on_after_the_training_rows(self) -> None:
        column = fitted(DateColumn("d", "standard"), series("2020-03-02", "2020-03-04"))
        assert numbers(column, "2020-03-06", "1969-12-31")[0] == [3, 1 - (date(2020, 3, 4) - date(1969, 12, 31)).days]

    def test_without_a_trend_time_elapsed_is_no_part(self) -> None:
        found = parts(*MOMENTS, has_trend=False)
        assert found == {name: values for name, values in parts(*MOMENTS).items() if name != "d time"}

    @pytest.mark.parametrize("dtype", [pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("us", "UTC")])
    def test_type_of_moments_does_not_matter(self, dtype: pl.DataType) -> None:
        assert parts(*MOMENTS, dtype=dtype) == parts(*MOMENTS)

    @pytest.mark.parametrize(
        "written", ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M", "%Y-%m-%dT%H:%M:%S+0000"]
    )
    def test_text_has_the_parts_of_the_moments_it_stands_for(self, written: str) -> None:
        assert parts(*(moment.strftime(written) for moment in MOMENTS)) == parts(*MOMENTS)

    def test_text_follows_the_format_that_was_found(self) -> None:
        column = fitted(DateColumn("d", "standard", "%d/%m/%Y"), series("02/03/2020", "04/03/2020"))
        assert numbers(column, "03/03/2020")[0] == [0]
        with pytest.raises(InputError, match="written like %d/%m/%Y, but its row 1 holds '2020-03-03'"):
            encoded(column, "2020-03-03")

    def test_state_tells_how_dates_are_written(self) -> None:
        original = fitted(DateColumn("d", "standard", "%d/%m/%Y"), series("02/03/2020", "04/03/2020"))
        loaded = DateColumn("d", "standard")
        loaded.load_state_dict(saved_and_loaded(original.state_dict()))
        assert numbers(loaded, "03/03/2020", "04/03/2020")[0] == [0, 1]

    def test_typed_dates_need_no_format(self) -> None:
        column = fitted(DateColumn("d", "standard", "%d/%m/%Y"), series("02/03/2020", "04/03/2020"))
        assert numbers(column, date(2020, 3, 3))[0] == [0]

    @pytest.mark.parametrize(
        ("cells", "written", "description"),
        [
            (["2020-03-02", "2020-03-09"], None, "date, as numbers (time, day)"),
            (["02.03.2020", "09.03.2020"], "%d.%m.%Y", "date, written like %d.%m.%Y, as numbers (time, day)"),
            (MOMENTS, None, "date, as numbers (time, day, hour), levels (month, weekday), circles (hour)"),
            (DAYS, None, "date, as numbers (time, day), levels (month, weekday), circles (year)"),
            (["2020-03-02", "2020-03-02"], None, "date, as nothing, for it does not vary"),
        ],
    )
    def test_description_names_format_and_parts(self, cells: list, written: str | None, description: str) -> None:
        assert fitted(DateColumn("d", "standard", written), series(*cells)).describe() == description


COLUMNS = {
    "numeric": (lambda: NumericColumn("a", "quantile"), [*np.random.default_rng(0).lognormal(size=50), None]),
    "numeric with a unit": (lambda: NumericColumn("a", "robust", ["x"]), ["$1,200", "5", "7.5", "?", "x"]),
    "numeric with levels": (lambda: NumericColumn("a", "quantile"), [*AMOUNTS, None]),
    "boolean": (lambda: BooleanColumn("a", "standard"), ["yes", "no", "No", None]),
    "categorical": (lambda: CategoricalColumn("a", min_count=2), [*"aabbbcdd", None, None]),
    "categorical, rarely missing": (lambda: CategoricalColumn("a", min_count=2), [*"aabb", None]),
    "date": (lambda: DateColumn("a", "quantile"), [*MOMENTS, None]),
    "date with few parts": (lambda: DateColumn("a", "standard", "%d.%m.%Y"), ["02.03.2020", "09.03.2020"]),
    "date without a trend": (lambda: DateColumn("a", "standard", has_trend=False), DAYS),
}


@pytest.mark.parametrize(("make", "cells"), COLUMNS.values(), ids=COLUMNS)
class TestEveryColumn:
    def test_state_loaded_from_a_file_gives_the_same_encoding(self, make: Any, cells: list) -> None:
        original, loaded = fitted(make(), series(*cells)), make()
        loaded.load_state_dict(saved_and_loaded(original.state_dict()))
        assert_same(encoded(loaded, *cells), encoded(original, *cells))
        assert loaded.numeric_names == original.numeric_names
        assert loaded.cardinalities == original.cardinalities
        assert loaded.describe() == original.describe()

    def test_each_array_has_a_name_a_type_and_a_cell_for_each_row(self, make: Any, cells: list) -> None:
        column = fitted(make(), series(*cells))
        both = encoded(column, *cells)
        assert len(both.numeric) == len(column.numeric_names)
        assert all(array.shape == (len(cells),) and array.dtype == np.float32 for array in both.numeric)
        assert all(array.shape == (len(cells),) and array.dtype.kind in "iu" for array in both.codes)

    def test_codes_are_below_their_cardinality(self, make: Any, cells: list) -> None:
        column = fitted(make(), series(*cells))
        for array, cardinality in zip(encoded(column, *cells).codes, column.cardinalities.values(), strict=True):
            assert array.max() < cardinality

    def test_encoding_is_row_by_row(self, make: Any, cells: list) -> None:
        column = fitted(make(), series(*cells))
        one_by_one = [column.encode(column.parse(series(*cells)[[i]], NOTATION)) for i in range(len(cells))]
        together = encoded(column, *cells)
        for place, array in enumerate(together.numeric):
            assert_array_equal(np.concatenate([one.numeric[place] for one in one_by_one]), array)
        for place, array in enumerate(together.codes):
            assert_array_equal(np.concatenate([one.codes[place] for one in one_by_one]), array)

    def test_encoding_changes_no_parsed_cell(self, make: Any, cells: list) -> None:
        column = fitted(make(), series(*cells))
        parsed = column.parse(series(*cells), NOTATION)
        assert_same(column.encode(parsed), column.encode(parsed))

    def test_text_that_is_kept_once_a_level_is_encoded_the_same(self, make: Any, cells: list) -> None:
        text = pl.Series("a", cells, strict=False).cast(pl.String)
        column = fitted(make(), text)
        coded = column.encode(column.parse(dictionary_coded(text), NOTATION))
        assert_same(coded, column.encode(column.parse(text, NOTATION)))
