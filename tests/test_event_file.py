import errno
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as crc_of_tensorboard

from litmlp.event_file import CHUNK, EventFile, crc32c, event_of_scalars


def test_crc_of_the_digits_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's polynomial; the check value of CRC-32C
    assert crc32c(b"") == 0


@given(st.binary(max_size=40) | st.integers(0, 3 * CHUNK).map(os.urandom))
def test_crc_is_that_of_tensorboard(data: bytes):
    assert crc32c(data) == crc_of_tensorboard(data)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=200), st.floats(), max_size=5),
    st.integers(-(2**63), 2**63 - 1),
)
def test_bytes_of_scalars_are_those_of_tensorboards_classes(values: dict[str, float], step: int):
    scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    event = Event(wall_time=1.5, step=step, summary=Summary(value=scalars))
    if not any(math.isnan(value) for value in values.values()):  # NaN has many bit patterns
        assert event_of_scalars(values, step, 1.5) == event.SerializeToString()
    read = Event.FromString(event_of_scalars(values, step, 1.5))
    assert [value.tag for value in read.summary.value] == list(values)


def test_tensorboard_reads_each_event_as_soon_as_it_was_added(tmp_path: Path):
    events = EventFile(str(tmp_path / "new"))
    (path,) = (tmp_path / "new").glob("events.out.tfevents.*")
    for step in range(3):
        values = [Summary.Value(tag=f"tag{index}", simple_value=index / 4) for index in range(100 * step)]
        events.add_event(Event(step=step, wall_time=1.5, summary=Summary(value=values)))
        version, *read = EventFileLoader(str(path)).Load()
        assert version.file_version == "brain.Event:2"
        assert [event.step for event in read] == [*range(step + 1)]
        assert len(read[-1].summary.value) == 100 * step
    events.close()


def test_two_files_of_a_folder_have_different_names(tmp_path: Path):
    files = [EventFile(str(tmp_path)) for _ in range(2)]
    assert len(list(tmp_path.iterdir())) == 2
    for file in files:
        file.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_at_once(tmp_path: Path):
    events = EventFile(str(tmp_path))
    events.close()
    events.descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as caught:
        events.add_event(Event(step=1))
    assert caught.value.errno == errno.ENOSPC
    events.close()
