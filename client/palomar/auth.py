"""Who asks: what a client shows the server so that it is let in.

    Client("tls://relay.example:443", auth=BearerToken(file="/run/secrets/token"))

Each has `metadata`, which goes with every call. Secrets show in no `repr` and in no message.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from palomar.errors import InvalidRequest
from palomar.tls import FilePath

Metadata = tuple[tuple[str, str], ...]

_KEY = "authorization"
_TOKEN_FILE_BYTES_MAX = 64 * 1024  # above what any server takes as a header


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token, or the file it is in.

    Attributes:
        token: The token itself.
        file: Path of a file with nothing but the token. Read anew for each call, since tokens are
            replaced while a client lives.

    Raises:
        InvalidRequest: Neither of them, both, or a token that cannot be sent.
    """

    token: str = field(default="", repr=False)
    file: FilePath = ""

    def __post_init__(self) -> None:
        if bool(self.token) == bool(self.file):
            raise InvalidRequest("a bearer token needs either the token or a file, not both")
        if self.token:
            _check(self.token, "the bearer token")

    @property
    def metadata(self) -> Metadata:
        """What goes with a call.

        Raises:
            InvalidRequest: The file cannot be read, or holds no token.
        """
        return ((_KEY, f"Bearer {self.token or self._read()}"),)

    def _read(self) -> str:
        path = os.fspath(self.file)
        try:
            with Path(path).open("rb") as file:
                text = file.read(_TOKEN_FILE_BYTES_MAX + 1).decode("ascii").strip()
        except OSError as error:
            raise InvalidRequest(
                f"cannot read the bearer token file {path}: {error.strerror or error}"
            ) from error
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"the bearer token file {path} holds no token") from error
        if not text or len(text) > _TOKEN_FILE_BYTES_MAX:
            raise InvalidRequest(
                f"the bearer token file {path} holds no token of 1 to {_TOKEN_FILE_BYTES_MAX} "
                "characters"
            )
        _check(text, f"the token in {path}")
        return text


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """A user's name and password (RFC 7617).

    Raises:
        InvalidRequest: One of them is missing, or the name has a colon.
    """

    username: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.username or not self.password:
            raise InvalidRequest(
                "basic authentication needs both a user name and a password "
                "(--basic-auth-username and --basic-auth-password)"
            )
        if ":" in self.username:
            raise InvalidRequest(
                f"the user name {self.username!r} has a colon, which basic authentication cannot "
                "send"
            )

    @property
    def metadata(self) -> Metadata:
        """What goes with a call."""
        from base64 import b64encode  # noqa: PLC0415 - few need it

        pair = f"{self.username}:{self.password}".encode()
        return ((_KEY, f"Basic {b64encode(pair).decode()}"),)


Auth = BearerToken | BasicAuth


def _check(text: str, what: str) -> None:
    # What an HTTP/2 header may hold; gRPC's own error would show the token.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidRequest(f"{what} has spaces or characters that no token has")
