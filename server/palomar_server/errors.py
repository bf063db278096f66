"""What a request can be told, sorted by what its caller does next.

`grpc_server.status_of` gives each its gRPC status.

RequestError            the request cannot be served
├── InvalidRequest      change the request: INVALID_ARGUMENT
├── Unsupported         this server cannot do that: UNIMPLEMENTED
├── Exhausted           try again later, or elsewhere: RESOURCE_EXHAUSTED
└── Stopping            connect again: UNAVAILABLE
"""

from __future__ import annotations

import reprlib


class RequestError(Exception):
    """A request that is not served; the text is for its caller."""


class InvalidRequest(RequestError):  # noqa: N818 - named for what the caller reads
    """A value in the request breaks a rule; the text has field, value and rule."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        # Shortened: a status is sent as metadata, which has a limit of its own.
        super().__init__(f"{field}: {reprlib.repr(value)} {rule}")


class Unsupported(RequestError):  # noqa: N818 - likewise
    """The request asks for something this server does not have; the text names it."""


class Exhausted(RequestError):  # noqa: N818 - likewise
    """A limit of the server is reached; the text names it."""


class Stopping(RequestError):  # noqa: N818 - likewise
    """The server is about to end, and with it this stream."""

    def __init__(self) -> None:
        super().__init__("palomard is stopping")
