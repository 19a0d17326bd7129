from pathlib import Path

import pytest

from litmlp import paths
from litmlp.errors import InputError


def test_the_current_folder_comes_before_the_project(tmp_path: Path):
    assert paths.find("data/penguins.csv") == paths.ROOT / "data/penguins.csv"
    (tmp_path / "data").mkdir()
    (tmp_path / "data/penguins.csv").touch()
    assert paths.find("data/penguins.csv").resolve() == (tmp_path / "data/penguins.csv").resolve()


def test_a_missing_file_names_both_places(tmp_path: Path):
    with pytest.raises(InputError, match=f"'no.csv' under {tmp_path} nor under {paths.ROOT}"):
        paths.find("no.csv")


def test_portable_paths_say_nothing_of_the_machine():
    assert paths.portable("data/mine.csv") == "data/mine.csv"
    assert paths.portable(str(paths.ROOT / "data/mine.csv")) == "data/mine.csv"
    assert paths.portable("/home/somebody/secret/mine.csv") == "mine.csv"


def test_paths_are_shown_as_one_would_type_them(tmp_path: Path):
    assert paths.display(tmp_path / "runs/a") == "runs/a"
    assert paths.display(tmp_path.parent) == str(tmp_path.parent)
