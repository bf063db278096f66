"""The file of a recording on its way to who asked for it, piece by piece."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.storage import StorageError
from palomar_server.errors import NotFound, NotReady, OutOfRange

if TYPE_CHECKING:
    from palomar_recorder.storage import Storage

CHUNK_BYTES = 256 << 10
"""Clients of gRPC take up to 4 MiB unless told otherwise; more than this is not faster."""


class Download:
    """A file that is open for reading. Everything here may wait for the disk.

    Args:
        storage: has the file.
        recording: whose.
        offset: where to begin, bytes.

    Raises:
        NotFound: the file is gone.
        NotReady: there never was one.
        OutOfRange: the file is shorter.
    """

    def __init__(self, storage: Storage, recording: recordings_pb2.Recording, offset: int) -> None:
        if not recording.file_name:
            raise NotReady(f"recording {recording.id} went to its caller: there is no file of it")
        self.recording = recording
        """What is being sent."""
        try:
            self._file = storage.open(recording.file_name)
        except StorageError as error:
            raise NotFound(str(error)) from error
        size = os.fstat(self._file.fileno()).st_size
        if offset > size:
            self.close()
            raise OutOfRange(f"offset: {offset} is behind the end of the file, at {size}")
        self._offset = offset

    def read(self) -> recordings_pb2.FileChunk | None:
        """The next piece; None at the end.

        Raises:
            NotReady: the file cannot be read any more.
        """
        try:
            data = os.pread(self._file.fileno(), CHUNK_BYTES, self._offset)
        except OSError as error:
            name = self.recording.file_name
            raise NotReady(f"{name} cannot be read at {self._offset}: {error.strerror}") from error
        if not data:
            return None
        chunk = recordings_pb2.FileChunk(offset=self._offset, data=data, crc32=zlib.crc32(data))
        self._offset += len(data)
        return chunk

    def close(self) -> None:
        """Let the file go; one that was removed meanwhile is gone then."""
        self._file.close()
