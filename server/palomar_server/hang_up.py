"""Cut this process's own server connections, where the library that serves them cannot.

gRPC ends a stream by telling the client so, and waits without end for one that takes nothing any
more, such as a process that was stopped. Its descriptors are this process's, though, and it lets go
of a connection that is shut down. Used by `grpc_server`, once, at the end.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def hang_up(path: Path, port: int | None = None) -> int:
    """Shut down all connections that this process has accepted.

    Args:
        path: of the unix socket on which it listens.
        port: TCP port on which it listens too.

    Returns:
        How many there were.
    """
    cut = 0
    for entry in list(_DESCRIPTORS.iterdir()):
        # Most are no sockets, and others may be closed meanwhile.
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            own = os.dup(int(entry.name))
            held.callback(os.close, own)
            connection = socket.socket(fileno=own)
            held.callback(connection.detach)
            if _is_accepted(connection, path, port):
                connection.shutdown(socket.SHUT_RDWR)
                cut += 1
    return cut


def _is_accepted(connection: socket.socket, path: Path, port: int | None) -> bool:
    if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    name = connection.getsockname()
    if connection.family == socket.AF_UNIX:
        return bool(name == str(path))
    is_ip = connection.family in (socket.AF_INET, socket.AF_INET6)
    return is_ip and port is not None and name[1] == port
