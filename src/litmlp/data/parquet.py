"""A look at what a Parquet file claims to hold, before Polars believes it.

Polars reserves memory for as many values as a page says it has. Of a damaged page that may be more than any machine
has, and the process would end without a word. So each page is held against the file first; no value is read.

The format, and the compact protocol of Thrift in which it describes itself, are those of Apache's parquet.thrift.
"""

import mmap
from pathlib import Path
from typing import Any

from polars.exceptions import ComputeError

MARK = b"PAR1"
DEEPEST = 20  # structures within each other
SLACK = 2**20  # bytes: not all programs count headers in the size of a column
DICTIONARY = 7  # the field of a page's header that tells of it, and there the first one of how many values it has
COUNTS = {5: (1,), 8: (1, 2, 3)}  # the same of both kinds of pages with data: values, and also nulls and rows


class _Kind:
    """Of a value, in the compact protocol."""

    TRUE, FALSE, BYTE, SHORT, INT, LONG, DOUBLE, TEXT, LIST, SET, MAP, STRUCT = range(1, 13)


def check(file: Path) -> None:
    """Raise ComputeError if a page cannot be what it claims to be. What else is wrong with a file is left to Polars."""
    with file.open("rb") as stream:
        if stream.read(len(MARK)) != MARK:
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            length = int.from_bytes(content[-8:-4], "little")
            if content[-4:] != MARK or length > len(content) - 12:
                return
            try:
                groups = _Reader(content, len(content) - 8 - length).struct()[4]
                for chunk in (chunk for group in groups for chunk in group[1] if 1 not in chunk):  # not in another file
                    _check_pages(content, chunk[3])
            except (KeyError, IndexError, TypeError, AttributeError) as error:
                raise ComputeError("it is damaged (what it says of itself makes no sense)") from error


def _check_pages(content: mmap.mmap, chunk: dict[int, Any]) -> None:
    num_values, size, packed_size, first = chunk[5], chunk[6], chunk[7], chunk[9]
    place = min(first, chunk.get(11) or first)  # a dictionary may stand before the data
    end = place + packed_size
    if min(num_values, size, place, packed_size) < 0 or end > len(content):
        raise ComputeError("it is damaged (a column is not where it should be)")
    while place < end and num_values:
        reader = _Reader(content, place)
        page = reader.struct()
        place = reader.place + page[3]
        counts = [page[kind][field] for kind, fields in COUNTS.items() if kind in page for field in fields]
        is_sound = (
            0 <= page[2] <= 2 * size + SLACK
            and reader.place <= place <= len(content)
            and all(0 <= count <= num_values for count in counts)
            and (DICTIONARY not in page or 0 <= page[DICTIONARY][1] <= page[2])
        )
        if not is_sound:
            raise ComputeError("it is damaged (a page cannot be as large as it says)")


class _Reader:
    """Reads structures as dicts from the numbers of fields to values, text as None."""

    def __init__(self, content: mmap.mmap, place: int) -> None:
        self.content = content
        self.place = place

    def struct(self, depth: int = 0) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.whole()
            kind = head & 15
            fields[number] = kind == _Kind.TRUE if kind in (_Kind.TRUE, _Kind.FALSE) else self.value(kind, depth)
        return fields

    def value(self, kind: int, depth: int) -> Any:
        if depth > DEEPEST:
            raise IndexError("too deep")
        match kind:
            case _Kind.SHORT | _Kind.INT | _Kind.LONG:
                return self.whole()
            case _Kind.TEXT:
                return self.skip(self.natural())
            case _Kind.STRUCT:
                return self.struct(depth + 1)
            case _Kind.LIST | _Kind.SET:
                head = self.byte()
                size, of = head >> 4, head & 15
                return [self.value(of, depth + 1) for _ in range(self.natural() if size == 15 else size)]
            case _Kind.TRUE | _Kind.FALSE | _Kind.BYTE:
                return self.byte()
            case _Kind.DOUBLE:
                return self.skip(8)
            case _Kind.MAP:
                size = self.natural()
                kinds = self.byte() if size else 0
                return [(self.value(kinds >> 4, depth + 1), self.value(kinds & 15, depth + 1)) for _ in range(size)]
        raise IndexError("no such type")

    def byte(self) -> int:
        self.place += 1
        return self.content[self.place - 1]

    def skip(self, num_bytes: int) -> None:
        self.place += num_bytes
        if self.place > len(self.content):
            raise IndexError("behind the end")

    def natural(self) -> int:
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise IndexError("too long")

    def whole(self) -> int:
        number = self.natural()
        return (number >> 1) ^ -(number & 1)
