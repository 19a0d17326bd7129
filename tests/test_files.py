import json
import math
from pathlib import Path

import pytest

from litmlp.files import replacing, write_json


def test_a_failure_half_way_leaves_the_old_file_whole(tmp_path: Path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_json_lacks_become_null(tmp_path: Path):
    write_json(tmp_path / "m.json", {"a": math.nan, "b": math.inf, "c": 1.5})
    assert json.loads((tmp_path / "m.json").read_text()) == {"a": None, "b": None, "c": 1.5}
