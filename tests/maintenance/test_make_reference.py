"""The page of the configuration is what the script would write, and has all there is to configure.

Of the template: a project of one's own may have options that the page does not have yet.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import make_reference
from conftest import tracked
from litmlp.paths import CONF, ROOT

PAGE = make_reference.PAGE.read_text(encoding="utf-8")


def files() -> list[Path]:
    return [ROOT / name for name in tracked() if name.startswith("conf/") and name.endswith(".yaml")]


def test_the_page_is_what_the_script_writes():
    assert make_reference.page(files()) == PAGE, "run python maintenance/make_reference.py"


def leaves(node: Any, above: str = "") -> Iterator[str]:
    if not isinstance(node, dict) or not node:
        yield above
        return
    for name, value in node.items():
        yield from leaves(value, f"{above}.{name}".lstrip("."))


def test_all_options_and_keys_are_on_the_page():
    sections = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
    options = [path for path in files() if path.parent != CONF and "hydra/help" not in path.as_posix()]
    options = [path for path in options if "_logging" not in path.parent.name]
    assert len(options) > 80
    for path in options:
        group, part = path.parent.relative_to(CONF).as_posix(), make_reference.part_of(path)
        section = sections.get(f"{group} ({part})") or sections[group]
        row = next(line for line in section.splitlines() if line.startswith(f"| `{path.stem}` |"))
        content = yaml.safe_load(path.read_text()) or {}
        content.pop("defaults", None)
        for key in leaves(content):
            if key and not key.rpartition(".")[2].startswith("_"):
                assert f"`{key}: " in row, f"{path}: {key}"


def test_each_key_of_a_class_has_a_meaning():
    rows = [
        line
        for part in PAGE.split("| key | default | meaning |\n| --- | --- | --- |\n")[1:]
        for line in part.partition("\n\n")[0].splitlines()
    ]
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("|  |")] == []


def test_a_comment_beside_a_key_and_one_on_top_are_told_apart(tmp_path: Path):
    path = tmp_path / "one.yaml"
    path.write_text(
        "# Says what it is:\n# in two lines.\ndefaults:\n  - other\n  - _self_\n\n_target_: torch.nn.Huber\n"
        'text: "a"  # in quotes\nouter:  # holds\n  inner: [1, 2]\nlast: null\n'
    )
    one = make_reference.option(path)
    assert (one.description, one.target, one.based_on) == (
        "Says what it is: in two lines.",
        "torch.nn.Huber",
        ["other"],
    )
    keys = [("text", '"a"', "in quotes"), ("outer", "", "holds"), ("outer.inner", "[1, 2]", ""), ("last", "null", "")]
    assert one.keys == keys


@pytest.mark.parametrize("name", ["target", "folds", "rows", "target_type"])
def test_only_what_a_class_takes_is_listed(name: str):
    assert name not in make_reference.arguments("litmlp.playground.Circle")
