"""Compare litmlp with scikit-learn on the tables that come with it: python showcase/compare_peers.py.

Each seed gives another split of a table (Adult keeps its official test rows). All settings are the defaults. This
project trains on the training rows and stops early by the validation rows. scikit-learn trains on both kinds of rows;
where HistGradientBoosting stops early, it holds out a part of them. Categorical columns are one-hot encoded for
scikit-learn's MLP and native for boosting. Numbers are standardised for the MLP, and so is its regression target. Each
contestant has one thread.
"""

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score, root_mean_squared_error
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import litmlp
from litmlp import build
from litmlp.commands.train import train
from litmlp.data import ClassTarget, NumericTarget, TableData

TABLES = ("california", "diamonds", "adult", "penguins")
Result = dict[str, float]  # the metrics of the test rows, and the seconds of training


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    logging.disable()
    print("| table | metric | litmlp | scikit-learn's MLP | HistGradientBoosting |\n| --- | --- | --- | --- | --- |")
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
    config = litmlp.compose(f"data={table}", f"seed={seed}", "threads=1")
    data = build.data(config)
    assert isinstance(data, TableData)
    data.setup()
    return {"litmlp": ours(config, data), **peers(data, seed)}


def ours(config: dict[str, Any], data: TableData) -> Result:
    """Train this project as its command does, and return the metrics."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(config, Path(folder) / "run")
    if isinstance(data.target, ClassTarget):
        measured = {"accuracy": metrics["test/accuracy"], "AUROC": metrics["test/auroc"]}
        measured["log-loss"] = metrics["test/log_loss"]
    else:
        measured = in_units(metrics["test/rmse"], data)
    return measured | {"seconds": metrics["fit_seconds"]}


def peers(data: TableData, seed: int) -> dict[str, Result]:
    """Train scikit-learn's estimators on the training and validation rows."""
    frame = data.read()
    _, rows = data.parted(frame)
    known = np.concatenate([rows["train"], rows["val"]])
    numeric = [column.name for column in data.inputs.columns if column.kind == "numeric"]
    texts = [column.name for column in data.inputs.columns if column.kind == "categorical"]
    missing = [*data.notation.level_marks]
    texts_filled = pl.when(~pl.col(texts).is_in(missing)).then(pl.col(texts)).fill_null("missing").name.keep()
    inputs = frame.select(pl.col(numeric).cast(pl.Float64), *([texts_filled] if texts else [])).collect()
    target = frame.select(data.target.columns).collect().to_series().to_numpy()
    results = {}
    for name, estimator in estimators(data, numeric, texts, seed).items():
        start = time.perf_counter()
        with threadpool_limits(1), warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            estimator.fit(inputs[known], target[known])
        seconds = time.perf_counter() - start
        results[name] = scores(estimator, inputs[rows["test"]], target[rows["test"]], data) | {"seconds": seconds}
    return results


def estimators(data: TableData, numeric: list[str], texts: list[str], seed: int) -> dict[str, Any]:
    """Return scikit-learn's estimators, each with the preparation of columns that it needs."""
    filled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    one_hot = make_column_transformer((filled, numeric), (OneHotEncoder(handle_unknown="ignore"), texts))
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    coded = make_column_transformer(("passthrough", numeric), (codes, texts))
    are_texts = [False] * len(numeric) + [True] * len(texts)
    if isinstance(data.target, ClassTarget):
        boosting = HistGradientBoostingClassifier(categorical_features=are_texts, random_state=seed)
        return {
            "MLP": make_pipeline(one_hot, MLPClassifier(random_state=seed)),
            "boosting": make_pipeline(coded, boosting),
        }
    mlp = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
    boosting = HistGradientBoostingRegressor(categorical_features=are_texts, random_state=seed)
    return {"MLP": make_pipeline(one_hot, mlp), "boosting": make_pipeline(coded, boosting)}


def scores(estimator: Any, inputs: pl.DataFrame, target: np.ndarray, data: TableData) -> Result:
    """Return the metrics of an estimator's predictions for the test rows."""
    if not isinstance(data.target, ClassTarget):
        return in_units(root_mean_squared_error(target, estimator.predict(inputs)), data)
    probabilities = estimator.predict_proba(inputs)
    positive = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities
    auroc = roc_auc_score(target, positive, multi_class="ovr")
    accuracy = accuracy_score(target, estimator.predict(inputs))
    return {"accuracy": accuracy, "AUROC": auroc, "log-loss": log_loss(target, probabilities)}


def in_units(rmse: float, data: TableData) -> Result:
    """Return an RMSE with its name; for prices it is divided by the standard deviation of the training rows."""
    if isinstance(data.target, NumericTarget) and data.target.columns == ["price"]:
        return {"RMSE / deviation": rmse / float(data.target.scaling.std)}
    return {"RMSE": rmse}


if __name__ == "__main__":
    main()
