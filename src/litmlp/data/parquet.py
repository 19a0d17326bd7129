"""Checks the metadata of a Parquet file before Polars reads it.

Polars reserves memory for as many values as a page's header claims. A damaged header can claim more than any machine
has, and the process would then end without a message. So each header is first compared with the sizes of the column
and the file; no value is read.

The metadata is as defined in Apache's parquet.thrift, in Thrift's compact protocol.
"""

import mmap
from pathlib import Path
from typing import Any

from polars.exceptions import ComputeError

MARK = b"PAR1"
MAX_DEPTH = 20  # levels of nested structures
SLACK = 2**20  # bytes, since some programs leave headers out of the size of a column
# Ids of fields, as in parquet.thrift. In a page's header, fields 5 and 8 are the headers of the two kinds of data page.
# Their counts are the numbers of values, and in field 8 also of nulls and of rows.
COUNTS = {5: (1,), 8: (1, 2, 3)}
DICTIONARY = 7  # in a page's header: the header of a dictionary page, whose field 1 is the number of values


class _Type:
    """The types of the compact protocol."""

    TRUE, FALSE, BYTE, SHORT, INT, LONG, DOUBLE, TEXT, LIST, SET, MAP, STRUCT = range(1, 13)


def check(file: Path) -> None:
    """Raise ComputeError if a page's header contradicts the file. Polars finds all other errors."""
    with file.open("rb") as stream:
        if stream.read(len(MARK)) != MARK:
            return
        # A Parquet file ends with its metadata, the metadata's length in 4 bytes, and MARK.
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            length = int.from_bytes(content[-8:-4], "little")
            if content[-4:] != MARK or length > len(content) - 12:
                return
            try:
                groups = _Reader(content, len(content) - 8 - length).struct()[4]
                # Field 1 of a column chunk names another file that holds it; such a chunk is skipped.
                for chunk in (chunk for group in groups for chunk in group[1] if 1 not in chunk):
                    _check_pages(content, chunk[3])
            except (KeyError, IndexError, TypeError, AttributeError) as error:
                raise ComputeError("it is damaged (its metadata makes no sense)") from error


def _check_pages(content: mmap.mmap, chunk: dict[int, Any]) -> None:
    num_values, size, packed_size, first = chunk[5], chunk[6], chunk[7], chunk[9]
    position = min(first, chunk.get(11) or first)  # field 11 is the position of a dictionary, before the data
    end = position + packed_size
    if min(num_values, size, position, packed_size) < 0 or end > len(content):
        raise ComputeError("it is damaged (a column is not where it should be)")
    while position < end and num_values:
        reader = _Reader(content, position)
        page = reader.struct()
        position = reader.position + page[3]
        counts = [page[header][field] for header, fields in COUNTS.items() if header in page for field in fields]
        is_sound = (
            0 <= page[2] <= 2 * size + SLACK
            and reader.position <= position <= len(content)
            and all(0 <= count <= num_values for count in counts)
            and (DICTIONARY not in page or 0 <= page[DICTIONARY][1] <= page[2])
        )
        if not is_sound:
            raise ComputeError("it is damaged (a page cannot be as large as it says)")


class _Reader:
    """Reads a structure of the compact protocol as a dict from field ids to values. Text and doubles become None."""

    def __init__(self, content: mmap.mmap, position: int) -> None:
        self.content = content
        self.position = position

    def struct(self, depth: int = 0) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        # The lower 4 bits of a head are the type. The upper ones are the step from the last id, or 0 if the id follows.
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.signed()
            type_ = head & 15
            fields[number] = type_ == _Type.TRUE if type_ in (_Type.TRUE, _Type.FALSE) else self.value(type_, depth)
        return fields

    def value(self, type_: int, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise IndexError("too deep")
        match type_:
            case _Type.SHORT | _Type.INT | _Type.LONG:
                return self.signed()
            case _Type.TEXT:
                return self.skip(self.unsigned())
            case _Type.STRUCT:
                return self.struct(depth + 1)
            case _Type.LIST | _Type.SET:
                head = self.byte()
                size, of_items = head >> 4, head & 15
                return [self.value(of_items, depth + 1) for _ in range(self.unsigned() if size == 15 else size)]
            case _Type.TRUE | _Type.FALSE | _Type.BYTE:
                return self.byte()
            case _Type.DOUBLE:
                return self.skip(8)
            case _Type.MAP:
                size = self.unsigned()
                types = self.byte() if size else 0
                return [(self.value(types >> 4, depth + 1), self.value(types & 15, depth + 1)) for _ in range(size)]
        raise IndexError("no such type")

    def byte(self) -> int:
        self.position += 1
        return self.content[self.position - 1]

    def skip(self, num_bytes: int) -> None:
        self.position += num_bytes
        if self.position > len(self.content):
            raise IndexError("past the end")

    def unsigned(self) -> int:
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise IndexError("too long")

    def signed(self) -> int:
        number = self.unsigned()
        return (number >> 1) ^ -(number & 1)
