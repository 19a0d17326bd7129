"""What the pages of docs/ say of the project is there."""

import re

from litmlp.paths import PACKAGE, ROOT

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def test_places_that_the_architecture_names_exist():
    folder = ""
    for row in ARCHITECTURE.partition("## Where things are")[2].partition("## ")[0].splitlines():
        for name in re.findall(r"`([\w./]+)`", row.split("|")[1]) if row.startswith("| `") else []:
            folder = name.rstrip("/").rpartition("/")[0] if "/" in name.rstrip("/") else folder
            path = ROOT / name if (ROOT / name).exists() else ROOT / folder / name
            assert path.exists(), name


def test_all_of_the_package_has_a_place_in_the_architecture():
    parts = [path for path in PACKAGE.iterdir() if not path.name.startswith("_") and path.name != "conf"]
    assert len(parts) > 20
    assert [path.name for path in parts if f"{path.name}{'/' * path.is_dir()}`" not in ARCHITECTURE] == []
