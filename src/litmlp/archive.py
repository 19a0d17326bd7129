"""Reading what `torch.save` wrote, without trusting it: undamaged, and tensors and plain values alone.

`torch.load` checks no sums, so that a flipped bit of a weight goes unnoticed; it believes what a file says of the size
of its arrays; and it can be made to take any amount of memory. So the file is read here. Its parts must be stored
uncompressed and agree with their sums (CRC-32), and its pickle can make nothing but tensors within those parts.
"""

import io
import os
import pickle
import pickletools
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from litmlp.errors import InputError
from litmlp.plain import NotPlain, plain

DEPTH = 32
DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
MAX_OF_FILE = 16  # times a file's size are all tensors together: several may share memory


class Damaged(InputError):
    """A file is not what was written."""


def read(path: Path) -> Any:
    """Return the content of a file that `torch.save` wrote: tensors on the CPU, and plain values.

    Raises:
        Damaged: the file is no such archive, or a damaged one.
        InputError: it holds anything else, or more than its size allows.
    """
    with path.open("rb") as file:
        return _checked(path, file)


def _checked(path: Path, file: BinaryIO) -> Any:
    try:
        parts = _parts(file)
        (name,) = (name for name in parts if name.endswith("/data.pkl"))
        if parts.get(name.replace("data.pkl", "byteorder"), b"little") != sys.byteorder.encode():
            raise NotPlain("it was written on a machine with another order of bytes")
        pickled = bytes(parts[name])
        _check_places(pickled)
        unpickler = _Unpickler(pickled, parts, name.removesuffix("data.pkl"))
        content = plain(unpickler.load(), most=len(pickled), depth=DEPTH, other=_tensor)
        _check_size(content, MAX_OF_FILE * path.stat().st_size)
    except NotPlain as error:
        raise InputError(
            f"'{path}' holds more than tensors and plain values ({error}), which could run code: it was not loaded"
        ) from error
    except zipfile.BadZipFile as error:
        raise Damaged(
            f"'{path}' is not a checkpoint, or a damaged one: give another run's folder or .ckpt file"
        ) from error
    except Exception as error:  # whatever a damaged archive or pickle leads to
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise Damaged(f"'{path}' is not a checkpoint, or a damaged one ({reason}): give another") from error
    return content


def _parts(file: BinaryIO) -> dict[str, bytearray]:
    # Each part by its name. Reading one checks its sum.
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise NotPlain("compressed parts")
        if sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
            raise NotPlain("parts larger than the file")
        return {member.filename: bytearray(archive.read(member)) for member in members}


def _check_places(pickled: bytes) -> None:
    # The unpickler reserves memory up to the highest place in which a value is kept.
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name == "LONG_BINPUT" and int(argument or 0) > len(pickled):
            raise NotPlain("a place that is too high")


class _Numbers(NamedTuple):
    """Numbers of a part of the archive, and which of them a tensor has; a tensor itself could be told to change."""

    numbers: Tensor
    offset: int = 0
    size: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()


class _Mapping(dict):
    """What an OrderedDict becomes; a module's has an attribute, which is not needed."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Makes plain values, and tells which numbers tensors have; nothing else can be called."""

    def __init__(self, pickled: bytes, parts: dict[str, bytearray], folder: str) -> None:
        super().__init__(io.BytesIO(pickled))
        self.parts = parts
        self.folder = folder

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for the few names that torch writes."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("collections", "OrderedDict"):
            return _Mapping
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise NotPlain(f"{module}.{name}")

    def persistent_load(self, identity: Any) -> _Numbers:
        """Return the numbers of a part, as many as it should have."""
        kind, dtype, key, _, count = identity
        if kind != "storage" or type(dtype) is not torch.dtype or type(key) is not str or type(count) is not int:
            raise NotPlain("numbers of another kind")
        part = self.parts[f"{self.folder}data/{key}"]
        if len(part) != count * dtype.itemsize:
            raise NotPlain("a part of another size than it says")
        return _Numbers(torch.frombuffer(part, dtype=dtype) if part else torch.empty(0, dtype=dtype))


def _rebuilt(numbers: _Numbers, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Numbers:
    return _Numbers(numbers.numbers, offset, size, stride)


def _tensor(value: Any) -> Tensor:
    if type(value) is not _Numbers:
        raise NotPlain(f"a value of type {type(value).__name__}")
    return value.numbers.as_strided(value.size, value.stride, value.offset)  # which torch refuses beyond the end


def _check_size(content: Any, most_bytes: int) -> None:
    if sum(tensor.nbytes for tensor in tensors(content)) > most_bytes:
        raise NotPlain("tensors larger than the file")


def tensors(content: Any) -> Iterator[Tensor]:
    """Yield all tensors in nested dicts, lists and tuples."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, dict | list | tuple):
        for item in content.values() if isinstance(content, dict) else content:
            yield from tensors(item)
