import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

import compare_peers
from conftest import compose_config
from litmlp import build


def test_lines_give_mean_and_deviation_over_seeds() -> None:
    results = [{"a": {"RMSE": 1.0, "seconds": 2.0}, "b": {"RMSE": 3.0, "seconds": 1.0}}]
    results += [{"a": {"RMSE": 2.0, "seconds": 4.0}, "b": {"RMSE": 3.0, "seconds": 1.0}}]
    assert list(compare_peers.lines("t", results)) == [
        "| t | RMSE | 1.5000 ± 0.5000 | 3.0000 ± 0.0000 |",
        "| t | seconds | 3.0 ± 1.0 | 1.0 ± 0.0 |",
    ]


def test_peers_get_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    fit = HistGradientBoostingClassifier.fit

    def spy(self, inputs: np.ndarray, target: np.ndarray):
        seen["rows"] = len(inputs)
        return fit(self, inputs, target)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", spy)
    data = build.data(compose_config("data=penguins"))
    data.setup()
    results = compare_peers.peers(data, seed=0)
    assert seen["rows"] == len(data.tables["train"].numeric) + len(data.tables["val"].numeric)
    assert {name: set(result) for name, result in results.items()} == {
        name: {"accuracy", "AUROC", "log-loss", "seconds"} for name in ("MLP", "boosting")
    }
    assert results["MLP"]["accuracy"] > 0.9
