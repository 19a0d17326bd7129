"""Converts text files of any encoding and compression to UTF-8 with line feeds at line ends, in bounded memory."""

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

CHUNK_SIZE = 2**22  # bytes
SPILLED_FROM = 2**28  # bytes of text; larger text is kept on disk, not in memory
# A file that exceeds both the size in bytes and the factor may be a decompression bomb, and is refused.
MAX_UNPACKED, MAX_GROWTH = 50_000_000, 200
OTHER_FORMATS = {  # by their first bytes: binary formats of tables, and the function of Polars that reads them
    b"ARROW1": ("an Arrow file", "read_ipc"),
    b"FEA1": ("a Feather file", "read_ipc"),
    b"\xd0\xcf\x11\xe0": ("an Excel file", "read_excel"),
    b"Obj\x01": ("an Avro file", "read_avro"),
}
JSON = re.compile(rb"\s*\[?\s*\{\s*(\"[^\"]*\"\s*:|\})")
HTML = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
COMPRESSIONS = {  # by the first bytes of a file
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
BYTE_ORDER_MARKS = {  # UTF-32 comes first, since its little-endian mark begins with the one of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FALLBACK = "cp1252"  # the encoding of text that is not in UTF-8 and has no byte order mark


class Spill:
    """A folder of temporary files, which is removed when this object is garbage-collected."""

    def __init__(self) -> None:
        self.folder: str | None = None

    def new_file(self, suffix: str) -> Path:
        """Create an empty file, and return its path."""
        if self.folder is None:
            self.folder = tempfile.mkdtemp(prefix="litmlp-")
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=suffix)
        os.close(handle)
        return Path(name)


class Text(NamedTuple):
    """Text in UTF-8.

    Attributes:
        source: the path of the original file if it is such text already, of a temporary file, or the text's bytes.
        encoding: the encoding of the original file.
        compression: the compression of the original file; empty if there is none.
    """

    source: Path | bytes
    encoding: str
    compression: str

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Yield a stream of the text's bytes."""
        with io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb") as stream:
            yield stream


def unpacked(file: Path, spill: Spill, encoding: str | None = None, fallback: str = FALLBACK) -> Text:
    """Return the text in a file, whatever its compression and encoding.

    Args:
        file: a text file; it may be compressed.
        spill: holds the temporary file of a large text.
        encoding: Python's name of the encoding; detected if None.
        fallback: the encoding of text that has no byte order mark and is not in UTF-8.

    Raises:
        InputError: the file is not text, or not in that encoding.
    """
    with file.open("rb") as raw:
        first = raw.read(2**20)
    compression = next((name for mark, name in COMPRESSIONS.items() if first.startswith(mark)), "")
    if not compression:
        if other := next((other for mark, other in OTHER_FORMATS.items() if first.startswith(mark)), None):
            raise InputError(_use_polars(file, *other))
        if JSON.match(first):
            is_lines = first.lstrip().startswith(b"{")
            raise InputError(_use_polars(file, "a JSON file", "read_ndjson" if is_lines else "read_json"))
        if HTML.match(first):
            raise InputError(f"'{file}' is a page for browsers, not a table: download the table itself")
        found = encoding or _encoding(first, file)
        if found in ("utf-8", "utf-8-sig"):
            is_utf8 = _is_utf8(file)
            if is_utf8 and not _has_lone_returns(first):
                return Text(file, found, "")
            if not is_utf8 and encoding is None:
                found = fallback
        with file.open("rb") as raw:
            return Text(_transcoded(iter(lambda: raw.read(CHUNK_SIZE), b""), found, file, spill), found, "")
    chunks = _checked_chunks(file, compression)
    start = next(chunks, b"")
    found = encoding or _encoding(start, file)
    try:
        return Text(_transcoded(_chained(start, chunks), found, file, spill), found, compression)
    except InputError:
        if encoding is not None or found != "utf-8":
            raise
    # The first bytes suggested UTF-8, but later ones are not in UTF-8. The stream is used up, so it starts again.
    return Text(_transcoded(_checked_chunks(file, compression), fallback, file, spill), fallback, compression)


def _chained(start: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield start
    yield from chunks


def _use_polars(file: Path, what: str, method: str) -> str:
    """Return the message that refuses a file in another format, with a command that converts it."""
    return (
        f"'{file}' is {what}, not text: write it as Parquet first, with "
        f"python -c \"import polars; polars.{method}('{file.name}').write_parquet('{file.stem}.parquet')\""
    )


def _checked_chunks(file: Path, compression: str) -> Iterator[bytes]:
    size = file.stat().st_size
    num_bytes = 0
    for chunk in _decompressed(file, compression):
        num_bytes += len(chunk)
        if num_bytes > MAX_UNPACKED and num_bytes > MAX_GROWTH * size:
            raise InputError(
                f"'{file}' grows to more than {MAX_GROWTH} times its size when it is decompressed, which could fill "
                "the memory: decompress it yourself if you trust it"
            )
        yield chunk


def _decompressed(file: Path, compression: str) -> Iterator[bytes]:
    if compression == "zstd":
        yield from _zstd_chunks(file)
        return
    with ExitStack() as stack:
        if compression == "zip":
            archive = stack.enter_context(zipfile.ZipFile(file))
            names = [one.filename for one in archive.infolist() if not one.is_dir()]
            if "[Content_Types].xml" in names:
                raise InputError(_use_polars(file, "an Excel file", "read_excel"))
            names = [name for name in names if not name.startswith("__MACOSX/")]
            if len(names) != 1:
                raise InputError(f"'{file}' packs {len(names)} files, not one: unpack it, and name the table's file")
            stream: BinaryIO = stack.enter_context(archive.open(names[0]))  # type: ignore[assignment]
        else:
            opener = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}[compression]
            stream = stack.enter_context(opener(file))  # type: ignore[operator]
        while chunk := stream.read(CHUNK_SIZE):
            yield chunk


def _zstd_chunks(file: Path) -> Iterator[bytes]:
    # Before version 3.14, Python's standard library cannot read zstd.
    for lines in pl.scan_lines(file).collect_batches(chunk_size=50_000):
        yield "".join(f"{line}\n" for line in lines["line"]).encode()


def _encoding(first: bytes, file: Path) -> str:
    if marked := next((name for mark, name in BYTE_ORDER_MARKS.items() if first.startswith(mark)), None):
        return marked
    if b"\0" not in first:
        return "utf-8"
    # In UTF-16 without a byte order mark, the high byte of most characters is zero. It is the second in little-endian.
    sample = first[: len(first) // 2 * 2][:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 0.4 * len(sample) / 2 and even < 0.05 * len(sample) / 2:
        return "utf-16-le"
    if even > 0.4 * len(sample) / 2 and odd < 0.05 * len(sample) / 2:
        return "utf-16-be"
    raise InputError(f"cannot read '{file}' as text: it is a binary file")


def _has_lone_returns(first: bytes) -> bool:
    # Tells whether carriage returns alone, rather than with line feeds, end the lines.
    return first.count(b"\r") > first.count(b"\r\n")


def _is_utf8(file: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK_SIZE):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _transcoded(chunks: Iterator[bytes], encoding: str, file: Path, spill: Spill) -> Path | bytes:
    """Convert text to UTF-8 with line feeds at line ends; return its bytes if it is small, else a temporary file."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    with tempfile.SpooledTemporaryFile(SPILLED_FROM) as spool:
        try:
            for chunk in chunks:
                spool.write(decoder.decode(chunk).encode())
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
        path = spill.new_file(".csv")
        with path.open("wb") as target:
            shutil.copyfileobj(spool, target, CHUNK_SIZE)
        return path
