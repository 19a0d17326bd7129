import json
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from litmlp import files
from litmlp.errors import InputError
from litmlp.files import read_json, read_yaml, replacing, write_json, write_yaml


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
    assert read_json(tmp_path / "m.json") == {"a": None, "b": None, "c": 1.5}
    assert json.loads((tmp_path / "m.json").read_text()).keys() == {"a", "b", "c", "crc32"}


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)
OBJECTS = st.dictionaries(
    st.text(
        st.characters(
            codec="utf-8",
        ),
        min_size=1,
    ),
    PLAIN,
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(OBJECTS)
def test_yaml_is_read_as_it_was_written_without_a_word(content: dict[str, Any]):
    path = Path("any.yaml")
    write_yaml(path, content)
    with warnings_of_files() as said:
        assert repr(read_yaml(path)) == repr(content)
    assert not said


@settings(max_examples=200, deadline=None)
@given(OBJECTS | st.dictionaries(st.sampled_from(["data", "yes", "null"]), OBJECTS, max_size=3))
def test_yaml_of_remembered_parts_is_that_of_the_whole(content: dict[str, Any]):
    whole = yaml.dump(content, Dumper=files.Dumper, sort_keys=False, allow_unicode=True, width=1000)
    assert files.dump(content) == whole
    assert files.dump(content) == whole


@settings(max_examples=100, deadline=None)
@given(OBJECTS.filter(lambda content: "inf" not in repr(content) and "crc32" not in content))
def test_json_is_read_as_it_was_written_without_a_word(content: dict[str, Any]):
    write_json(Path("any.json"), content)
    with warnings_of_files() as said:
        assert repr(read_json(Path("any.json"))) == repr(content)
    assert not said


@contextmanager
def warnings_of_files() -> Iterator[list[str]]:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    files._warn_of_change.cache_clear()
    files.log.addHandler(handler)
    yield said
    files.log.removeHandler(handler)


@pytest.mark.parametrize("name", ["x.json", "x.yaml"])
def test_what_a_person_edited_is_used_and_said(name: str):
    write, read = (write_json, read_json) if name.endswith("json") else (write_yaml, read_yaml)
    write(Path(name), {"rate": 0.25})
    Path(name).write_text(Path(name).read_text().replace("0.25", "1e-3"))
    with warnings_of_files() as said:
        assert read(Path(name)) == {"rate": 0.001}
    assert said == [f"{name} was changed since it was written: what it says now is used"]


def test_what_has_no_sum_is_used_and_said():
    """A person may have written it, or it was cut short where a line ends."""
    Path("x.json").write_text('{"a": 1}')
    Path("x.yaml").write_text("a: 2024-01-01\n")
    with warnings_of_files() as said:
        assert (read_json(Path("x.json")), read_yaml(Path("x.yaml"))) == ({"a": 1}, {"a": "2024-01-01"})
    assert [line.split()[0] for line in said] == ["x.json", "x.yaml"]


LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrstuvw"))
MERGES = "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [*{a}, *{a}]}}\n" for a, b in pairwise("abcdefghijklmnopqrstuvw"))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "# nothing",
            "- 1",
            "1",
            "a",
            "a: [",
            "a: " + "[" * 10_000,
            "a: " + "[" * 10_000 + "]" * 10_000,
            "{" * 10_000,
        ),
        *(
            "a: &a [*a]",
            LAUGHS,
            MERGES,
            "a: !!python/object/apply:os.getcwd []",
            "a: !!set {x}",
            "a: !!binary aGk=",
            "? [1]",
        ),
        *(
            "a: !!timestamp 2024-01-01",
            "1: a",
            "a: 1" + "0" * 30,
            'a: "\\ud800"',
            "a: \0",
            "a: b: c",
            "\ta: 1",
            "%YAML 9",
        ),
    ],
)
def test_yaml_that_is_no_mapping_of_plain_values_is_refused(text: str):
    Path("x.yaml").write_text(text)
    with pytest.raises(InputError, match=r"'x\.yaml' is damaged \(.*\): put back a copy of it, or start a new run"):
        read_yaml(Path("x.yaml"))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "1", "{", "[" * 100_000, '{"a":' + "1" * 5000 + "}", '{"a": 1' + "0" * 30 + "}", '{"a": "\\ud800"}'],
)
def test_json_that_is_no_object_of_plain_values_is_refused(text: str):
    Path("x.json").write_text(text)
    with pytest.raises(InputError, match=r"'x\.json' is damaged \(.*\): put back a copy of it, or start a new run"):
        read_json(Path("x.json"))


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"a: \xff"])
@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_bytes_that_are_no_text_are_refused(content: bytes, read: Any):
    Path("x").write_bytes(content)
    with pytest.raises(InputError, match="'x' is damaged"):
        read(Path("x"))


def test_what_is_no_file_is_not_read():
    os.mkfifo("pipe")
    with pytest.raises(InputError, match="'pipe' is no file"):
        read_json(Path("pipe"))
