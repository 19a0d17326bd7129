import io

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.preprocessing import LabelEncoder, StandardScaler

from litmlp.data import ClassTarget, NumericTarget, Target
from litmlp.errors import InputError


def classes(*labels: object) -> ClassTarget:
    target = ClassTarget(["species"])
    target.fit(frame(*labels))
    return target


def frame(*labels: object) -> pl.DataFrame:
    return parsed(ClassTarget(["species"]), pl.DataFrame({"species": labels}))


def parsed(target: Target, values: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([target.parse(column) for column in values])


def saved_and_loaded(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def two_numbers(seed: int = 0) -> pl.DataFrame:
    return pl.DataFrame(np.random.default_rng(seed).normal([5, -300], [0.1, 80], (60, 2)), schema=["a", "b"])


def fitted_numbers(values: pl.DataFrame) -> NumericTarget:
    target = NumericTarget(values.columns)
    target.fit(parsed(target, values))
    return target


def test_numbers_are_standardised_as_by_scikit_learn() -> None:
    train, other = two_numbers(), two_numbers(seed=1)
    expected = StandardScaler().fit(train.to_numpy()).transform(other.to_numpy())
    encoded = fitted_numbers(train).encode(other)
    assert encoded.dtype == torch.float32
    assert_allclose(encoded, expected, rtol=1e-4, atol=1e-5)


def test_one_number_gives_one_output_column() -> None:
    target = fitted_numbers(pl.DataFrame({"y": [1, 2, 3]}))
    assert target.num_outputs == 1
    encoded = target.encode(parsed(target, pl.DataFrame({"y": [2, 4]})))
    assert_allclose(encoded, [[0.0], [2 / np.sqrt(2 / 3)]], rtol=1e-6)


@pytest.mark.parametrize("constant", [5.0, 0.1])
def test_constant_target_is_only_shifted(constant: float) -> None:
    target = fitted_numbers(pl.DataFrame({"y": [constant] * 7}))
    assert_allclose(target.encode(pl.DataFrame({"y": [constant, constant + 1]})).flatten(), [0, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("cells", "shown"), [(["1", "much"], "'much'"), ([1.0, float("inf")], "inf"), ([1.0, -float("inf")], "-inf")]
)
def test_what_is_no_finite_number_is_no_numeric_target(cells: list, shown: str) -> None:
    with pytest.raises(InputError, match=f"column 'y' should hold finite numbers, but its row 2 holds {shown}:"):
        NumericTarget(["y"]).parse(pl.Series("y", cells))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [([1, None, 3], [1.0, None, 3.0]), ([1.5, float("nan")], [1.5, None]), ([True, False], [1.0, 0.0])],
)
def test_numeric_target_is_parsed_with_null_for_missing(cells: list, expected: list) -> None:
    column = NumericTarget(["y"]).parse(pl.Series("y", cells))
    assert (column.name, column.dtype, column.to_list()) == ("y", pl.Float64, expected)


def test_numeric_predictions_are_one_column_for_one_target() -> None:
    table = NumericTarget(["price"]).table(torch.tensor([[1.5], [2.5]]))
    assert table.to_dict(as_series=False) == {"prediction": [1.5, 2.5]}


def test_numeric_predictions_name_each_of_several_targets() -> None:
    table = NumericTarget(["a", "b"]).table(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert table.to_dict(as_series=False) == {"prediction_a": [1.0, 3.0], "prediction_b": [2.0, 4.0]}


def test_numeric_state_loaded_from_a_file_encodes_the_same() -> None:
    fitted, loaded = fitted_numbers(two_numbers()), NumericTarget(["a", "b"])
    loaded.load_state_dict(saved_and_loaded(fitted.state_dict()))
    assert torch.equal(loaded.encode(two_numbers(1)), fitted.encode(two_numbers(1)))


def test_numbers_have_no_strata() -> None:
    assert NumericTarget(["y"]).strata(pl.DataFrame({"y": [1, 2]})) is None


@pytest.mark.parametrize("labels", [("gentoo", "adelie", "gentoo", "chinstrap"), (10, 2, 9, 2), ("ab", "b", "B")])
def test_classes_are_sorted_as_by_scikit_learn(labels: tuple) -> None:
    oracle = LabelEncoder().fit(labels)
    target = classes(*labels)
    assert target.classes == [str(name) for name in oracle.classes_]
    assert target.num_outputs == len(oracle.classes_)
    assert target.encode(frame(*labels)).tolist() == oracle.transform(labels).tolist()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("10", "2", "9"), ["2", "9", "10"]),
        (("0", "-1", "1.5"), ["-1", "0", "1.5"]),
        (("b", "10", "B", "9"), ["9", "10", "B", "b"]),
        ((True, False), ["false", "true"]),
    ],
)
def test_classes_that_are_numbers_come_first_in_the_order_of_numbers(labels: tuple, expected: list[str]) -> None:
    target = classes(*labels)
    assert target.classes == expected
    assert target.encode(frame(*expected)).tolist() == list(range(len(expected)))


def test_classes_are_counted_in_their_order() -> None:
    target = classes("b", "a", "b", "c", "b")
    assert dict(zip(target.classes, target.counts, strict=True)) == {"a": 1, "b": 3, "c": 1}


def test_class_unseen_in_training_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'species' holds the class 'Adelia', .* did you mean 'adelie'\?"):
        classes("adelie", "gentoo").encode(frame("adelie", "Adelia"))


def test_fractions_are_no_classes() -> None:
    with pytest.raises(InputError, match="'species' holds fractions"):
        ClassTarget(["species"]).parse(pl.Series("species", [1.0, None, 2.5]))


def test_missing_class_is_parsed_as_null() -> None:
    column = ClassTarget(["species"]).parse(pl.Series("species", [1.0, None, float("nan")]))
    assert column.to_list() == ["1", None, None]


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        ((1.0, 2.0), (1, 2)),
        ((1, 2), (1.0, 2.0)),
        ((False, True), (False, True)),
        ((False, True), ("false", "true")),
        (("1", "2"), (1, 2)),
    ],
)
def test_same_class_is_known_whatever_its_type(trained: tuple, given: tuple) -> None:
    assert classes(*trained).encode(frame(*given)).tolist() == [0, 1]


def test_a_single_class_is_refused() -> None:
    with pytest.raises(InputError, match="single class"):
        classes("adelie", "adelie")


def test_classification_has_one_target_column() -> None:
    with pytest.raises(InputError, match="one target column"):
        ClassTarget(["species", "island"])


def test_class_predictions_are_the_likeliest_and_the_probabilities() -> None:
    table = classes("b", "a", "c").table(torch.tensor([[0.25, 0.5, 0.25], [0.75, 0.125, 0.125]]))
    assert table.to_dict(as_series=False) == {
        "prediction": ["b", "a"],
        "probability_a": [0.25, 0.75],
        "probability_b": [0.5, 0.125],
        "probability_c": [0.25, 0.125],
    }


def test_class_state_loaded_from_a_file_encodes_the_same() -> None:
    fitted, loaded = classes("b", "a", "b"), ClassTarget(["species"])
    loaded.load_state_dict(saved_and_loaded(fitted.state_dict()))
    assert (loaded.classes, loaded.counts) == (["a", "b"], [1, 2])
    assert loaded.encode(frame("b", "a")).tolist() == [1, 0]


def test_strata_of_classes_are_the_classes() -> None:
    assert ClassTarget(["species"]).strata(frame("b", "a")).to_list() == ["b", "a"]


def test_a_class_called_nan_has_its_place_among_the_texts():
    for labels in (["b", "nan", "a", "b"], ["nan", "b", "a", "a"]):
        target = ClassTarget(["label"])
        target.fit(pl.DataFrame({"label": labels}))
        assert target.classes == ["a", "b", "nan"]
