import io
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.preprocessing import LabelEncoder, StandardScaler
from torch import Tensor

from litmlp.data import ClassTarget, NumericTarget, Target
from litmlp.data.notation import UNKNOWN
from litmlp.data.target_scaling import TargetScaling
from litmlp.errors import InputError


def classes(*labels: object) -> ClassTarget:
    """A target fitted on labels, of which each occurs once more in other rows."""
    return fitted(ClassTarget(["species"]), pl.DataFrame({"species": [*labels, *labels]}), len(labels))


MARKED = UNKNOWN._replace(level_marks=(*UNKNOWN.level_marks, "?"))


def fitted(target: Any, cells: pl.DataFrame, num_train: int | None = None) -> Any:
    target.fit(target.parse(cells, UNKNOWN), np.arange(len(cells) if num_train is None else num_train))
    return target


def encoded(target: Target, cells: pl.DataFrame) -> Tensor:
    return target.encode(target.parse(cells, UNKNOWN), np.arange(len(cells)))


def codes(target: ClassTarget, *labels: object) -> list[int]:
    return encoded(target, pl.DataFrame({"species": labels})).tolist()


def saved_and_loaded(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def two_numbers(seed: int = 0) -> pl.DataFrame:
    return pl.DataFrame(np.random.default_rng(seed).normal([5, -300], [0.1, 80], (60, 2)), schema=["a", "b"])


def amounts(seed: int = 0) -> pl.DataFrame:
    return pl.DataFrame(np.random.default_rng(seed).lognormal([3, 9], [2, 1], (60, 2)), schema=["a", "b"])


def test_numbers_are_standardised_as_by_scikit_learn() -> None:
    train, other = two_numbers(), two_numbers(seed=1)
    expected = StandardScaler().fit(train.to_numpy()).transform(other.to_numpy())
    values = encoded(fitted(NumericTarget(["a", "b"]), train), other)
    assert values.dtype == torch.float32
    assert_allclose(values, expected, rtol=1e-4, atol=1e-5)


def test_numbers_are_fitted_on_the_training_rows_alone() -> None:
    cells = pl.DataFrame({"y": [1.0, 1e9, 3.0, -1e9]})
    target = NumericTarget(["y"])
    target.fit(target.parse(cells, UNKNOWN), np.array([0, 2]))
    assert (target.scaling.mean.item(), target.scaling.std.item()) == (2.0, 1.0)


def test_rows_are_encoded_in_the_order_asked_for() -> None:
    cells = pl.DataFrame({"y": [1.0, 2.0, 3.0]})
    target = NumericTarget(["y"])  # mean 0, deviation 1
    assert target.encode(target.parse(cells, UNKNOWN), np.array([2, 0])).tolist() == [[3.0], [1.0]]


def test_one_number_gives_one_output_column() -> None:
    target = fitted(NumericTarget(["y"]), pl.DataFrame({"y": [1, 2, 3]}))
    assert target.num_outputs == 1
    assert_allclose(encoded(target, pl.DataFrame({"y": [2, 4]})), [[0.0], [2 / np.sqrt(2 / 3)]], rtol=1e-6)


@pytest.mark.parametrize("constant", [5.0, 0.1])
def test_constant_target_is_only_shifted(constant: float) -> None:
    target = fitted(NumericTarget(["y"]), pl.DataFrame({"y": [constant] * 7}))
    assert_allclose(encoded(target, pl.DataFrame({"y": [constant, constant + 1]})).flatten(), [0, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("cells", "shown"), [(["1", "much"], "'much'"), ([1.0, float("inf")], "inf"), ([1.0, -float("inf")], "-inf")]
)
def test_what_is_no_finite_number_is_no_numeric_target(cells: list, shown: str) -> None:
    with pytest.raises(InputError, match=f"column 'y' should hold finite numbers, but its row 2 holds {shown}:"):
        NumericTarget(["y"]).parse(pl.DataFrame({"y": cells}), UNKNOWN)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1, None, 3], [True, False, True]),
        ([1.5, float("nan")], [True, False]),
        (["1.5", "NA", "?", ""], [True, False, False, False]),
        ([True, False], [True, True]),
    ],
)
def test_rows_without_a_number_are_incomplete(cells: list, expected: list[bool]) -> None:
    target = NumericTarget(["y"])
    assert target.is_complete(target.parse(pl.DataFrame({"y": cells}), UNKNOWN)).tolist() == expected


def test_a_row_needs_all_of_several_numbers() -> None:
    target = NumericTarget(["a", "b"])
    cells = pl.DataFrame({"a": [1, None, 3, None], "b": [1, 2, None, None]})
    assert target.is_complete(target.parse(cells, UNKNOWN)).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [([True, False], [1.0, 0.0]), ([" 2", "3e2\t"], [2.0, 300.0]), (["1,234.5", "7"], [1234.5, 7.0])],
)
def test_numbers_are_read_however_they_are_written(cells: list, expected: list[float]) -> None:
    assert encoded(NumericTarget(["y"]), pl.DataFrame({"y": cells})).flatten().tolist() == expected


def test_numeric_predictions_are_one_column_for_one_target() -> None:
    table = NumericTarget(["price"]).table(torch.tensor([[1.5], [2.5]]))
    assert table.to_dict(as_series=False) == {"prediction": [1.5, 2.5]}


def test_numeric_predictions_name_each_of_several_targets() -> None:
    table = NumericTarget(["a", "b"]).table(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert table.to_dict(as_series=False) == {"prediction_a": [1.0, 3.0], "prediction_b": [2.0, 4.0]}


@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_numeric_state_loaded_from_a_file_encodes_the_same(transform: str) -> None:
    target, loaded = fitted(NumericTarget(["a", "b"], transform), amounts()), NumericTarget(["a", "b"])
    loaded.load_state_dict(saved_and_loaded(target.state_dict()))
    assert loaded.transform == transform
    assert torch.equal(encoded(loaded, amounts(1)), encoded(target, amounts(1)))


def test_numbers_have_no_strata() -> None:
    target = NumericTarget(["y"])
    assert target.strata(target.parse(pl.DataFrame({"y": [1, 2]}), UNKNOWN)) is None


def test_logarithms_are_standardised_as_by_scikit_learn() -> None:
    train, other = amounts(), amounts(seed=1)
    expected = StandardScaler().fit(np.log1p(train.to_numpy())).transform(np.log1p(other.to_numpy()))
    values = encoded(fitted(NumericTarget(["a", "b"], "log1p"), train), other)
    assert_allclose(values, expected, rtol=1e-4, atol=1e-5)


def test_logarithm_of_nothing_is_0() -> None:
    assert encoded(NumericTarget(["y"], "log1p"), pl.DataFrame({"y": [0.0, np.e - 1]})).tolist() == [[0.0], [1.0]]


def test_missing_targets_stay_missing_under_a_logarithm() -> None:
    target = NumericTarget(["y"], "log1p")
    assert target.is_complete(target.parse(pl.DataFrame({"y": [None, 2.0]}), UNKNOWN)).tolist() == [False, True]


def test_negative_target_has_no_logarithm() -> None:
    with pytest.raises(InputError, match=r"target 'b' holds -0\.5 in its row 3, but target_transform=log1p"):
        NumericTarget(["a", "b"], "log1p").parse(pl.DataFrame({"a": [1, 2, 3], "b": [None, 0.0, -0.5]}), UNKNOWN)


@pytest.mark.parametrize("target_type", [NumericTarget, ClassTarget])
def test_unknown_transform_names_the_nearest(target_type: type[Target]) -> None:
    with pytest.raises(ValueError, match=r"target_transform is 'log': did you mean 'log1p'\?"):
        target_type(["y"], "log")


def test_classes_have_no_logarithm() -> None:
    with pytest.raises(InputError, match="target_transform=log1p is for numbers, but the task has classes"):
        ClassTarget(["species"], "log1p")


@pytest.mark.parametrize("labels", [("gentoo", "adelie", "gentoo", "chinstrap"), (10, 2, 9, 2), ("ab", "b", "B")])
def test_classes_are_sorted_as_by_scikit_learn(labels: tuple) -> None:
    oracle = LabelEncoder().fit(labels)
    target = classes(*labels)
    assert target.classes == [str(name) for name in oracle.classes_]
    assert target.num_outputs == len(oracle.classes_)
    assert codes(target, *labels) == oracle.transform(labels).tolist()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("10", "2", "9"), ["2", "9", "10"]),
        (("0", "-1", "1.5", "x"), ["-1", "0", "1.5", "x"]),
        (("b", "10", "B", "9"), ["9", "10", "B", "b"]),
        ((True, False), ["false", "true"]),
    ],
)
def test_classes_that_are_numbers_come_first_in_the_order_of_numbers(labels: tuple, expected: list[str]) -> None:
    target = classes(*labels)
    assert target.classes == expected
    assert codes(target, *expected) == list(range(len(expected)))


def test_classes_are_counted_in_their_order() -> None:
    target = classes("b", "a", "b", "c", "b")
    assert dict(zip(target.classes, target.counts, strict=True)) == {"a": 1, "b": 3, "c": 1}


def test_classes_are_those_of_the_training_rows() -> None:
    cells = pl.DataFrame({"species": ["a", "b", "c", "a", "b", "c"]})
    target = ClassTarget(["species"])
    target.fit(target.parse(cells, UNKNOWN), np.array([1, 2, 4]))
    assert (target.classes, target.counts) == (["b", "c"], [2, 1])


def test_class_unseen_in_training_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'species' holds the class 'Adelia', .* did you mean 'adelie'\?"):
        codes(classes("adelie", "gentoo"), "adelie", "Adelia")


def test_class_unseen_in_training_is_no_matter_in_rows_not_asked_for() -> None:
    target = classes("a", "b")
    parsed = target.parse(pl.DataFrame({"species": ["b", "c", "a"]}), UNKNOWN)
    assert target.encode(parsed, np.array([0, 2])).tolist() == [1, 0]


def test_fractions_are_no_classes() -> None:
    with pytest.raises(InputError, match="'species' holds fractions"):
        ClassTarget(["species"]).parse(pl.DataFrame({"species": [1.0, None, 2.5]}), UNKNOWN)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1.0, None, float("nan")], [True, False, False]),
        (["a", "?", " ", None, "NA"], [True, False, False, False, False]),
    ],
)
def test_rows_without_a_class_are_incomplete(cells: list, expected: list[bool]) -> None:
    target = ClassTarget(["species"])
    assert target.is_complete(target.parse(pl.DataFrame({"species": cells}), MARKED)).tolist() == expected


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        ((1.0, 2.0), (1, 2)),
        ((1, 2), (1.0, 2.0)),
        ((False, True), (False, True)),
        ((False, True), ("false", "true")),
        (("1", "2"), (1, 2)),
        (("a", "b"), (" a", "b ")),
    ],
)
def test_same_class_is_known_whatever_its_type(trained: tuple, given: tuple) -> None:
    assert codes(classes(*trained), *given) == [0, 1]


def test_a_single_class_is_refused() -> None:
    with pytest.raises(InputError, match="'species' has a single class, 'adelie', in the training rows"):
        classes("adelie", "adelie")


def test_a_single_class_among_the_training_rows_is_refused() -> None:
    with pytest.raises(InputError, match="'species' has a single class, 'b', in the training rows"):
        fitted(ClassTarget(["species"]), pl.DataFrame({"species": ["b", "b", "a", "a"]}), num_train=2)


def test_a_class_of_a_single_row_is_refused() -> None:
    with pytest.raises(InputError, match="the class 'c' of the target 'species' has a single row, too few"):
        fitted(ClassTarget(["species"]), pl.DataFrame({"species": ["a", "b", "a", "b", "c"]}))


def test_classes_of_a_single_row_are_counted() -> None:
    labels = ["a", "b", "a", "b", "e", "d", "c"]
    with pytest.raises(InputError, match=r"the class 'c' of .* has a single row \(as do 2 other classes\)"):
        fitted(ClassTarget(["species"]), pl.DataFrame({"species": labels}))


def test_two_rows_make_a_class_even_if_one_is_not_for_training() -> None:
    target = fitted(ClassTarget(["species"]), pl.DataFrame({"species": ["a", "b", "a", "b"]}), num_train=2)
    assert (target.classes, target.counts) == (["a", "b"], [1, 1])


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
    target, loaded = classes("b", "a", "b"), ClassTarget(["species"])
    loaded.load_state_dict(saved_and_loaded(target.state_dict()))
    assert (loaded.classes, loaded.counts) == (["a", "b"], [1, 2])
    assert codes(loaded, "b", "a") == [1, 0]


def test_strata_are_the_same_where_the_class_is() -> None:
    target = ClassTarget(["species"])
    first, second, third = target.strata(target.parse(pl.DataFrame({"species": ["b", "a", "b"]}), UNKNOWN))
    assert first == third != second


@pytest.mark.parametrize("labels", [("b", "NAN", "a", "b"), ("NAN", "b", "a", "a")])
def test_a_class_called_nan_has_its_place_among_the_texts(labels: tuple[str, ...]) -> None:
    assert classes(*labels).classes == ["NAN", "a", "b"]  # "NAN" is not a mark of missing cells, but float() takes it


def test_a_numeric_state_that_divides_by_nothing_is_refused() -> None:
    state = NumericTarget.example().state_dict()
    with pytest.raises(ValueError, match="above 0"):
        NumericTarget(["example"]).load_state_dict(state | {"std": torch.zeros(1, dtype=torch.float64)})


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_a_mean_of_outputs_is_that_of_values_in_own_units(transform: str, unit: float):
    scaling = TargetScaling(2, transform)
    amounts = np.random.default_rng(0).gamma(0.5, unit, size=(2, 200))
    scaling.fit([scaling.transformed(column) for column in amounts])
    outputs, weights = 3 * torch.randn(50, 4, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 2, 3, 4])
    values = torch.stack([scaling.in_own_units(output) for output in outputs.unbind(dim=1)], dim=1)
    expected = (values * weights[:, None]).sum(dim=1) / 10  # of values below 0, which log1p does not give, as of 0
    mean = scaling.in_own_units(scaling.mean_of(outputs, weights / 10))
    assert mean.numpy() == pytest.approx(expected.numpy(), rel=2e-5, abs=1e-6 * unit)
