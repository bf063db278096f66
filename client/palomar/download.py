"""Downloads of recordings: pieces of a file in, a checked file out.

The pieces go into `<id>.partial` beside the file to be, which another attempt goes on with. Only
when the whole of it has the checksum that the server told does it get its name, at once and never
in the place of another file unless that is asked for. Knows nothing of connections.
"""

import fcntl
import os
import re
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from palomar.errors import InvalidRequest, PalomarError, ServerError
from palomar_proto.palomar.v1.recordings_pb2 import DownloadResponse, FileChunk, Recording

OnProgress = Callable[[int, int], None]
"""Called with the bytes that are there, and those of the whole file."""

_ID = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
_READ_BYTES: Final = 1 << 20
_DEVICES: Final = "/dev"


class Download:
    """One file on its way; use it in a `with` block.

    Args:
        recording_id: Which recording.
        path: Where the file is to be; of a directory, under the file's own name.
        resume: Whether to go on with what an earlier attempt left.
        overwrite: Whether the file may be there already, and is replaced.
        on_progress: Told of each piece.

    Attributes:
        offset_bytes: How many bytes of the file are there.

    Raises:
        InvalidRequest: The file is there already, or cannot be written, or the id is none.
    """

    def __init__(
        self,
        recording_id: str,
        path: str | os.PathLike[str],
        *,
        resume: bool = True,
        overwrite: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        if not _ID.fullmatch(recording_id):
            raise InvalidRequest(
                f"{recording_id!r} is no id of a recording; `palomar recordings list` shows them"
            )
        self._id = recording_id
        self._path = Path(path)
        self._overwrite = overwrite
        self._on_progress = on_progress
        self._recording: Recording | None = None
        self._named = not is_directory(self._path)
        folder = self._path.parent if self._named else self._path
        if self._named:
            self._refuse_existing()
        self._partial = folder / f"{recording_id}.partial"
        self._hash = sha256()
        self.offset_bytes = 0
        self._file = -1
        # Who gives up waiting for a thread that writes must not close the file below it.
        self._writing = threading.Lock()
        try:
            self._open(resume=resume)
        except OSError as error:
            self.close()
            raise _unwritable(self._partial, error) from error
        except BaseException:
            self.close()
            raise

    def take(self, answer: DownloadResponse) -> None:
        """Take an answer of the server.

        Raises:
            ServerError: It is not what was to come, or is damaged.
            InvalidRequest: It cannot be written, or a file of that name is there already.
        """
        with self._writing:
            if answer.WhichOneof("content") == "recording":
                self._begin(answer.recording)
            else:
                self._write(answer.chunk)
        if self._on_progress is not None and self._recording is not None:
            self._on_progress(self.offset_bytes, self._recording.file_bytes)

    def finish(self) -> Path:
        """Check the whole file and give it its name.

        Returns:
            Where it is.

        Raises:
            ServerError: The file is not whole, or has another checksum than it should have.
            InvalidRequest: It cannot be written, or a file of that name is there already.
        """
        recording = self._recording
        if recording is None:
            raise ServerError(f"the server sent nothing of {self._id}; try again")
        if self.offset_bytes != recording.file_bytes:
            raise ServerError(
                f"the server sent {self.offset_bytes:,} of {recording.file_bytes:,} bytes of "
                f"{self._id}; try again, which goes on there"
            )
        if recording.sha256 and self._hash.hexdigest() != recording.sha256:
            self._partial.unlink(missing_ok=True)
            raise ServerError(
                f"the file of {self._id} came with another checksum than the server's "
                f"({self._hash.hexdigest()}, not {recording.sha256}); download it anew"
            )
        try:
            with self._writing:
                os.fsync(self._file)
                self._rename()
        except OSError as error:
            raise _unwritable(self._path, error) from error
        return self._path

    def close(self) -> None:
        """Let go of the file; what is there of it stays, unless it is nothing."""
        with self._writing:
            if self._file < 0:
                return
            if not self.offset_bytes:
                with suppress(OSError):
                    self._partial.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, PalomarError) and error.status == "OUT_OF_RANGE":
            # What is there is more than the file has: it is of something else.
            self._start_over()
        self.close()

    def _open(self, *, resume: bool) -> None:
        # Packets are for nobody else to read; and whoever may write here must not have them go
        # elsewhere by a link.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._partial, flags, 0o600)
        self._lock()
        while not _is_still_at(self._partial, self._file):
            # Another download has just given it its name, or let it go: this is not ours.
            other, self._file = self._file, -1
            os.close(other)
            self._file = os.open(self._partial, flags, 0o600)
            self._lock()
        if not resume:
            os.ftruncate(self._file, 0)
        while piece := os.read(self._file, _READ_BYTES):
            self._hash.update(piece)
            self.offset_bytes += len(piece)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.offset_bytes = os.fstat(self._file).st_size or -1  # somebody else's, so it stays
            raise InvalidRequest(
                f"{self._partial} is being written by another download; wait for that one"
            ) from None

    def _begin(self, recording: Recording) -> None:
        """Learn what will come; after a connection was lost it is told again."""
        if recording.id != self._id:
            raise ServerError(f"the server sent {recording.id!r} instead of {self._id}")
        before = self._recording
        if before is not None and before.sha256 != recording.sha256:
            raise ServerError(f"the file of {self._id} has become another one; download it anew")
        self._recording = recording
        if not self._named:
            self._path /= _file_name(recording)
            self._named = True
            self._refuse_existing()
        if self.offset_bytes > recording.file_bytes:
            self._start_over()
            raise ServerError(
                f"{self._partial} was of something else than {self._id}, and is removed; download "
                "it anew"
            )

    def _write(self, chunk: FileChunk) -> None:
        if self._recording is None:
            raise ServerError(f"the server sent a piece of {self._id} before it told what of")
        if chunk.offset != self.offset_bytes:
            raise ServerError(
                f"the server sent the piece of {self._id} at {chunk.offset:,} where that at "
                f"{self.offset_bytes:,} was to come; try again, which goes on there"
            )
        if zlib.crc32(chunk.data) != chunk.crc32:
            raise ServerError(
                f"the piece of {self._id} at {chunk.offset:,} was damaged on its way; try again, "
                "which goes on there"
            )
        left = memoryview(chunk.data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self.offset_bytes)
            raise _unwritable(self._partial, error) from error
        self._hash.update(chunk.data)
        self.offset_bytes += len(chunk.data)

    def _start_over(self) -> None:
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self._hash = sha256()
        self.offset_bytes = 0

    def _rename(self) -> None:
        if self._overwrite:
            self._refuse_existing()
            self._partial.replace(self._path)
            return
        try:
            # Unlike renaming, this never takes the place of another file.
            os.link(self._partial, self._path, follow_symlinks=False)
        except FileExistsError:
            self._refuse_existing()
            raise
        except OSError:
            # A file system without hard links, such as FAT.
            self._refuse_existing()
            self._partial.rename(self._path)
        else:
            self._partial.unlink(missing_ok=True)

    def _refuse_existing(self) -> None:
        refuse_existing(self._path, overwrite=self._overwrite)


def is_directory(path: Path) -> bool:
    """Whether a file goes into it under its own name.

    Raises:
        InvalidRequest: Nobody can tell, and nothing can be written there.
    """
    try:
        return path.is_dir()
    except OSError as error:  # a name that is too long, or a directory that is not ours to look in
        raise _unwritable(path, error) from error


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where something is that must stay.

    Args:
        path: Where a file is to be.
        overwrite: Whether it may take the place of another file.

    Raises:
        InvalidRequest: A file is there already, or what no file may take the place of.
    """
    try:
        # A file of packets in the place of /dev/null, or of /dev/stdout, would break the machine.
        is_device = os.path.realpath(path.parent) == _DEVICES
        is_other = is_device or (path.exists() and not path.is_file())
    except OSError as error:
        raise _unwritable(path, error) from error
    if is_other:
        raise InvalidRequest(
            f"{path} is no regular file, and is not replaced; name another file, or - for standard "
            "output"
        )
    if not overwrite and os.path.lexists(path):
        raise InvalidRequest(
            f"{path} is there already; name another file, or have it replaced (--force)"
        )


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _file_name(recording: Recording) -> str:
    """The file's own name, which comes from another machine."""
    if not _FILE_NAME.fullmatch(recording.file_name):
        raise ServerError(
            f"the server calls the file of {recording.id} {recording.file_name!r}, which is no "
            "name to write here; name the file yourself"
        )
    return recording.file_name


def _unwritable(path: Path, error: OSError) -> PalomarError:
    return InvalidRequest(f"cannot write {path}: {error.strerror or error}")
