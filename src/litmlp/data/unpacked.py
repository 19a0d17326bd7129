"""From a file as people have it to text in UTF-8 whose lines end with line feeds, in bounded memory."""

import bz2
import codecs
import gzip
import io
import lzma
import os
import re
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import polars as pl

from litmlp.errors import InputError

AT_ONCE = 2**22  # bytes
SPILLED_FROM = 2**28  # bytes of text; more is kept on disk, not in memory
# What grows more than this is a bomb, or might as well be unpacked by hand.
MAX_UNPACKED, MAX_GROWTH = 50_000_000, 200
OTHERS = {  # first bytes of what holds tables, but no text; what it is, and the method of Polars that reads it
    b"ARROW1": ("an Arrow file", "read_ipc"),
    b"FEA1": ("a Feather file", "read_ipc"),
    b"\xd0\xcf\x11\xe0": ("an Excel file", "read_excel"),
    b"Obj\x01": ("an Avro file", "read_avro"),
}
JSON = re.compile(rb"\s*\[?\s*\{\s*(\"[^\"]*\"\s*:|\})")
PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"(\xb5/\xfd": "zstd", b"PK\x03\x04": "zip"}
MARKS = {  # of an encoding, at the start of a file
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FALLBACK = "cp1252"


class Spill:
    """Temporary files, which are removed when nothing refers to this object any more."""

    def __init__(self) -> None:
        self.folder: str | None = None

    def place(self, ending: str) -> Path:
        """Return the path of a new file."""
        if self.folder is None:
            self.folder = tempfile.mkdtemp(prefix="litmlp-")
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=ending)
        os.close(handle)
        return Path(name)


class Text(NamedTuple):
    """Text in UTF-8.

    Attributes:
        source: the file itself where it is such text, a temporary one, or its bytes.
        encoding: in which it was written.
        packing: how it was compressed, or empty.
    """

    source: Path | bytes
    encoding: str
    packing: str

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Yield a stream of its bytes."""
        with io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb") as stream:
            yield stream


def unpacked(file: Path, spill: Spill, encoding: str | None = None, fallback: str = FALLBACK) -> Text:
    """Return the text in a file, whatever packs it and however it is encoded.

    Args:
        file: is text, perhaps compressed.
        spill: for text of which there is much.
        encoding: as Python calls it; found if None.
        fallback: the encoding of text that has no mark of another, and is not in UTF-8.

    Raises:
        InputError: it is no text, or not in that encoding.
    """
    with file.open("rb") as raw:
        first = raw.read(2**20)
    packing = next((name for mark, name in PACKED.items() if first.startswith(mark)), "")
    if not packing:
        if other := next((what for mark, what in OTHERS.items() if first.startswith(mark)), None):
            raise InputError(_way_out(file, *other))
        if JSON.match(first):
            is_lines = first.lstrip().startswith(b"{")
            raise InputError(_way_out(file, "a JSON file", "read_ndjson" if is_lines else "read_json"))
        if PAGE.match(first):
            raise InputError(f"'{file}' is a page for browsers, not a table: download the table itself")
        found = encoding or _encoding(first, file)
        if found in ("utf-8", "utf-8-sig"):
            is_utf8 = _is_utf8(file)
            if is_utf8 and not _has_lone_returns(first):
                return Text(file, found, "")
            if not is_utf8 and encoding is None:
                found = fallback
        with file.open("rb") as raw:
            return Text(_transcoded(iter(lambda: raw.read(AT_ONCE), b""), found, file, spill), found, "")
    parts = _unpacked(file, packing)
    start = next(parts, b"")
    found = encoding or _encoding(start, file)
    try:
        return Text(_transcoded(_chained(start, parts), found, file, spill), found, packing)
    except InputError:
        if encoding is not None or found != "utf-8":
            raise
    return Text(_transcoded(_unpacked(file, packing), fallback, file, spill), fallback, packing)


def _chained(start: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    yield start
    yield from parts


def _way_out(file: Path, what: str, method: str) -> str:
    return (
        f"'{file}' is {what}, not text: write it as Parquet first, with "
        f"python -c \"import polars; polars.{method}('{file.name}').write_parquet('{file.stem}.parquet')\""
    )


def _unpacked(file: Path, packing: str) -> Iterator[bytes]:
    size = file.stat().st_size
    num_bytes = 0
    for part in _parts(file, packing):
        num_bytes += len(part)
        if num_bytes > MAX_UNPACKED and num_bytes > MAX_GROWTH * size:
            raise InputError(
                f"'{file}' grows to more than {MAX_GROWTH} times its size when it is decompressed, which could fill "
                "the memory: decompress it yourself if you trust it"
            )
        yield part


def _parts(file: Path, packing: str) -> Iterator[bytes]:
    if packing == "zstd":
        yield from _of_zstd(file)
        return
    with ExitStack() as stack:
        if packing == "zip":
            archive = stack.enter_context(zipfile.ZipFile(file))
            names = [one.filename for one in archive.infolist() if not one.is_dir()]
            if "[Content_Types].xml" in names:
                raise InputError(_way_out(file, "an Excel file", "read_excel"))
            names = [name for name in names if not name.startswith("__MACOSX/")]
            if len(names) != 1:
                raise InputError(f"'{file}' packs {len(names)} files, not one: unpack it, and name the table's file")
            stream: BinaryIO = stack.enter_context(archive.open(names[0]))  # type: ignore[assignment]
        else:
            opener = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}[packing]
            stream = stack.enter_context(opener(file))  # type: ignore[operator]
        while part := stream.read(AT_ONCE):
            yield part


def _of_zstd(file: Path) -> Iterator[bytes]:
    # Python has no reader of its own before 3.14.
    for lines in pl.scan_lines(file).collect_batches(chunk_size=50_000):
        yield "".join(f"{line}\n" for line in lines["line"]).encode()


def _encoding(first: bytes, file: Path) -> str:
    if marked := next((name for mark, name in MARKS.items() if first.startswith(mark)), None):
        return marked
    if b"\0" not in first:
        return "utf-8"
    some = first[: len(first) // 2 * 2][:4096]
    even, odd = some[::2].count(0), some[1::2].count(0)
    if odd > 0.4 * len(some) / 2 and even < 0.05 * len(some) / 2:
        return "utf-16-le"
    if even > 0.4 * len(some) / 2 and odd < 0.05 * len(some) / 2:
        return "utf-16-be"
    raise InputError(f"cannot read '{file}' as text: it is a binary file")


def _has_lone_returns(first: bytes) -> bool:
    return first.count(b"\r") > first.count(b"\r\n")


def _is_utf8(file: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with file.open("rb") as stream:
            while part := stream.read(AT_ONCE):
                decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _transcoded(parts: Iterator[bytes], encoding: str, file: Path, spill: Spill) -> Path | bytes:
    """Return text as UTF-8 with line feeds alone: in memory if it is small, else in a temporary file."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    with tempfile.SpooledTemporaryFile(SPILLED_FROM) as spool:
        try:
            for part in parts:
                spool.write(decoder.decode(part).encode())
            spool.write(decoder.decode(b"", final=True).encode())
        except UnicodeError as error:
            reason = error.reason if isinstance(error, UnicodeDecodeError) else error
            raise InputError(
                f"'{file}' is not written in {encoding} ({reason}): name its encoding, such as data.encoding=latin-1"
            ) from error
        is_small = spool.tell() <= SPILLED_FROM
        spool.seek(0)
        if is_small:
            return spool.read()
        place = spill.place(".csv")
        with place.open("wb") as kept:
            shutil.copyfileobj(spool, kept, AT_ONCE)
        return place
