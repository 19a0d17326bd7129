import pytest

from litmlp.sweeps.importance import importances


def test_importance_is_of_what_decides():
    decides = [(index * 7) % 40 / 40 for index in range(40)]
    texts = {"decides": [*map(str, decides)], "idle": [str((index * 11) % 40 / 40) for index in range(40)]}
    shares = importances(texts, decides, "min")
    assert shares is not None
    assert shares["decides"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)


def test_too_few_runs_or_settings_have_none():
    assert importances({"a": ["1", "2", "3"], "b": ["3", "1", "2"]}, [1.0, 2.0, 3.0], "min") is None
    assert importances({"a": ["1", "2", "3", "4"]}, [1.0, 2.0, 3.0, 4.0], "min") is None
