"""Writes files of events for TensorBoard, which are in the format of TFRecord, without a thread for each file."""

import math
import os
import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from socket import gethostname
from time import time
from typing import Any

import numpy as np

from litmlp.training import compat

POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), its bits reversed
ONES = 0xFFFFFFFF
CHUNK = 512  # bytes that `crc32c` takes at once


class EventFile:
    """Takes the place of TensorBoard's `EventFileWriter`, but an event is in the file when `add_event` returns.

    So a killed process loses no event, and an error in writing, such as that of a full disk, is raised at once.

    Args:
        folder: of the file, which has a name as TensorBoard gives it.
    """

    def __init__(self, folder: str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SourceMetadata

        self.folder = folder
        Path(folder).mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time()):010d}.{gethostname()}.{os.getpid()}.{compat.number_of_event_file()}"
        self.descriptor: int | None = os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        source = SourceMetadata(writer="tensorboard.summary.writer.event_file_writer")
        self.add_event(Event(wall_time=time(), file_version="brain.Event:2", source_metadata=source))

    def get_logdir(self) -> str:
        """Return the folder."""
        return self.folder

    def add_event(self, event: Any) -> None:
        """Write an event, an `Event` of TensorBoard."""
        self._write(event.SerializeToString())

    def add_scalars(self, values: Mapping[str, float], step: int | None) -> None:
        """Write numbers as one event."""
        self._write(event_of_scalars(values, step or 0, time()))

    def _write(self, event: bytes) -> None:
        if self.descriptor is None:
            raise OSError("the file of events is closed")
        left = memoryview(record(event))
        while left:  # the system may write a part only
            left = left[os.write(self.descriptor, left) :]

    def flush(self) -> None:
        """Do nothing: all events are in the file."""

    def close(self) -> None:
        """Close the file."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def __del__(self) -> None:
        """Close the file of a run that a signal has ended: nobody closes its loggers."""
        if hasattr(self, "descriptor"):
            self.close()


def event_of_scalars(values: Mapping[str, float], step: int, wall_time: float) -> bytes:
    """Return the bytes of an `Event` that holds a `Summary` of scalars.

    Each epoch has several of them. Building them of TensorBoard's classes takes several times as long.
    """
    summary = b"".join([_scalar_before_its_value(tag) + _float(value) for tag, value in values.items()])
    parts = b"\x09", struct.pack("<d", wall_time), b"\x10" + _varint(step) if step else b"", b"\x2a"
    return b"".join((*parts, _varint(len(summary)), summary))


@lru_cache(2**12)
def _scalar_before_its_value(tag: str) -> bytes:
    name = tag.encode()
    value = (b"\x0a" + _varint(len(name)) + name if name else b"") + b"\x15"  # what is empty is left out
    return b"\x0a" + _varint(len(value) + 4) + value


def _float(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:  # infinite in 32 bits
        return struct.pack("<f", math.copysign(math.inf, value))


def _varint(number: int) -> bytes:
    number &= 2**64 - 1  # a negative number as its complement
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def record(data: bytes) -> bytes:
    """Return data as a record of a TFRecord file: its length and the data, each with its masked CRC-32C."""
    return b"".join((_header(len(data)), data, _masked(crc32c(data))))


@lru_cache(2**10)  # most events of a run have one of a few lengths
def _header(num_bytes: int) -> bytes:
    length = struct.pack("<Q", num_bytes)
    return length + _masked(crc32c(length))


def _masked(crc: int) -> bytes:
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & ONES)


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of some bytes.

    That of a chunk is the exclusive or of one number for each of its bytes. The number depends on the byte and on how
    many bytes follow.
    TensorBoard's own function loops over bytes in Python, which takes longer than the rest of writing an event.
    """
    crc = ONES
    for start in range(0, len(data), CHUNK):
        chunk = bytearray(data[start : start + CHUNK])
        size = len(chunk)
        first = int.from_bytes(chunk[:4], "little") ^ crc  # the bytes so far act as if XORed to the next ones
        chunk[:4] = (first & ONES >> 8 * max(0, 4 - size)).to_bytes(min(4, size), "little")
        places = _PLACES[CHUNK - size :] + np.frombuffer(chunk, np.uint8)
        crc = crc >> 8 * size ^ int(np.bitwise_xor.reduce(_NUMBERS.take(places)))
    return crc ^ ONES


def _numbers() -> np.ndarray:
    # of each byte if CHUNK - 1, ..., 0 bytes follow it, [CHUNK * 256]
    table: Any = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = table >> 1 ^ np.where(table & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    tables = [table]
    for _ in range(CHUNK - 1):
        tables.append(tables[-1] >> 8 ^ table[tables[-1] & 255])
    return np.concatenate(tables[::-1])


_NUMBERS, _PLACES = _numbers(), np.arange(0, 256 * CHUNK, 256)
