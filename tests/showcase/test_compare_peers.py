"""The comparison gives all contestants the same rows, and measures them in the same way."""

import logging
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score, root_mean_squared_error

import compare_peers
from conftest import compose_config
from litmlp import build
from litmlp.data import TableData
from litmlp.errors import install
from litmlp.paths import ROOT

NUM_ROWS = 600


def test_lines_give_mean_and_deviation_over_seeds() -> None:
    results = [{"a": {"RMSE": 1.0, "seconds": 2.0}, "b": {"RMSE": 3.0, "seconds": 1.0}}]
    results += [{"a": {"RMSE": 2.0, "seconds": 4.0}, "b": {"RMSE": 3.0, "seconds": 1.0}}]
    assert list(compare_peers.lines("t", results)) == [
        "| t | RMSE | 1.5000 ± 0.5000 | 3.0000 ± 0.0000 |",
        "| t | seconds | 3.0 ± 1.0 | 1.0 ± 0.0 |",
    ]


@pytest.fixture
def table(tmp_path: Path) -> pl.DataFrame:
    """Rows with a number, a date, two levels and 300 levels; every seventh cell is missing. It is in table.csv, too."""
    rows = np.arange(NUM_ROWS)
    generator = np.random.default_rng(0)
    amount = generator.normal(size=NUM_ROWS)
    colour = np.where(generator.random(NUM_ROWS) < 0.5, "red", "blue")
    columns = {
        "amount": amount,
        "when": [datetime(1969, 12, 30, 18, 45) + timedelta(hours=7 * int(row)) for row in rows],
        "colour": colour,
        "place": [f"place {row % 300}" for row in rows],
    }
    is_missing = pl.Series(rows % 7 == 0)
    frame = pl.DataFrame(columns).select(pl.when(~is_missing).then(pl.all()))
    frame = frame.with_columns(y=pl.Series(amount + 10 * (colour == "red")))
    frame.write_csv(tmp_path / "table.csv")
    return frame


def data_of(*overrides: str) -> TableData:
    data = build.data(compose_config(*overrides))
    assert isinstance(data, TableData)
    data.setup()
    return data


def test_inputs_hold_the_cells_of_the_table(table: pl.DataFrame) -> None:
    data = data_of("data=table", "data.path=table.csv", "data.target=y", "task=regression")
    inputs = compare_peers.inputs_of(data, data.read())
    amounts, days, months, weekdays, days_of_year, hours, colours, places = inputs.iter_columns()
    np.testing.assert_allclose(amounts, table["amount"].fill_null(np.nan), rtol=1e-12)
    for row, when in enumerate(table["when"]):
        parts = [part[row] for part in (days, months, weekdays, days_of_year, hours)]
        if when is None:
            assert np.isnan(parts).all()
            continue
        assert parts[0] == pytest.approx((when - datetime(1970, 1, 1)).total_seconds() / 86_400, rel=1e-12)
        assert parts[1:] == [when.month, when.isoweekday(), when.timetuple().tm_yday, when.hour + when.minute / 60]
    assert colours.to_list() == table["colour"].fill_null("missing").to_list()
    assert places.to_list() == table["place"].fill_null("missing").to_list()


@pytest.mark.parametrize(("num_levels", "is_native"), [(255, True), (256, False)])
def test_boosting_takes_columns_of_very_many_levels_as_numbers(num_levels: int, is_native: bool) -> None:
    pytest.importorskip("catboost")
    levels = np.arange(3 * num_levels) % num_levels
    inputs = pl.DataFrame({"0": levels.astype(float), "1": pl.Series(levels).cast(pl.String)})
    boosting = compare_peers.estimators(inputs, has_classes=False, seed=0)["boosting"]
    boosting.fit(inputs, levels % 2)  # which refuses native columns of more levels
    are_native = boosting[-1].is_categorical_
    assert (are_native is not None and are_native.tolist() == [False, True]) == is_native


def test_peers_get_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    catboost = pytest.importorskip("catboost")
    seen = {}

    def spy(kind: type) -> None:
        fit = kind.fit

        def spied(self, inputs: pl.DataFrame | np.ndarray, target: np.ndarray):
            seen[kind] = len(inputs), np.bincount(target).tolist()
            return fit(self, inputs, target)

        monkeypatch.setattr(kind, "fit", spied)

    spy(HistGradientBoostingClassifier)
    spy(catboost.CatBoostClassifier)
    data = data_of("data=penguins")
    results = compare_peers.peers(data, seed=0)
    known = torch.cat([data.tables[name].target for name in ("train", "val")])
    assert list(seen.values()) == [(len(known), known.bincount().tolist())] * 2
    assert {name: set(result) for name, result in results.items()} == {
        name: {"accuracy", "AUROC", "log-loss", "seconds"} for name in ("MLP", "boosting", "CatBoost")
    }
    assert min(result["accuracy"] for result in results.values()) > 0.9


def test_scores_of_numbers_are_those_of_scikit_learn(table: pl.DataFrame) -> None:
    data = data_of("data=table", "data.path=table.csv", "data.target=y", "task=regression")
    rows = data.parted(data.read())[1]
    y = table["y"].to_numpy()
    mean, std = y[rows["train"]].mean(), y[rows["train"]].std()
    guess = SimpleNamespace(predict=lambda inputs: np.full(len(inputs), 0.5))  # half a deviation above the mean
    metrics = compare_peers.scores(guess, table[rows["test"]], data.tables["test"].target, data)
    expected = root_mean_squared_error(y[rows["test"]], np.full(len(rows["test"]), mean + 0.5 * std))
    assert metrics["rmse"].item() == pytest.approx(expected, rel=1e-6)


def test_scores_of_classes_are_those_of_scikit_learn() -> None:
    data = data_of("data=penguins")
    target = data.tables["test"].target
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), len(target))
    guess = SimpleNamespace(predict_proba=lambda inputs: probabilities)
    metrics = compare_peers.scores(guess, pl.DataFrame(), target, data)
    assert metrics["log_loss"].item() == pytest.approx(log_loss(target, probabilities))
    assert metrics["accuracy"].item() == pytest.approx(accuracy_score(target, probabilities.argmax(1)))
    assert metrics["auroc"].item() == pytest.approx(roc_auc_score(target, probabilities, multi_class="ovr"))


def test_errors_of_prices_are_divided_by_their_deviation() -> None:
    data = data_of("data=diamonds")
    prices = pl.read_parquet(ROOT / "data/diamonds.parquet")["price"].to_numpy()
    std = prices[data.parted(data.read())[1]["train"]].std()
    found = compare_peers.measured({"rmse": 500.0, "r2": 0.9}, 2.0, data)
    assert found == {"RMSE / deviation": pytest.approx(500 / std), "seconds": 2.0}


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "catboost", None)
    monkeypatch.setattr(sys, "argv", ["compare_peers", "--tables", "penguins", "--seeds", "0"])
    monkeypatch.setattr(logging, "disable", lambda: None)
    with pytest.raises(SystemExit) as end:
        compare_peers.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == f"compare_peers: catboost is not installed: {install('compare')}\n"


@pytest.mark.slow
def test_all_contestants_learn_a_table_of_ones_own(table: pl.DataFrame) -> None:
    pytest.importorskip("catboost")
    results = compare_peers.compare("table.csv:y", seed=0)
    assert list(results) == ["litmlp", "MLP", "boosting", "CatBoost"]
    assert all(set(result) == {"RMSE", "seconds"} for result in results.values())
    assert max(result["RMSE"] for result in results.values()) < 0.6 * table["y"].std()
