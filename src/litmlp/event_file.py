"""Writes files of events for TensorBoard, which are in the format of TFRecord, without a thread for each file."""

import os
import struct
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
        if self.descriptor is None:
            raise OSError("the file of events is closed")
        left = memoryview(record(event.SerializeToString()))
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

    That of a chunk is the XOR of one number for each of its bytes, which depends on the byte and on how many follow.
    TensorBoard's own function loops over bytes in Python, which takes longer than the rest of writing an event.
    """
    crc = ONES
    for start in range(0, len(data), CHUNK):
        chunk = np.frombuffer(data, np.uint8, min(CHUNK, len(data) - start), start)
        size = len(chunk)
        first = np.frombuffer(struct.pack("<I", crc), np.uint8)[:size]  # the bytes so far act as if XORed to the next
        parts = _TABLES[CHUNK - size :][np.arange(size), np.concatenate([chunk[:4] ^ first, chunk[4:]])]
        crc = crc >> 8 * size ^ int(np.bitwise_xor.reduce(parts))
    return crc ^ ONES


def _tables() -> np.ndarray:
    # [CHUNK, 256]: the number of each byte if CHUNK - 1, ..., 0 bytes follow it
    table: Any = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = table >> 1 ^ np.where(table & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    tables = [table]
    for _ in range(CHUNK - 1):
        tables.append(tables[-1] >> 8 ^ table[tables[-1] & 255])
    return np.stack(tables[::-1])


_TABLES = _tables()
