from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.storage import Storage
from palomar_server.errors import NotFound, NotReady, OutOfRange
from palomar_server.recording.download import CHUNK_BYTES, Download

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 1_025
RECORDING = recordings_pb2.Recording(id="a-00000000", file_name="a-00000000_n.pcap")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    folder = tmp_path / "files"
    made = Storage(folder, max_bytes=1 << 30, free_min_bytes=0, file_max_bytes=1 << 30)
    target = made.create("a-00000000_n", ".pcap")
    target.write([CONTENT])
    target.finish([])
    return made


def test_pieces_are_the_file_with_their_checksums(storage: Storage) -> None:
    download = Download(storage, RECORDING, 5)
    first, second = download.read(), download.read()
    assert first is not None
    assert second is not None
    assert (first.offset, len(first.data)) == (5, CHUNK_BYTES)
    assert first.data + second.data == CONTENT[5:]
    assert second.crc32 == zlib.crc32(second.data)
    assert download.read() is None
    download.close()


def test_a_file_that_goes_meanwhile_is_still_read(storage: Storage) -> None:
    download = Download(storage, RECORDING, 0)
    storage.delete(RECORDING.file_name)
    assert download.read() is not None
    download.close()
    with pytest.raises(NotFound):
        Download(storage, RECORDING, 0)


def test_behind_the_end_there_is_nothing(storage: Storage) -> None:
    at_end = Download(storage, RECORDING, len(CONTENT))
    assert at_end.read() is None
    at_end.close()
    with pytest.raises(OutOfRange, match=f"at {len(CONTENT)}"):
        Download(storage, RECORDING, len(CONTENT) + 1)


def test_a_stream_left_no_file(storage: Storage) -> None:
    with pytest.raises(NotReady, match="no file"):
        Download(storage, recordings_pb2.Recording(id="a-00000000"), 0)
