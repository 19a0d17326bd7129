from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.preprocessing import StandardScaler

from litmlp.data import ClassTarget, NumericTarget
from litmlp.errors import InputError
from litmlp.playground import Circle, FunctionData

INPUTS = {
    "x1": lambda x1, x2: x1,
    "x1^2": lambda x1, x2: np.square(x1),
    "x2^2": lambda x1, x2: np.square(x2),
    "x1*x2": lambda x1, x2: x1 * x2,
    "sin(x1)": lambda x1, x2: np.sin(x1),
    "sin(x2)": lambda x1, x2: np.sin(x2),
    "sqrt(x1^2 + x2^2) - 3": lambda x1, x2: np.hypot(x1, x2) - 3,
}


def circle(**arguments: Any) -> Circle:
    return Circle(target_type=ClassTarget, **arguments)


def written(folder: Path, text: str) -> Path:
    path = folder / "points.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", INPUTS)
def test_inputs_are_computed_as_numpy_does(text: str) -> None:
    data = circle(inputs=[text])
    frame = data.derive(data.read()).collect()
    x1, x2 = frame["x1"].to_numpy(), frame["x2"].to_numpy()
    assert_allclose(frame[text].to_numpy(), INPUTS[text](x1, x2), rtol=1e-12, atol=1e-12)


def test_inputs_are_encoded_in_their_order_and_standardised(tmp_path: Path) -> None:
    def raw(points: np.ndarray) -> np.ndarray:
        return np.stack([formula(*points.T) for formula in INPUTS.values()], axis=1)

    data = circle(inputs=list(INPUTS))
    data.setup()
    points = np.random.default_rng(1).uniform(-5, 5, (20, 2))
    path = written(tmp_path, "x1,x2\n" + "\n".join(f"{float(a)!r},{float(b)!r}" for a, b in points))
    train = data.read().collect()["x1", "x2"].to_numpy()[data.parted(data.read())[1]["train"]]
    expected = StandardScaler().fit(raw(train)).transform(raw(points))
    assert data.spec.numeric == list(INPUTS)
    assert_allclose(data.encode_rows(path, has_target=False).numeric, expected, rtol=1e-4, atol=1e-5)


def test_training_inputs_equal_scikit_learns_standardisation() -> None:
    data = circle(inputs=["x1^2", "x2"])
    data.setup()
    frame = data.read().collect()
    rows = data.parted(data.read())[1]["train"]
    raw = np.stack([frame["x1"].to_numpy() ** 2, frame["x2"].to_numpy()], axis=1)[rows]
    assert_allclose(data.tables["train"].numeric, StandardScaler().fit_transform(raw), rtol=1e-4, atol=1e-5)


def test_inputs_are_the_variables_by_default() -> None:
    data = circle()
    data.setup()
    assert (data.spec.numeric, data.spec.categorical) == (["x1", "x2"], {})


def test_missing_cell_makes_inputs_of_it_missing(tmp_path: Path) -> None:
    data = circle(inputs=["x1", "x1*x2"])
    data.setup()
    encoded = data.encode_rows(written(tmp_path, "x1,x2\n1,\n1,2\n"), has_target=False).numeric
    assert encoded[0, 0] == encoded[1, 0] != 0
    assert encoded[0, 1] == 0 != encoded[1, 1]


def test_input_outside_a_functions_domain_is_missing_and_marked() -> None:
    data = circle(inputs=["sqrt(x1)"])
    data.setup()
    assert data.spec.numeric == ["sqrt(x1)", "sqrt(x1) is missing"]
    scaled, mark = data.tables["train"].numeric.T
    assert 0.4 < mark.mean() < 0.6
    assert (scaled[mark == 1] == 0).all()


def test_file_without_a_variable_is_refused(tmp_path: Path) -> None:
    data = circle(inputs=["x1"])
    data.setup()
    with pytest.raises(InputError, match="no column 'x2': the rows need x1, x2"):
        data.encode_rows(written(tmp_path, "x1\n1\n"), has_target=False)


def test_text_for_a_variable_is_refused(tmp_path: Path) -> None:
    data = circle()
    data.setup()
    with pytest.raises(InputError, match=r"'x2' .* row 2 holds 'high'"):
        data.encode_rows(written(tmp_path, "x1,x2\n1,2\n1,high\n"), has_target=False)


def test_infinite_variable_is_refused(tmp_path: Path) -> None:
    data = circle()
    data.setup()
    with pytest.raises(InputError, match=r"column 'x1' should hold finite numbers, but its row 2 holds inf"):
        data.encode_rows(written(tmp_path, "x1,x2\n1,2\ninf,1\n"), has_target=False)


def test_input_that_is_infinite_somewhere_is_refused(tmp_path: Path) -> None:
    data = circle(inputs=["1/x1"])
    data.setup()
    with pytest.raises(InputError, match=r"the input '1/x1' is infinite in row 3"):
        data.encode_rows(written(tmp_path, "x1,x2\n1,2\n,2\n0,1\n"), has_target=False)


@pytest.mark.parametrize(("text", "near"), [("x1 + x22", "x2"), ("sinus(x1)", "sin")])
def test_unknown_names_in_inputs_are_refused_at_once(text: str, near: str) -> None:
    with pytest.raises(InputError, match=rf"did you mean '{near}'\?"):
        circle(inputs=[text])


def test_inputs_cannot_see_the_label() -> None:
    with pytest.raises(InputError, match="names 'label'"):
        circle(inputs=["label"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 9}, "num_samples must be from 10 to 10000000, not 9"),
        ({"num_samples": 10**12}, "num_samples must be from 10 to 10000000, not 1000000000000"),
        ({"noise": -0.1}, "noise must lie between 0 and 1, not -0.1"),
        ({"noise": 1.5}, "noise must lie between 0 and 1, not 1.5"),
        ({"inputs": []}, r"inputs=\[\] must be one or several different expressions of"),
        ({"inputs": ["x1", "x2", "x1"]}, "must be one or several different expressions of"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        circle(**arguments)


def test_rows_are_as_many_as_asked_for() -> None:
    data = FunctionData(target_type=NumericTarget, num_samples=50)
    data.setup()
    assert {split: len(batch.numeric) for split, batch in data.tables.items()} == {"train": 30, "val": 10, "test": 10}


def test_reading_again_gives_the_same_rows() -> None:
    data = circle(noise=0.3)
    assert data.read().collect().equals(data.read().collect())


def test_rows_that_would_fill_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("litmlp.machine.available_memory", lambda: 10**6)
    with pytest.raises(
        InputError, match=r"num_samples=100000 would take 6\.4 MB of memory, but 1 MB are free: give less"
    ):
        Circle(target_type=ClassTarget, num_samples=100_000).setup()
    Circle(target_type=ClassTarget, num_samples=10_000).setup()
