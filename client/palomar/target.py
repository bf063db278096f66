"""Where the server is: the text a user writes in, the address gRPC takes and reasons why not out.

Used by `Client`, `AsyncClient` and the `--server` flag.
"""

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar.errors import InvalidRequest

if TYPE_CHECKING:
    from palomar.tls import Tls

DEFAULT_SERVER = "unix:/run/palomar/palomar.sock"
"""Where palomard listens unless told otherwise: local, and protected by file permissions."""

SERVER_VARIABLE = "PALOMAR_SERVER"
"""Environment variable that names the server when nothing else does."""

TLS_SCHEME = "tls://"
"""What a server's text begins with that is to be talked to over TLS."""

# sun_path of struct sockaddr_un (linux/un.h) has 108 bytes, one of them the closing zero.
_SOCKET_PATH_BYTES_MAX = 107

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s]+):(?P<port>[0-9]{1,5})")
_PORT_MAX = 65535
_LOOPBACK_IPV4 = re.compile(r"127(\.[0-9]+){3}")

# Those that gRPC heeds, and in this order.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")


@dataclass(frozen=True, slots=True)
class Target:
    """One server.

    Attributes:
        text: As the user wrote it; this is what messages show.
        address: As gRPC wants it.
        socket_path: Path of the unix socket; empty for a network address.
        tls: How to make sure of the server; `None` where it is talked to in plain text.
    """

    text: str
    address: str
    socket_path: str = ""
    tls: "Tls | None" = None

    @property
    def host(self) -> str:
        """The name or address that a certificate of the server must bear."""
        # What gRPC takes the other end of a socket for.
        return "localhost" if self.socket_path else self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 of a unix socket."""
        return 0 if self.socket_path else int(self.address.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        """Whether it is this machine by its name or address, which no proxy leads to."""
        host = self.host.lower()
        return host in {"localhost", "::1"} or _LOOPBACK_IPV4.fullmatch(host) is not None

    def refusal(self, details: str) -> str:
        """Say why no connection came about, as far as this machine can tell.

        Args:
            details: What gRPC said; its last part names the operating system's error.
        """
        if not self.socket_path:
            reason = details.rpartition(": ")[2] or "no answer"
            proxy = next((one for one in _PROXY_VARIABLES if os.environ.get(one)), None)
            if proxy is None or self.loopback:
                return reason
            return f"{reason}, perhaps from the proxy that ${proxy} names (no_proxy has exceptions)"
        if not os.access(self.socket_path, os.F_OK):
            return "there is no such socket"
        if not os.access(self.socket_path, os.W_OK):
            return "permission denied on the socket"
        if "reset" in details:
            return "the server turned the connection away, which may be its limit of clients"
        return "nothing listens on the socket"

    def handshake_failure(self, details: str) -> str:
        """Say what is wrong where somebody listens, but the two cannot agree on how to talk.

        Args:
            details: What gRPC said.

        Returns:
            What was wrong and what to do; empty where it is not about that.
        """
        from palomar.handshake import failure_text  # noqa: PLC0415 - only once something failed

        return failure_text(self, details)


def parse_target(server: str | None = None, tls: "Tls | None" = None) -> Target:
    """Read `unix:PATH`, `unix:///PATH`, a bare absolute path, `HOST:PORT` or `tls://HOST:PORT`.

    Args:
        server: The text; `None` or empty means `$PALOMAR_SERVER`, else the default socket.
        tls: How to make sure of the server. With `tls://` and without this, it must have a
            certificate that this machine's authorities vouch for.

    Raises:
        InvalidRequest: The text is none of these, or the path is too long for a socket.
    """
    text = server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER
    rest = text.removeprefix(TLS_SCHEME)
    if rest != text and tls is None:
        from palomar.tls import Tls  # noqa: PLC0415 - few need it

        tls = Tls()
    if rest.startswith("/"):
        return _socket(text, rest, tls)
    if rest.startswith("unix:"):
        return _socket(text, rest.removeprefix("unix:").removeprefix("//"), tls)
    # The schemes in which gRPC's own tools write the same thing.
    rest = rest.removeprefix("passthrough:").removeprefix("dns:").removeprefix("///")
    match = _HOST_PORT.fullmatch(rest)
    if match is None or not 0 < int(match["port"]) <= _PORT_MAX:
        raise InvalidRequest(
            f"server {text!r} is neither unix:PATH nor HOST:PORT nor tls://HOST:PORT; write it "
            f"like {DEFAULT_SERVER} or localhost:4245"
        )
    return Target(text, rest, tls=tls)


def _socket(text: str, path: str, tls: "Tls | None") -> Target:
    path_bytes = len(os.fsencode(path))
    if not 0 < path_bytes <= _SOCKET_PATH_BYTES_MAX or "\0" in path:
        raise InvalidRequest(
            f"server {text!r} names a socket path of {path_bytes} bytes; it needs 1 to "
            f"{_SOCKET_PATH_BYTES_MAX}"
        )
    return Target(text, f"unix:{path}", path, tls)
