"""Tells whether the process that put a filter on an interface still lives.

Filters of clsact outlive their process, so whoever cleans up must know those of one that runs. Its
mark is a unix socket with an abstract name: such names belong to a network namespace (unix(7),
network_namespaces(7)), as filters do, and go with the process, however it ends.
"""

from __future__ import annotations

import errno
import re
import secrets
import socket

from palomar_bpf.errors import CaptureError

_ADDRESS = "\0palomar-filters-"
_MARK = re.compile(r"[0-9a-f]{16}")


class FilterOwner:
    """The mark of one that makes filters, until it is closed.

    Raises:
        CaptureError: the kernel refused the socket.
    """

    def __init__(self) -> None:
        self.mark = secrets.token_hex(8)
        """Goes into the names of its filters."""
        try:
            self._socket = _bound(self.mark)
        except OSError as error:
            raise CaptureError(f"filters cannot be marked as ours: {error.strerror}") from error

    def close(self) -> None:
        """Filters with this mark are leftovers from now on; idempotent."""
        self._socket.close()


def has_owner(mark: str) -> bool:
    """Whether somebody in this network namespace has the mark; nobody has what is none."""
    if not _MARK.fullmatch(mark):
        return False
    try:
        _bound(mark).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _bound(mark: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        made.bind(_ADDRESS + mark)
    except OSError:
        made.close()
        raise
    return made
