import io

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from litmlp.data.encoding import CategoricalEncoder, NumericEncoder, as_numbers, as_text
from litmlp.errors import InputError


def numeric(train: pl.DataFrame, scaling: str = "standard") -> NumericEncoder:
    encoder = NumericEncoder(scaling)
    encoder.columns = train.columns
    encoder.fit(train)
    return encoder


def categorical(**train: list[str | None]) -> CategoricalEncoder:
    encoder = CategoricalEncoder()
    encoder.columns = list(train)
    encoder.fit(pl.DataFrame(train))
    return encoder


def codes(encoder: CategoricalEncoder, **columns: list[str | None]) -> list[list[int]]:
    return encoder.encode(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))).tolist()


def saved_and_loaded(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def sample(num_rows: int, seed: int = 0) -> pl.DataFrame:
    """Three columns of different scale; the second has missing cells."""
    values = np.random.default_rng(seed).normal([0, 50, -3], [1, 20, 0.01], (num_rows, 3))
    frame = pl.DataFrame(values, schema=["a", "b", "c"])
    return frame.with_columns(pl.when(pl.int_range(pl.len()) % 7 > 0).then("b"))


def test_standardisation_equals_scikit_learn() -> None:
    train, other = sample(200), sample(50, seed=1)
    oracle = StandardScaler().fit(train.to_numpy())
    expected = np.nan_to_num(oracle.transform(other.to_numpy()))
    np.testing.assert_allclose(numeric(train).encode(other)[:, :3], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile"])
def test_missing_cell_becomes_0_and_is_marked(scaling: str) -> None:
    encoder = numeric(pl.DataFrame({"clean": [1.0, 2, 3, 4], "gaps": [1.0, None, 3, 8]}), scaling)
    encoded = encoder.encode(pl.DataFrame({"clean": [2.0, 9], "gaps": [None, 2.0]}))
    assert encoder.names == ["clean", "gaps", "gaps is missing"]
    assert encoded.shape == (2, 3)
    assert encoded[0, 1] == 0
    assert encoded[1, 1] != 0
    assert encoded[:, 2].tolist() == [1, 0]


def test_missing_cell_in_a_column_clean_in_training_becomes_0_without_a_mark() -> None:
    encoder = numeric(pl.DataFrame({"a": [1.0, 2, 6]}))
    assert encoder.names == ["a"]
    assert encoder.encode(pl.DataFrame({"a": [None]}, schema={"a": pl.Float64})).tolist() == [[0.0]]


def test_column_without_any_value_in_training_becomes_0_and_is_marked() -> None:
    train = pl.DataFrame({"a": [None, None]}, schema={"a": pl.Float64})
    assert numeric(train).encode(train).tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_no_numeric_columns_give_a_tensor_of_width_0() -> None:
    encoder = NumericEncoder("standard")
    frame = pl.DataFrame({"other": ["u", "v"]})
    encoder.fit(frame)
    assert encoder.encode(frame).shape == (2, 0)


@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile"])
def test_numeric_state_loaded_from_a_file_gives_the_same_encoding(scaling: str) -> None:
    fitted, other = numeric(sample(200), scaling), sample(50, seed=1)
    loaded = NumericEncoder(scaling)
    loaded.load_state_dict(saved_and_loaded(fitted.state_dict()))
    assert loaded.names == fitted.names
    assert torch.equal(loaded.encode(other), fitted.encode(other))


def test_levels_have_codes_from_2_in_sorted_order() -> None:
    encoder = categorical(colour=["red", "blue", "red", "green"])
    assert codes(encoder, colour=["blue", "green", "red"]) == [[2], [3], [4]]
    assert encoder.cardinalities == [5]


def test_unseen_level_has_code_0_and_missing_cell_code_1() -> None:
    encoder = categorical(colour=["red", "blue"], size=["s", None])
    assert codes(encoder, colour=["violet", None], size=[None, "xl"]) == [[0, 1], [1, 0]]


def test_column_without_any_level_in_training_knows_only_missing() -> None:
    encoder = CategoricalEncoder()
    encoder.columns = ["a"]
    encoder.fit(pl.DataFrame({"a": [None]}, schema={"a": pl.String}))
    assert encoder.cardinalities == [2]
    assert codes(encoder, a=["x", None]) == [[0], [1]]


def test_no_categorical_columns_give_a_tensor_of_width_0() -> None:
    encoded = categorical().encode(pl.DataFrame({"other": [1, 2]}))
    assert encoded.shape == (2, 0)
    assert encoded.dtype == torch.int64


def test_categorical_state_loaded_from_a_file_gives_the_same_codes() -> None:
    fitted, loaded = categorical(colour=["red", "blue", None]), CategoricalEncoder()
    loaded.load_state_dict(saved_and_loaded(fitted.state_dict()))
    assert loaded.cardinalities == fitted.cardinalities == [4]
    assert codes(loaded, colour=["red", "blue", None, "x"]) == [[3], [2], [1], [0]]


def test_loaded_state_is_a_copy() -> None:
    fitted, loaded = categorical(colour=["red", "blue"]), CategoricalEncoder()
    loaded.load_state_dict(fitted.state_dict())
    fitted.levels[0].append("zinc")
    assert loaded.levels == [["blue", "red"]]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1, None, 3], [1.0, None, 3.0]),
        ([1.5, float("nan")], [1.5, None]),
        (["1e2", None, "-3"], [100.0, None, -3.0]),
        ([True, False, None], [1.0, 0.0, None]),
    ],
)
def test_numbers_are_read_with_null_for_missing(cells: list, expected: list) -> None:
    numbers = as_numbers(pl.Series("a", cells, strict=False))
    assert numbers.dtype == pl.Float64
    assert numbers.to_list() == expected


def test_cell_that_is_no_number_is_named_with_its_column_and_row() -> None:
    with pytest.raises(
        InputError, match=r"column 'age' should hold finite numbers, but its row 3 holds 'old': correct"
    ):
        as_numbers(pl.Series("age", ["1", None, "old", "older"]))


def test_number_with_spaces_is_a_number_beside_a_cell_that_is_none() -> None:
    with pytest.raises(InputError, match="row 2 holds 'old'"):
        as_numbers(pl.Series("age", [" 1", "old"]))
    assert as_numbers(pl.Series("age", [" 1", "2\t"])).to_list() == [1, 2]


@pytest.mark.parametrize(
    ("cells", "shown"),
    [([1.0, float("nan"), float("inf")], "inf"), ([None, 1.0, -float("inf")], "-inf"), (["1", "nan", "inf"], "'inf'")],
)
def test_infinite_cell_is_refused(cells: list, shown: str) -> None:
    with pytest.raises(InputError, match=f"column 'age' should hold finite numbers, but its row 3 holds {shown}:"):
        as_numbers(pl.Series("age", cells))


@pytest.mark.parametrize("cells", [[1, 2, None], [1.0, 2.0, None], [1.0, 2.0, float("nan")], ["1", "2", None]])
def test_the_same_level_has_the_same_text_whatever_its_type(cells: list) -> None:
    assert as_text(pl.Series("a", cells, strict=False)).to_list() == ["1", "2", None]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [([1.5, 0.25], ["1.5", "0.25"]), ([True, False], ["true", "false"]), (["a ", ""], ["a ", ""])],
)
def test_other_levels_keep_their_text(cells: list, expected: list[str]) -> None:
    assert as_text(pl.Series("a", cells)).to_list() == expected


def test_whole_number_has_the_same_text_beside_a_fraction() -> None:
    assert as_text(pl.Series("a", [1.5, 2.0])).to_list() == ["1.5", "2"]


def test_encoding_is_row_by_row() -> None:
    encoder, other = numeric(sample(200), "quantile"), sample(20, seed=1)
    one_by_one: list[Tensor] = [encoder.encode(other[i]) for i in range(len(other))]
    assert torch.equal(torch.cat(one_by_one), encoder.encode(other))
