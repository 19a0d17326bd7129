"""Reads files of `torch.save` without trusting them: they must be undamaged and hold only tensors and plain values.

`torch.load` verifies no checksums, so it does not notice a flipped bit of a weight. It believes the sizes of arrays
that a file states, and a file can make it take any amount of memory. So this module reads the file itself. The
archive's parts must be stored uncompressed and agree with their checksums (CRC-32). Its pickle can create only plain
values and tensors that lie within those parts.
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

MAX_DEPTH = 32  # of nested dicts, lists and tuples
DTYPES = {  # by the names of torch's storage classes, which a file holds
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
MAX_OF_FILE = 16  # all tensors together may take this many times the file's size, since several may share memory


class Damaged(InputError):
    """A file is not an archive of `torch.save`, or is damaged."""


def read(path: Path) -> Any:
    """Return the content of a file that `torch.save` wrote: tensors on the CPU, and plain values.

    Raises:
        Damaged: the file is not such an archive, or it is damaged.
        InputError: it holds other objects, or more than its size allows.
    """
    with path.open("rb") as file:
        return _checked(path, file)


def _checked(path: Path, file: BinaryIO) -> Any:
    try:
        parts = _parts(file)
        (name,) = (name for name in parts if name.endswith("/data.pkl"))
        if parts.get(name.replace("data.pkl", "byteorder"), b"little") != sys.byteorder.encode():
            raise NotPlain("it was written on a machine with another byte order")
        pickled = bytes(parts[name])
        _check_memo_indices(pickled)
        unpickler = _Unpickler(pickled, parts, name.removesuffix("data.pkl"))
        content = plain(unpickler.load(), most=len(pickled), depth=MAX_DEPTH, other=_tensor)
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
    # Maps each part's name to its bytes. `ZipFile.read` checks the part's CRC-32.
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise NotPlain("compressed parts")
        if sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
            raise NotPlain("parts larger than the file")
        return {member.filename: bytearray(archive.read(member)) for member in members}


def _check_memo_indices(pickled: bytes) -> None:
    # The unpickler reserves memory for its memo up to the highest index: a few bytes could ask for gigabytes.
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name == "LONG_BINPUT" and int(argument or 0) > len(pickled):
            raise NotPlain("an index of its pickle that is too high")


class _Numbers(NamedTuple):
    """The numbers of one part of the archive, and which of them form a tensor.

    The unpickler gets this tuple and no tensor, because a pickle could change the state of a tensor.
    """

    numbers: Tensor
    offset: int = 0
    size: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()


class _Mapping(dict):
    """Takes the place of an OrderedDict. A module's state dict has an attribute besides its items; it is ignored."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Creates only plain values and `_Numbers`; a pickle can call nothing else."""

    def __init__(self, pickled: bytes, parts: dict[str, bytearray], folder: str) -> None:
        super().__init__(io.BytesIO(pickled))
        self.parts = parts
        self.folder = folder

    def find_class(self, module: str, name: str) -> Any:
        """Return the substitute for one of the few names that torch writes; raise NotPlain for any other name."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("collections", "OrderedDict"):
            return _Mapping
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise NotPlain(f"{module}.{name}")

    def persistent_load(self, identity: Any) -> _Numbers:
        """Return the numbers of a part; raise NotPlain unless there are as many as the pickle states."""
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
    return value.numbers.as_strided(value.size, value.stride, value.offset)  # torch refuses to go beyond the part's end


def _check_size(content: Any, max_bytes: int) -> None:
    if sum(tensor.nbytes for tensor in tensors(content)) > max_bytes:
        raise NotPlain("tensors larger than the file")


def tensors(content: Any) -> Iterator[Tensor]:
    """Yield all tensors in nested dicts, lists and tuples."""
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, dict | list | tuple):
        for item in content.values() if isinstance(content, dict) else content:
            yield from tensors(item)
