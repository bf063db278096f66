"""Names of this namespace's network interfaces, for events of somebody else in the same namespace.

Out come the `links` of context objects: changes only.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_CREDENTIALS = struct.Struct("=iII")
"""struct ucred of unix(7): pid, uid, gid."""
_OWN_NAMESPACE = Path("/proc/self/ns/net")


def shares_network(connection: socket.socket) -> bool:
    """Whether who listens at the other end of a unix socket is in our network namespace.

    False as well where that cannot be told: in a PID namespace of our own without its process, or
    without the right to look at it.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid = _CREDENTIALS.unpack(credentials)[0]
    try:
        return pid > 0 and Path(f"/proc/{pid}/ns/net").samefile(_OWN_NAMESPACE)
    except OSError:
        return False


class LinkNames:
    """Says what changed since it was last asked.

    Args:
        list_links: index and name of each.
    """

    def __init__(
        self, list_links: Callable[[], Iterable[tuple[int, str]]] = socket.if_nameindex
    ) -> None:
        self._list_links = list_links
        self._known: dict[int, str] = {}

    def changes(self) -> dict[str, str | None]:
        """Names by index in decimal, None for links that are gone; nothing if there is no news.

        The kernel lists some thousand links in a millisecond; if it cannot, nothing has changed.
        """
        try:
            now = dict(self._list_links())
        except OSError:
            return {}
        changed: dict[str, str | None] = {
            str(index): name for index, name in now.items() if self._known.get(index) != name
        }
        changed.update({str(index): None for index in self._known.keys() - now.keys()})
        self._known = now
        return changed
