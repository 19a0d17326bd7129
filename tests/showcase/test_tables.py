from pathlib import Path

import pytest

from conftest import compose_config
from litmlp.errors import InputError
from tables import TABLES, overrides_of, parser


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_this_project_is_its_config(table: str) -> None:
    assert overrides_of(table) == [f"data={table}"]
    assert Path(compose_config(*overrides_of(table))["data"]["path"]).stem == table


def test_any_other_table_is_a_file_and_a_column() -> None:
    data = compose_config(*overrides_of("C:/my rows.csv:price (EUR)"))["data"]
    assert (data["path"], data["target"]) == ("C:/my rows.csv", "price (EUR)")


@pytest.mark.parametrize("table", ["penguin", "rows.csv", "rows.csv:", ":price"])
def test_anything_else_is_refused(table: str) -> None:
    with pytest.raises(InputError, match=rf"^'{table}' is no table: give FILE:TARGET, or one of california, "):
        overrides_of(table)


def test_a_file_may_list_the_tables(tmp_path: Path) -> None:
    (tmp_path / "tables.txt").write_text("penguins\nmy rows.csv:price\n")
    given = parser("").parse_args(["--tables", "adult", f"@{tmp_path}/tables.txt", "--seeds", "3", "4"])
    assert given.tables == ["adult", "penguins", "my rows.csv:price"]
    assert given.seeds == [3, 4]
    assert list(parser("").parse_args([]).seeds) == [0, 1, 2, 3, 4]
