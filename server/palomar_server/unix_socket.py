"""Listen on a unix socket that is ours alone, private from its birth, and leave nothing behind."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PATH_BYTES_MAX = 107
"""sun_path of unix(7), without its terminating zero."""
BACKLOG = 1024
"""Clients that may connect at one moment; the next one is turned away, and has to try again. All of
a busy node's do so when palomard was restarted."""


class SocketInUseError(OSError):
    """Another process serves this socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"another process serves {path}; stop it or choose another path for this socket"
        )


class SocketLock:
    """Makes the path of a socket ours, by a lock file beside it.

    Without it a palomard that binds a path could take it from another one that serves there.

    Args:
        path: of the socket; its directory is made if it is missing.

    Raises:
        SocketInUseError: another palomard has it.
        OSError: its directory cannot be used.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock")
        self._lock: int | None = os.open(
            lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise SocketInUseError(path) from error

    def release(self) -> None:
        """Let others have the path; idempotent.

        The lock file stays: removing it would let two daemons hold locks on two files.
        """
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class UnixListener:
    """A listening stream socket at a path; non-blocking.

    A lock beside it tells whether another palomard serves there; a socket that nobody serves any
    more is replaced.

    Args:
        path: where; its directory is made if it is missing.
        mode: permissions of the socket: whoever may write to it may connect.
        lock: of that path, where it has been taken already; stays its owner's to release.

    Raises:
        OSError: the path cannot be used; the text tells why and what to do.
    """

    def __init__(self, path: Path, mode: int, lock: SocketLock | None = None) -> None:
        if len(os.fsencode(path)) > _PATH_BYTES_MAX:
            raise OSError(f"{path} is too long for a unix socket: at most {_PATH_BYTES_MAX} bytes")
        self.path = path
        self._lock: SocketLock | None = None
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._bound = False
        try:
            if lock is None:
                self._lock = SocketLock(path)
            self._remove_stale()
            # Linux gives the file the mode of the socket, so nobody can slip in before the chmod,
            # which is for what the umask took.
            os.fchmod(self.socket.fileno(), mode)
            self.socket.bind(os.fspath(path))
            self._bound = True
            path.chmod(mode)
            self.socket.listen(BACKLOG)
        except OSError as error:
            self.close()
            if error.strerror is None:
                raise
            raise OSError(f"cannot listen on {path}: {error.strerror}") from error

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self.socket.close()
        if self._bound:
            # Only then is what lies there our socket, and not a file of somebody else.
            self._bound = False
            self.path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.release()

    def _remove_stale(self) -> None:
        """Make room for our socket, unless something lives there."""
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise OSError(f"cannot listen on {self.path}: there is a file that is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            try:
                probe.connect(os.fspath(self.path))
            except ConnectionRefusedError:
                self.path.unlink()
            except BlockingIOError:  # its backlog is full: somebody should be there
                raise SocketInUseError(self.path) from None
            else:
                raise SocketInUseError(self.path)
