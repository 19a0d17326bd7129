"""Archives are read as torch reads them, or refused: nothing is called, believed or allocated beyond the file."""

import io
import pickle
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from litmlp import checkpoint_reader
from litmlp.errors import InputError

LEAVES = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text(st.characters(codec="utf-8"))
TENSORS = st.builds(
    lambda size, dtype: torch.arange(size, dtype=torch.float64).to(dtype),
    st.integers(0, 5),
    st.sampled_from(list(checkpoint_reader.DTYPES.values())),
)
CONTENTS = st.recursive(
    LEAVES | TENSORS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(st.characters(codec="utf-8")) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=20,
)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return [*first] == [*second] and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(same, first, second))
    return repr(first) == repr(second)


@settings(max_examples=150, deadline=None)
@given(CONTENTS)
def test_reads_what_torch_wrote(content: Any):
    path = Path("any.ckpt")
    torch.save(content, path)
    assert same(checkpoint_reader.read(path), torch.load(path, weights_only=True))


def test_views_of_shared_memory_are_read(tmp_path: Path):
    whole = torch.arange(12.0)
    content = OrderedDict(whole=whole, part=whole[3:7], turned=whole.reshape(3, 4).T, empty=torch.zeros(0, 3))
    torch.save(content, tmp_path / "views.ckpt")
    assert same(checkpoint_reader.read(tmp_path / "views.ckpt"), dict(content))


def parts_of(content: Any) -> dict[str, bytes]:
    stream = io.BytesIO()
    torch.save(content, stream)
    with zipfile.ZipFile(stream) as written:
        return {name: written.read(name) for name in written.namelist()}


def refused(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile("odd.ckpt", "w", compression) as odd:
        for name, part in parts.items():
            odd.writestr(name, part)
    with pytest.raises(InputError) as error:
        checkpoint_reader.read(Path("odd.ckpt"))
    return str(error.value)


def test_each_flipped_bit_is_refused_or_changes_nothing():
    torch.save({"weights": torch.arange(3.0), "name": "x"}, "small.ckpt")
    whole = Path("small.ckpt").read_bytes()
    right = checkpoint_reader.read(Path("small.ckpt"))
    outcomes = set()
    for place in range(0, 8 * len(whole), 7):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        Path("flipped.ckpt").write_bytes(flipped)
        try:
            outcomes.add(same(checkpoint_reader.read(Path("flipped.ckpt")), right))
        except InputError:
            outcomes.add("refused")
    assert outcomes == {True, "refused"}


def test_an_array_that_says_it_is_larger_than_its_part_is_refused():
    parts = parts_of({"a": torch.arange(8.0)})
    (name,) = (name for name in parts if "/data/" in name)
    assert "another size than it says" in refused(parts | {name: parts[name][:16]})


def test_a_view_beyond_the_end_is_refused():
    parts = parts_of({"a": torch.arange(8.0)})
    (name,) = (name for name in parts if name.endswith("data.pkl"))
    assert b"K\x08\x85" in parts[name]  # the shape, (8,)
    assert "out of bounds" in refused(parts | {name: parts[name].replace(b"K\x08\x85", b"K\x09\x85")})


def test_compressed_parts_are_refused_unread():
    bomb = parts_of({"a": 1}) | {"archive/data/0": bytes(10_000_000)}
    assert "compressed parts" in refused(bomb, zipfile.ZIP_DEFLATED)


def test_a_tensor_that_repeats_a_number_a_billion_times_is_refused():
    torch.save(torch.zeros(1).expand(10**9), "wide.ckpt")
    with pytest.raises(InputError, match="tensors larger than the file"):
        checkpoint_reader.read(Path("wide.ckpt"))


def test_lists_that_multiply_are_refused():
    wide: list = ["x"]
    for _ in range(40):
        wide = [wide, wide]
    torch.save(wide, "wide.ckpt")
    with pytest.raises(InputError, match=r"nested too deeply|too many values"):
        checkpoint_reader.read(Path("wide.ckpt"))


@pytest.mark.parametrize(
    "operations",
    [
        b"cposix\nsystem\n(S'true'\ntR.",
        b"\x8c\x05posix\x8c\x06system\x93)R.",
        b"(iposix\nsystem\n.",
        b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00K\x01\x85tR.",
        b"Nr\xff\xff\xff\x7f.",  # keeps a value in a place that two billion others would come before
        b"\x82\x01.",
        b"(" * 100,
        b"]" + b"2l" * 50 + b".",
        b"ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsX\x01\x00\x00\x00xsb0N0cos\nsystem\n.",
    ],
)
def test_a_pickle_that_calls_anything_else_is_refused(operations: bytes):
    assert "odd.ckpt" in refused({"archive/data.pkl": b"\x80\x02" + operations})


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
def test_any_pickle_is_read_or_refused(operations: bytes):
    with zipfile.ZipFile("any.ckpt", "w") as odd:
        odd.writestr("archive/data.pkl", b"\x80\x02" + operations)
    with suppress(InputError):
        checkpoint_reader.read(Path("any.ckpt"))


def test_a_pickle_alone_is_no_archive():
    Path("alone").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(checkpoint_reader.Damaged, match="not a checkpoint"):
        checkpoint_reader.read(Path("alone"))
