"""Estimators for scikit-learn: `Classifier` and `Regressor` train like the command, on the rows passed to `fit`.

They work with `Pipeline`, `cross_val_score`, `GridSearchCV` and everything else that takes an estimator. A frame needs
no preparation: columns keep their names, and may hold numbers, texts, dates and missing cells.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import polars as pl

from litmlp import cli, run_folder
from litmlp.api import compose, undisturbed
from litmlp.commands.train import train
from litmlp.data.frames import as_frame
from litmlp.data.table import ROLES
from litmlp.data.without_test import WithoutTest
from litmlp.errors import InputError, install, shown
from litmlp.model import load
from litmlp.paths import expanded

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_array, check_consistent_length, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data
except ImportError as error:
    raise ImportError(f"litmlp.sklearn needs scikit-learn: {install('sklearn')}", name="sklearn") from error

SETTINGS = (
    *("data=table", "data.path=null", "logger=none", "trainer.enable_progress_bar=false"),
    "callbacks=[checkpoint,early_stopping,epoch_seed,stop_on_nan]",
)
FIXED = ("data", "data._target_", "data.path", "data.target", "task", "task._target_", "seed", "resume")
LISTS = ("numeric", "categorical", "date", "ignore")  # keys of `data` that list columns, in which overrides name some


class _Estimator(BaseEstimator):
    """The common base of both estimators; see `Classifier` for arguments and attributes."""

    task: str

    def __init__(
        self, overrides: Sequence[str] | None = None, seed: int | None = 0, run_dir: str | Path | None = None
    ) -> None:
        self.overrides = overrides
        self.seed = seed
        self.run_dir = run_dir

    def _fit(self, X: Any, frame: pl.DataFrame, y: np.ndarray, sample_weight: Any) -> Self:
        # y is [N, O].
        targets = [_unused(f"target_{i}", frame.columns) for i in range(y.shape[1])]
        table = frame.with_columns(pl.Series(name, y[:, i]) for i, name in enumerate(targets))
        settings: dict[str, Any] = {}  # for the config's `data`
        if sample_weight is not None:
            settings["weight_column"] = name = _unused("weight", table.columns)
            table = table.with_columns(pl.Series(name, _weights(sample_weight, frame))).filter(pl.col(name) > 0)
        with TemporaryDirectory(prefix="litmlp-") as temporary:
            folder = expanded(temporary if self.run_dir is None else self.run_dir) / cli.unique()
            with cli.in_sentences(), undisturbed():
                config = self._config(targets)
                settings["categorical"] = _categorical_columns(X, frame.columns, config["data"])
                metrics = train(config | {"data": config["data"] | settings}, folder, frame=table)
                if (best := run_folder.best_checkpoint(folder)) is None:
                    raise InputError("overrides leave out what keeps the best weights: add checkpoint to callbacks")
                checkpoint, model = best.read_bytes(), load(best)
        # Set together and last, so that a fit that fails leaves those of an earlier fit.
        self.metrics_, self.checkpoint_, self.model_ = metrics, checkpoint, model
        self.run_folder_ = None if self.run_dir is None else folder
        return self

    def _frame(self, X: Any, y: np.ndarray | None = None) -> pl.DataFrame:
        """Return rows as a frame with the column names of `fit`; raise an error if they do not match.

        `fit` passes `y`, and sets the names. `predict` does not.
        """
        is_fit = y is not None
        X = _computed(X)
        if hasattr(X, "columns"):
            validate_data(self, X, reset=is_fit, skip_check_array=True)
            frame = as_frame(X).collect()
        else:
            cells = validate_data(self, X, reset=is_fit, dtype=None, ensure_all_finite="allow-nan")
            frame = as_frame({str(i): cells[:, i] for i in range(cells.shape[1])}).collect()
        if is_fit:
            check_consistent_length(frame, y)
            if frame.height < 2:
                raise InputError(f"X holds {frame.height} sample, but training needs two or more: give more rows")
        frame.columns = [*getattr(self, "feature_names_in_", (f"x{i}" for i in range(frame.width)))]
        return frame

    def _config(self, targets: list[str]) -> dict[str, Any]:
        if isinstance(self.overrides, str):
            raise InputError(f"overrides is {shown(self.overrides)}: give a list, as [{shown(self.overrides)}]")
        if not all(isinstance(override, str) for override in self.overrides or ()):
            raise InputError(f"overrides is {shown(self.overrides)}: give a list of texts")
        for override in self.overrides or ():
            key = override.partition("=")[0].lstrip("+~")
            if key in FIXED:
                raise InputError(f"overrides hold {shown(override)}, but the estimator itself sets {key}: leave it out")
        seed = "null" if self.seed is None else self.seed
        fixed = (f"task={self.task}", f"data.target=[{','.join(targets)}]", f"seed={seed}")
        config = compose(*SETTINGS, *fixed, *(self.overrides or ()))
        config["data"]["_target_"] = f"{WithoutTest.__module__}.{WithoutTest.__qualname__}"
        return config

    def _predicted(self, X: Any) -> pl.DataFrame:
        check_is_fitted(self, "model_")
        return self.model_.predict(self._frame(X))

    def __getstate__(self) -> dict[str, Any]:
        # A pickle holds the bytes of the checkpoint, from which `__setstate__` loads the model again.
        return {name: value for name, value in super().__getstate__().items() if name != "model_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "checkpoint_" in state:
            with TemporaryDirectory(prefix="litmlp-") as temporary, undisturbed():
                path = Path(temporary) / "best.ckpt"
                path.write_bytes(self.checkpoint_)
                self.model_ = load(path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags


class Classifier(ClassifierMixin, _Estimator):
    """Predicts one of several classes.

    Args:
        overrides: overrides of the config, as for the command `litmlp-train`, such as `["trainer.max_epochs=30"]`.
        seed: of the weights, of the order of rows, and of the choice of validation rows; a new one each time if None.
        run_dir: a folder in which each fit keeps the folder of its run; nothing is kept if None.

    Attributes:
        classes_: the classes, sorted, `[K]`.
        model_: the trained model, see `litmlp.Model`; its names of the classes are their indices in `classes_`.
        metrics_: `val/...` of the best weights, `epochs`, and more; `test/...` is of the same rows as `val/...`.
        checkpoint_: the bytes of the run's `best.ckpt`, which replace `model_` in a pickle.
        run_folder_: the folder of the run; None if it is not kept.
        n_features_in_: the number of columns.
        feature_names_in_: the names of the columns, if they have names.
    """

    task = "classification"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows. A fraction of them, `data.val_size`, decides when to stop and calibrates probabilities.

        Args:
            X: a frame of pandas or Polars, an array, or lists, `[N, F]`; cells may be missing.
            y: a class for each row, `[N]`.
            sample_weight: weight of each row, `[N]`, at least 0; a row of weight 0 is ignored.

        Raises:
            InputError: rows, classes or overrides cannot be used.
            TrainingDiverged: the loss became infinite or NaN.
        """
        X, y = _computed(X), validate_data(self, y=y)
        frame = self._frame(X, y)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise InputError(f"y holds a single class, {shown(classes.tolist()[0])}: give rows of two or more")
        self._fit(X, frame, codes[:, None], sample_weight)
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest class of each row, `[N]`."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, `[N, K]`, in the order of `classes_`."""
        table = self._predicted(X).drop("prediction")
        probabilities = np.zeros((len(table), len(self.classes_)), np.float32)
        indices = [int(name) for name in self.model_.classes or ()]  # without classes whose rows all had weight 0
        probabilities[:, indices] = table.to_numpy()
        return probabilities


class Regressor(RegressorMixin, _Estimator):
    """Predicts one or several numbers. Arguments and attributes are those of `Classifier`, without `classes_`."""

    task = "regression"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows, see `Classifier.fit`; `y` holds numbers, `[N]` or `[N, O]`."""
        X, y = _computed(X), validate_data(self, y=y, multi_output=True, y_numeric=True)
        if y.dtype.kind not in "biuf":
            raise InputError(f"y holds values of type {y.dtype}: give numbers")
        return self._fit(X, self._frame(X, y), y.reshape(len(y), -1), sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return a number for each row, `[N]`, or `[N, O]` if there are several targets."""
        predicted = self._predicted(X).to_numpy().astype(np.float64)
        return predicted[:, 0] if predicted.shape[1] == 1 else predicted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _categorical_columns(X: Any, names: list[str], data: dict[str, Any]) -> list[str]:
    """Return the names of categorical columns: those that overrides list, and those of a categorical type in a frame.

    A column that overrides list as something else is not among them.
    """
    listed = [name for key in LISTS for name in data.get(key) or ()] + [data.get(role) for role in ROLES]
    dtypes = getattr(X, "dtypes", ())
    of_type = [name for name, dtype in zip(names, dtypes, strict=False) if hasattr(dtype, "categories")]
    return [*(data.get("categorical") or ()), *(name for name in of_type if name not in listed)]


def _computed(X: Any) -> Any:
    # Once, because each computation of a lazy frame may give another order of rows.
    return X.collect() if isinstance(X, pl.LazyFrame) else X


def _weights(sample_weight: Any, frame: pl.DataFrame) -> np.ndarray:
    weights = column_or_1d(check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"))
    check_consistent_length(frame, weights)
    check_non_negative(weights, "sample_weight")
    if not weights.any():
        raise InputError("every weight in sample_weight is zero: give some above it")
    return weights


def _unused(name: str, columns: Sequence[str]) -> str:
    """Return `name`, with underscores added until no column has it."""
    while name in columns:
        name += "_"
    return name
