from typing import Any

import pytest

from litmlp.data import ClassTarget, kept
from litmlp.playground import Spiral


def spiral(**settings: Any) -> Spiral:
    data = Spiral(target_type=ClassTarget, **settings)
    kept.set_up(data, settings)
    return data


def test_rows_of_the_same_settings_are_drawn_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept._kept, "kept", {})
    first, other = spiral(seed=1), spiral(seed=2)
    monkeypatch.setattr(Spiral, "draw", None)
    assert spiral(seed=1).tables["val"].numeric is first.tables["val"].numeric
    assert spiral(seed=2).tables["val"].numeric is other.tables["val"].numeric


def test_rows_by_the_rule_of_another_package_are_drawn_each_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept._kept, "kept", {})

    class Mine(Spiral):
        pass

    kept.set_up(Mine(target_type=ClassTarget), {})
    assert not kept._kept.kept
