import logging
from pathlib import Path
from typing import Any

import pytest

from litmlp.data import NumericTarget, TableData, kept
from litmlp.data.columns import CategoricalColumn
from litmlp.data.kept import set_up


@pytest.fixture(autouse=True)
def _nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept._kept, "kept", {})


def written(folder: Path, factor: int = 1) -> str:
    lines = [f"{row * factor},{'ab'[row % 2]},{row % 7}" for row in range(60)]
    path = folder / "table.csv"
    path.write_text("\n".join(["x,level,y", *lines, "5,a,"]))
    return str(path)


def table(path: str, **settings: Any) -> TableData:
    settings = {"path": path, "target": "y", **settings}
    data = TableData(target_type=NumericTarget, **settings)
    set_up(data, settings)
    return data


def test_the_same_table_is_read_once_and_all_is_as_if_it_was_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    path = written(tmp_path)
    first = table(path)
    said = caplog.messages.copy()
    assert "left out 1 of 61 rows, whose target is missing" in said
    caplog.clear()
    monkeypatch.setattr(TableData, "read", None)
    second = table(path)
    assert caplog.messages == said
    assert second.tables["train"].numeric is first.tables["train"].numeric
    assert second.inputs.decisions == first.inputs.decisions
    assert (second.formats_read, second.assumptions) == (first.formats_read, first.assumptions)
    assert repr(second.state_dict()) == repr(first.state_dict())
    assert second.spec.numeric == first.spec.numeric
    assert second.inputs.columns is not first.inputs.columns
    assert any(isinstance(column, CategoricalColumn) for column in second.inputs.columns)


def test_a_changed_file_is_read_again(tmp_path: Path):
    first = table(written(tmp_path))
    second = table(written(tmp_path, factor=2))
    assert second.tables["train"].numeric is not first.tables["train"].numeric


@pytest.mark.parametrize("other", [{"seed": 1}, {"scaling": "robust"}, {"ignore": ["level"]}])
def test_other_settings_are_read_again(tmp_path: Path, other: dict[str, Any]):
    path = written(tmp_path)
    first, second, again = table(path), table(path, **other), table(path)
    assert second.tables["train"].numeric is not first.tables["train"].numeric
    assert again.tables["train"].numeric is first.tables["train"].numeric


def test_rows_whose_origin_is_unknown_are_not_kept(tmp_path: Path):
    class Doubled(TableData):
        pass

    path = written(tmp_path)
    settings = {"path": path, "target": "y"}
    framed = TableData(target_type=NumericTarget, **settings)
    framed.frame = framed.read().collect()
    for data in (Doubled(target_type=NumericTarget, **settings), framed):
        set_up(data, settings)
        assert data.tables
    assert not kept._kept.kept


def test_large_tables_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept, "MAX_BYTES", 100)
    table(written(tmp_path))
    assert not kept._kept.kept
