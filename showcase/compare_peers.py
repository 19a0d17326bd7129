"""Compare litmlp with scikit-learn and CatBoost on the same rows: python showcase/compare_peers.py.

A table is one of those that come with this project, or any other as FILE:TARGET. Each seed gives another split of it
(Adult keeps its official test rows). All settings are the defaults. This project trains on the training rows and stops
early by the validation rows. The others train on both kinds of rows; where HistGradientBoosting stops early, it holds
out a part of them. All of them get the cells as this project reads them, and the target as it standardises it. Dates
become numbers for the others. Categorical columns are one-hot encoded for scikit-learn's MLP and native for boosting,
but HistGradientBoosting takes columns of more than 255 levels as numbers. Numbers are standardised for the MLP. Each
contestant has one thread.
"""

import logging
import math
import tempfile
import time
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from polars import selectors
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

import litmlp
from litmlp import build, process
from litmlp.auto_task import with_task
from litmlp.commands.train import train
from litmlp.data import ClassTarget, NumericTarget, TableData
from litmlp.data.cells import Levels
from litmlp.data.columns import Column
from litmlp.data.columns.date import DAY, HOUR
from litmlp.data.inputs import collected
from litmlp.data.notation import Notation
from litmlp.tasks import ClassificationTask, RegressionTask
from litmlp.tasks.metrics import values_of
from tables import overrides_of, parser

METRICS = {"rmse": "RMSE", "accuracy": "accuracy", "auroc": "AUROC", "log_loss": "log-loss"}
MAX_LEVELS = 255  # of a categorical column in HistGradientBoosting
Result = dict[str, float]  # the metrics of the test rows, and the seconds of training


def main() -> None:
    """Run the command."""
    assert __doc__
    given = parser(__doc__).parse_args()
    with process.guarded("compare_peers"):
        logging.disable()
        print("| table | metric | litmlp | scikit-learn's MLP | HistGradientBoosting | CatBoost |")
        print("| --- | --- | --- | --- | --- | --- |")
        for table in given.tables:
            for line in lines(table, [compare(table, seed) for seed in given.seeds]):
                print(line, flush=True)


def lines(table: str, results: list[dict[str, Result]]) -> Iterator[str]:
    """Yield a line of the table for each metric, with the mean and the standard deviation over seeds."""
    for metric in next(iter(results[0].values())):
        digits = 1 if metric == "seconds" else 4
        cells = []
        for contestant in results[0]:
            values = np.array([result[contestant][metric] for result in results])
            cells.append(f"{values.mean():.{digits}f} ± {values.std():.{digits}f}")
        yield f"| {table} | {metric} | {' | '.join(cells)} |"


def compare(table: str, seed: int) -> dict[str, Result]:
    """Train all contestants on the same rows."""
    config = with_task(litmlp.compose(*overrides_of(table), f"seed={seed}", "threads=1"))
    data = build.data(config)
    assert isinstance(data, TableData)
    data.setup()
    others = peers(data, seed)  # first, so that a missing package is noticed at once
    return {"litmlp": ours(config, data), **others}


def ours(config: dict[str, Any], data: TableData) -> Result:
    """Train this project as its command does, and return the metrics."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(config, Path(folder) / "run")
    of_test = {name.removeprefix("test/"): value for name, value in metrics.items() if name.startswith("test/")}
    return measured(of_test, metrics["fit_seconds"], data)


def peers(data: TableData, seed: int) -> dict[str, Result]:
    """Train the other contestants on the training and validation rows."""
    frame = data.derive(data.read())
    parsed, rows = data.parted(frame)
    known, test = np.concatenate([rows["train"], rows["val"]]), rows["test"]
    inputs, target = inputs_of(data, frame), data.target.encode(parsed, known).flatten().numpy()
    results = {}
    for name, estimator in estimators(inputs[known], isinstance(data.target, ClassTarget), seed).items():
        start = time.perf_counter()
        with threadpool_limits(1), warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            estimator.fit(inputs[known], target)
        seconds = time.perf_counter() - start
        metrics = scores(estimator, inputs[test], data.target.encode(parsed, test), data)
        results[name] = measured(metrics, seconds, data)
    return results


def inputs_of(data: TableData, frame: pl.LazyFrame) -> pl.DataFrame:
    """Return the input columns of all rows: numbers as Float64, NaN where missing, and levels as text.

    The columns are numbered, since the name of a part of a date may be that of another column.
    """
    cells = collected(frame, [column.name for column in data.inputs.columns])
    of_each = [values_of_cells(column, cells[column.name], data.notation) for column in data.inputs.columns]
    return pl.DataFrame({str(number): values for number, values in enumerate(chain.from_iterable(of_each))})


def values_of_cells(column: Column, cells: pl.Series, notation: Notation) -> list[pl.Series]:
    """Return the cells of a column; those of dates as several numbers, see `parts_of_dates`."""
    parsed = column.parse(cells, notation)
    if isinstance(parsed, Levels):
        names = np.array([*parsed.names, "missing"], dtype=object)  # the code of a missing cell, -1, is the last index
        return [pl.Series(names[parsed.codes], dtype=pl.String)]
    numbers = parts_of_dates(parsed.values) if column.kind == "date" else [parsed.values]
    is_missing = False if parsed.is_missing is None else parsed.is_missing
    return [pl.Series(np.where(is_missing, np.nan, values), dtype=pl.Float64) for values in numbers]


def parts_of_dates(microseconds: np.ndarray) -> list[np.ndarray]:
    """Return days since 1970, month, weekday, day of the year and hour of timestamps in microseconds since 1970."""
    dates = pl.Series(microseconds).cast(pl.Datetime("us")).dt
    calendar = [part.to_numpy() for part in (dates.month(), dates.weekday(), dates.ordinal_day())]
    return [microseconds / DAY, *calendar, microseconds % DAY / HOUR]


def estimators(inputs: pl.DataFrame, has_classes: bool, seed: int) -> dict[str, Any]:
    """Return the other contestants, each with the preparation of columns that it needs.

    Args:
        inputs: the rows to train on, as `inputs_of` returns them.
        has_classes: whether the target is a class.
        seed: of the contestants' random numbers.
    """
    from catboost import CatBoostClassifier, CatBoostRegressor  # of an extra, whose lack `guarded` reports

    mlp, boosting, catboost = (
        (MLPClassifier, HistGradientBoostingClassifier, CatBoostClassifier)
        if has_classes
        else (MLPRegressor, HistGradientBoostingRegressor, CatBoostRegressor)
    )
    numeric, texts = inputs.select(selectors.float()).columns, inputs.select(selectors.string()).columns
    filled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    one_hot = make_column_transformer((filled, numeric), (OneHotEncoder(handle_unknown="ignore"), texts))
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    coded = make_column_transformer(("passthrough", numeric), (codes, texts))
    are_native = [False] * len(numeric) + [inputs[name].n_unique() <= MAX_LEVELS for name in texts]
    settings = {"random_seed": seed, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    return {
        "MLP": make_pipeline(one_hot, mlp(random_state=seed)),
        "boosting": make_pipeline(coded, boosting(categorical_features=are_native, random_state=seed)),
        "CatBoost": catboost(cat_features=texts, **settings),
    }


def scores(estimator: Any, inputs: pl.DataFrame, target: Tensor, data: TableData) -> dict[str, Any]:
    """Return this project's metrics of an estimator's predictions for rows with an encoded target."""
    if isinstance(data.target, ClassTarget):
        probabilities = torch.from_numpy(estimator.predict_proba(inputs))
        return values_of(ClassificationTask.build_metrics(data.target), probabilities, target)
    assert isinstance(data.target, NumericTarget)
    prediction = torch.from_numpy(estimator.predict(inputs))[:, None]
    in_own_units = data.target.scaling.in_own_units
    return values_of(RegressionTask.build_metrics(data.target), in_own_units(prediction), in_own_units(target))


def measured(metrics: dict[str, Any], seconds: float, data: TableData) -> Result:
    """Return the metrics that are shown; the RMSE of prices is divided by the deviation of the training rows."""
    numbers = {name: math.nan if value is None else float(value) for name, value in metrics.items()}
    found = {shown: numbers[name] for name, shown in METRICS.items() if name in numbers}
    if isinstance(data.target, NumericTarget) and data.target.columns == ["price"]:
        found = {"RMSE / deviation": found["RMSE"] / float(data.target.scaling.std)}
    return {**found, "seconds": seconds}


if __name__ == "__main__":
    main()
