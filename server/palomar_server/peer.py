"""Who asks: the other end of a connection, as far as limits, hooks and the log need to know it."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

_CREDENTIALS = struct.Struct("=iII")
"""struct ucred of unix(7): pid, uid, gid."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection.

    A pid may be given to another process later on, and is 0 for one outside our pid namespace: it
    is for reading, while uid and certificate name are who somebody is.
    """

    address: str
    """"unix:pid=7" or "tcp:192.0.2.1"; without a port, which tells connections apart, not peers."""
    uid: int | None = None
    """User of the process on the unix socket; None elsewhere."""
    pid: int | None = None
    """Its number when it connected; None elsewhere."""
    certificate_name: str | None = None
    """Whom the client's certificate names; None without one."""

    @property
    def who(self) -> str:
        """For whom connections and streams are counted together: certificate, user or host.

        Processes of one user could each start more of them, so they share what a user may have.
        """
        if self.certificate_name is not None:
            return f"name:{self.certificate_name}"
        return self.address if self.uid is None else f"unix:uid={self.uid}"


def peer_of(connection: socket.socket) -> Peer:
    """Who is at the other end of an accepted connection.

    Raises:
        OSError: the connection is gone already.
    """
    if connection.family == socket.AF_UNIX:
        credentials = connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
        pid, uid, _ = _CREDENTIALS.unpack(credentials)
        return Peer(f"unix:pid={pid}", uid=uid, pid=pid)
    return Peer(f"tcp:{connection.getpeername()[0]}")


OWN = Peer("own", uid=os.getuid(), pid=os.getpid())
"""This process itself: for requests that come over no connection."""
