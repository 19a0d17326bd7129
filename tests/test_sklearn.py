"""The estimators keep scikit-learn's contract, and predict what the project itself does."""

import copy
import os
import pickle
import pickletools
import random
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

import litmlp
from litmlp.api import ENVIRONMENT
from litmlp.errors import InputError, install
from litmlp.sklearn import Classifier, Regressor

NETWORK = ["network=mlp", "network.hidden_sizes=[8]", "network/embedding=none"]
SHORT = [*NETWORK, "trainer.max_epochs=3"]
LONG = [*NETWORK, "trainer.max_epochs=30", "optimizer.lr=0.03"]
NUM_ROWS = 120
FORMS: dict[str, Callable[[dict[str, list]], Any]] = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


def columns() -> dict[str, list]:
    """Numbers, texts and truth values, some of them missing; `colour` and `size` tell the class."""
    generator = np.random.default_rng(0)
    size = generator.normal(size=NUM_ROWS)
    return {
        "size": [None if i % 10 == 0 else value for i, value in enumerate(size.tolist())],
        "colour": [None if i % 15 == 0 else "rgb"[i % 3] for i in range(NUM_ROWS)],
        "is_new": [i % 2 == 0 for i in range(NUM_ROWS)],
        "noise": generator.normal(size=NUM_ROWS).tolist(),
    }


def classes() -> list[str]:
    rows = columns()
    return ["yes" if c == "r" or (s or 0) > 1 else "no" for c, s in zip(rows["colour"], rows["size"], strict=True)]


def amounts() -> np.ndarray:
    rows = columns()
    return np.array([3 * (c == "r") + (s or 0) for c, s in zip(rows["colour"], rows["size"], strict=True)])


def numbers(num_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Three numeric columns, and classes that follow from the first."""
    X = np.random.default_rng(1).normal(size=(60, 3))
    return X, np.argsort(np.argsort(X[:, 0])) * num_classes // 60


@pytest.fixture(scope="module")
def fitted() -> Classifier:
    return Classifier(SHORT).fit(pd.DataFrame(columns()), classes())


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_frame_of_mixed_columns_beats_a_constant(form: Callable):
    X, y = form(columns()), classes()
    assert cross_val_score(Classifier(LONG), X, y).mean() > cross_val_score(DummyClassifier(), X, y).mean() + 0.15
    assert cross_val_score(Regressor(LONG), X, amounts()).mean() > 0.5
    assert cross_val_score(DummyRegressor(), X, amounts()).mean() < 0.1


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_predicts_what_the_run_that_is_kept_predicts(form: Callable, tmp_path: Path):
    X = form(columns())
    classifier = Classifier(SHORT, run_dir=tmp_path / "runs").fit(X, classes())
    regressor = Regressor(SHORT, run_dir=tmp_path / "runs").fit(X, amounts())
    assert {*(tmp_path / "runs").iterdir()} == {classifier.run_folder_, regressor.run_folder_}
    of_classes, of_amounts = (litmlp.load(one.run_folder_).predict(X) for one in (classifier, regressor))
    assert [["no", "yes"][int(place)] for place in of_classes["prediction"]] == classifier.predict(X).tolist()
    assert np.array_equal(of_classes.drop("prediction").to_numpy(), classifier.predict_proba(X))
    assert np.array_equal(of_amounts["prediction"].to_numpy(), regressor.predict(X))


def test_a_weight_of_0_is_as_if_the_row_was_not_there():
    X, y = numbers()
    counts = np.arange(60) % 4 != 0
    weighted = Classifier(SHORT).fit(X, y, sample_weight=3.0 * counts)
    alone = Classifier(SHORT).fit(X[counts], y[counts], sample_weight=np.full(45, 3.0))
    assert np.array_equal(weighted.predict_proba(X), alone.predict_proba(X))


def test_weights_decide_where_rows_contradict_each_other():
    X, y = np.tile([[0.0], [1.0]], (60, 1)), np.repeat(["a", "b"], 60)  # each row once as a, once as b
    predicted = [Classifier(LONG).fit(X, y, np.where(y == heavy, 9.0, 1.0)).predict(X) for heavy in "ab"]
    assert [{*some} for some in predicted] == [{"a"}, {"b"}]


def test_a_class_whose_weights_are_all_0_has_no_probability():
    X, y = numbers()
    probabilities = Classifier(SHORT).fit(X, y, sample_weight=(y != 1) * 1.0).predict_proba(X)
    assert probabilities.shape == (60, 3)
    assert not probabilities[:, 1].any()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_the_same_seed_gives_the_same_bits():
    X, y = numbers()
    first, second, other = (Classifier(SHORT, seed=seed).fit(X, y).predict_proba(X) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_fits_in_threads_give_the_same_bits():
    X, y = numbers()
    alone = [Classifier(SHORT, seed=seed).fit(X, y).predict_proba(X) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        together = pool.map(lambda seed: Classifier(SHORT, seed=seed).fit(X, y).predict_proba(X), range(3))
        assert all(map(np.array_equal, alone, together))


@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy])
def test_a_copy_predicts_the_same_bits(copied: Callable, fitted: Classifier):
    X = pd.DataFrame(columns())
    assert np.array_equal(copied(fitted).predict_proba(X), fitted.predict_proba(X))
    assert copied(fitted).predict(X).tolist() == fitted.predict(X).tolist()


def test_a_pickle_holds_a_checkpoint_and_no_object_of_torch(fitted: Classifier):
    names = [argument for _, argument, _ in pickletools.genops(pickle.dumps(fitted)) if isinstance(argument, str)]
    assert {name.partition(".")[0] for name in names} >= {"litmlp", "numpy"}
    assert {name for name in names if name.startswith(("torch", "lightning", "litmlp"))} == {"litmlp.sklearn"}


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_pickle_whose_checkpoint_was_changed_is_refused(place: float, fitted: Classifier):
    state = fitted.__getstate__()
    content = bytearray(state["checkpoint_"])
    content[int(place * len(content))] ^= 1
    with pytest.raises(InputError, match="not a checkpoint, or a damaged one"):
        Classifier().__setstate__(state | {"checkpoint_": bytes(content)})


def test_a_pickle_whose_checkpoint_would_run_code_is_refused(fitted: Classifier, tmp_path: Path):
    class Harmful:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "proof"),)

    torch.save({"hyper_parameters": {}, "state_dict": Harmful()}, tmp_path / "theirs.ckpt")
    state = fitted.__getstate__() | {"checkpoint_": (tmp_path / "theirs.ckpt").read_bytes()}
    with pytest.raises(InputError, match="could run code"):
        Classifier().__setstate__(state)
    assert not (tmp_path / "proof").exists()


def test_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    X, y = numbers()
    torch.set_num_threads(2)
    before = state_of_process()
    copied = pickle.loads(pickle.dumps(Classifier(SHORT).fit(X, y)))
    copied.predict(X)
    with pytest.raises(InputError):
        Classifier([*SHORT, "optimizer.lr=-1"]).fit(X, y)
    assert state_of_process() == before
    assert [*tmp_path.iterdir()] == []


def state_of_process() -> list[Any]:
    generators = [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]
    seeds = {name: os.environ.get(name) for name in ENVIRONMENT}
    return [*generators, torch.get_num_threads(), torch.get_float32_matmul_precision(), [*warnings.filters], seeds]


def test_grid_search_goes_over_overrides_and_seeds():
    grid = {"overrides": [SHORT, LONG], "seed": [0, 1]}
    search = GridSearchCV(Classifier(), grid, cv=2).fit(pl.DataFrame(columns()), classes())
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_["overrides"] == LONG
    assert search.best_estimator_.overrides == LONG


def test_goes_behind_a_column_transformer():
    X, y = pd.DataFrame(columns()), classes()
    encoded = ColumnTransformer([("levels", OneHotEncoder(sparse_output=False), ["colour"])], remainder="passthrough")
    for output in ("default", "pandas"):
        pipeline = make_pipeline(encoded, Classifier(LONG)).set_output(transform=output).fit(X, y)
        assert pipeline.score(X, y) > 0.85
    assert "remainder__size" in pipeline[-1].feature_names_in_


def test_a_clone_has_the_same_arguments_and_is_not_fitted(fitted: Classifier):
    copied = clone(fitted)
    assert copied.get_params() == {"overrides": SHORT, "seed": 0, "run_dir": None}
    assert not hasattr(copied, "model_")


LABELS = [
    ["b", "a"],
    [True, False],
    [10, -3, 7],
    [2.0, 1.0],
    ["NA", "", "x"],
    [np.datetime64("2020"), np.datetime64("1999")],
]


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_labels_are_whatever_can_be_sorted(labels: list):
    X, codes = numbers(len(labels))
    classifier = Classifier(LONG).fit(X, np.array(labels)[codes])
    assert classifier.classes_.tolist() == sorted(np.array(labels).tolist())
    assert classifier.score(X, np.array(labels)[codes]) > 0.8


@pytest.mark.parametrize("outputs", [(), (1,), (2,)])
def test_predictions_of_numbers_have_the_shape_of_the_targets(outputs: tuple[int, ...]):
    X, _ = numbers()
    regressor = Regressor(SHORT).fit(X, X[:, :2] if outputs == (2,) else X[:, 0].reshape(60, *outputs))
    assert regressor.predict(X[:5]).shape == ((5, 2) if outputs == (2,) else (5,))


CODES = [str(1 + i % 4) for i in range(60)]
CATEGORICAL = {
    "pandas": lambda: pd.DataFrame({"code": map(int, CODES)}).astype("category"),
    "polars": lambda: pl.DataFrame({"code": CODES}, {"code": pl.Categorical}),
    "enum": lambda: pl.DataFrame({"code": CODES}, {"code": pl.Enum(["1", "2", "3", "4"])}),
}


@pytest.mark.parametrize("form", CATEGORICAL.values(), ids=CATEGORICAL)
def test_columns_of_a_categorical_type_hold_levels(form: Callable):
    regressor = Regressor(SHORT).fit(form(), numbers()[0][:, 0])
    assert [column.kind for column in regressor.model_.data.inputs.columns] == ["categorical"]


def test_columns_may_be_called_as_what_is_added_to_them():
    X = pd.DataFrame(numbers()[0], columns=["target_0", "weight", "weight_"])
    regressor = Regressor(SHORT).fit(X, X["weight"], sample_weight=np.ones(60))
    assert regressor.model_.columns == ["target_0", "weight", "weight_"]
    assert regressor.predict(X).shape == (60,)


@pytest.mark.parametrize("key", ["data", "data.path", "data.target", "task", "resume", "seed"])
def test_an_override_of_what_the_estimator_sets_is_refused(key: str):
    for override in (f"{key}=x", f"++{key}=x"):
        with pytest.raises(InputError, match=f"but the estimator itself sets {key}: leave it out"):
            Classifier([override]).fit(*numbers())


def test_a_fit_that_fails_leaves_the_one_before():
    X, y = numbers()
    classifier = Classifier(SHORT).fit(X, np.array(["a", "b", "c"])[y])
    before = classifier.predict(X)
    with pytest.raises(InputError):
        classifier.set_params(overrides=["optimizer.lr=-1"]).fit(X, np.array(["x", "y", "z"])[y])
    assert classifier.predict(X).tolist() == before.tolist()
    assert classifier.score(X, before) == 1


def test_columns_of_a_lazy_frame_have_names():
    X, y = numbers()
    rows = pl.DataFrame(dict(zip("abc", X.T, strict=True)))
    classifier = Classifier(SHORT).fit(rows.lazy(), y)
    assert np.array_equal(classifier.predict_proba(rows.lazy()), classifier.predict_proba(rows))
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(rows.lazy().select("c", "b", "a"))


Fit = Callable[[np.ndarray, np.ndarray], Any]
REFUSED: dict[str, tuple[Fit, Fit]] = {  # what is said: a fit that is refused, and one that follows the advice
    "overrides is 'trainer.max_epochs=1': give a list, as ['trainer.max_epochs=1']": (
        lambda X, y: Classifier("trainer.max_epochs=1").fit(X, y),
        lambda X, y: Classifier(["trainer.max_epochs=1"]).fit(X, y),
    ),
    "overrides is ['seed=1', 3]: give a list of texts": (
        lambda X, y: Classifier(["seed=1", 3]).fit(X, y),
        lambda X, y: Classifier(SHORT).fit(X, y),
    ),
    "y holds values of type timedelta64[s]: give numbers": (
        lambda X, y: Regressor(SHORT).fit(X, y.astype("timedelta64[s]")),
        lambda X, y: Regressor(SHORT).fit(X, y),
    ),
    "there is no config key 'trainer.max_epoch': did you mean 'max_epochs'?": (
        lambda X, y: Classifier(["trainer.max_epoch=1"]).fit(X, y),
        lambda X, y: Classifier(["trainer.max_epochs=1"]).fit(X, y),
    ),
    "overrides leave out what keeps the best weights: add checkpoint to callbacks": (
        lambda X, y: Classifier([*SHORT, "callbacks=none"]).fit(X, y),
        lambda X, y: Classifier([*SHORT, "callbacks=[checkpoint]"]).fit(X, y),
    ),
    "X holds 1 sample, but training needs two or more: give more rows": (
        lambda X, y: Regressor(SHORT).fit(pd.DataFrame(X[:1]), y[:1]),
        lambda X, y: Regressor(SHORT).fit(pd.DataFrame(X[:2]), y[:2]),
    ),
    "y holds a single class, 0: give rows of two or more": (
        lambda X, y: Classifier(SHORT).fit(X, 0 * y),
        lambda X, y: Classifier(SHORT).fit(X, np.minimum(y, 1)),
    ),
    "every weight in sample_weight is zero: give some above it": (
        lambda X, y: Classifier(SHORT).fit(X, y, 0.0 * y),
        lambda X, y: Classifier(SHORT).fit(X, y, 1.0 * y),
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence_whose_advice_helps(said: str):
    refused, followed = REFUSED[said]
    with pytest.raises(InputError, match=re.escape(said)):
        refused(*numbers())
    followed(*numbers())


def test_is_reached_through_the_package_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "litmlp.sklearn")
    monkeypatch.delattr(litmlp, "sklearn")
    assert "sklearn" in dir(litmlp)
    assert litmlp.sklearn.Classifier.__name__ == "Classifier"
    subprocess.run([sys.executable, "-c", "import litmlp, sys; sys.exit('sklearn' in sys.modules)"], check=True)


def test_without_scikit_learn_a_sentence_names_the_extra_and_kept_runs_predict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    X, _ = numbers()
    regressor = Regressor(SHORT, run_dir=tmp_path).fit(X, X[:, 0])
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "litmlp.sklearn")
    with pytest.raises(ImportError, match=re.escape(f"litmlp.sklearn needs scikit-learn: {install('sklearn')}")):
        import_module("litmlp.sklearn")
    assert litmlp.load(regressor.run_folder_).columns == ["x0", "x1", "x2"]


EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "a row that is there twice comes up twice in an epoch, in batches "
    "drawn at random, and twice in the split; a row of weight 2 comes up once, with a larger gradient"
}


@pytest.mark.slow
@parametrize_with_checks(
    [Classifier(["trainer.max_epochs=10"]), Regressor(["trainer.max_epochs=10"])],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_keeps_the_contract(estimator: Any, check: Callable):
    check(estimator)
