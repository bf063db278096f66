"""Where the server is: the text a user writes in, the address gRPC takes and reasons why not out.

Used by `Client`, `AsyncClient` and the `--server` flag.
"""

import os
import re
from dataclasses import dataclass

from palomar.errors import InvalidRequest

DEFAULT_SERVER = "unix:/run/palomar/palomar.sock"
"""Where palomard listens unless told otherwise: local, and protected by file permissions."""

SERVER_VARIABLE = "PALOMAR_SERVER"
"""Environment variable that names the server when nothing else does."""

# sun_path of struct sockaddr_un (linux/un.h) has 108 bytes, one of them the closing zero.
_SOCKET_PATH_BYTES_MAX = 107

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s]+):(?P<port>[0-9]{1,5})")
_PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Target:
    """One server.

    Attributes:
        text: As the user wrote it; this is what messages show.
        address: As gRPC wants it.
        socket_path: Path of the unix socket; empty for a network address.
    """

    text: str
    address: str
    socket_path: str = ""

    def refusal(self, details: str) -> str:
        """Say why no connection came about, as far as this machine can tell.

        Args:
            details: What gRPC said; its last part names the operating system's error.
        """
        if not self.socket_path:
            return details.rpartition(": ")[2] or "no answer"
        if not os.access(self.socket_path, os.F_OK):
            return "there is no such socket"
        if not os.access(self.socket_path, os.W_OK):
            return "permission denied on the socket"
        if "reset" in details:
            return "the server turned the connection away, which may be its limit of clients"
        return "nothing listens on the socket"


def parse_target(server: str | None = None) -> Target:
    """Read `unix:PATH`, `unix:///PATH`, a bare absolute path, or `HOST:PORT`.

    Args:
        server: The text; `None` or empty means `$PALOMAR_SERVER`, else the default socket.

    Raises:
        InvalidRequest: The text is none of these, or the path is too long for a socket.
    """
    text = server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER
    if text.startswith("/"):
        return _socket(text, text)
    if text.startswith("unix:"):
        return _socket(text, text.removeprefix("unix:").removeprefix("//"))
    match = _HOST_PORT.fullmatch(text)
    if match is None or not 0 < int(match["port"]) <= _PORT_MAX:
        raise InvalidRequest(
            f"server {text!r} is neither unix:PATH nor HOST:PORT; write it like "
            f"{DEFAULT_SERVER} or localhost:4245"
        )
    return Target(text, text)


def _socket(text: str, path: str) -> Target:
    path_bytes = len(os.fsencode(path))
    if not 0 < path_bytes <= _SOCKET_PATH_BYTES_MAX or "\0" in path:
        raise InvalidRequest(
            f"server {text!r} names a socket path of {path_bytes} bytes; it needs 1 to "
            f"{_SOCKET_PATH_BYTES_MAX}"
        )
    return Target(text, f"unix:{path}", path)
