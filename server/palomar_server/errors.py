"""What a request can be told, sorted by what its caller does next.

`grpc_status.status_of` gives each its gRPC status.

RequestError            the request cannot be served
├── InvalidRequest      change the request: INVALID_ARGUMENT
├── OutOfRange          start anew, from what there is: OUT_OF_RANGE
├── NotFound            ask for something else: NOT_FOUND
├── NotReady            change what it is asked of, then ask again: FAILED_PRECONDITION
├── Unsupported         this server cannot do that: UNIMPLEMENTED
├── Refused             ask for less, or as somebody else: PERMISSION_DENIED
├── TooLate             be quicker: DEADLINE_EXCEEDED
├── Exhausted           try again later, or elsewhere: RESOURCE_EXHAUSTED
├── Stopping            connect again: UNAVAILABLE
└── HookFailed          tell who runs this server: INTERNAL
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


class OutOfRange(RequestError):  # noqa: N818 - likewise
    """What the request goes on from is not, or no longer, there; the text says what is."""


class NotFound(RequestError):  # noqa: N818 - likewise
    """The one thing that is asked for does not exist here; the text names it."""


class NotReady(RequestError):  # noqa: N818 - likewise
    """What the request is about is not in the state for it; the text says which, and the remedy."""


class Unsupported(RequestError):  # noqa: N818 - likewise
    """The request asks for something this server does not have; the text names it."""


class Refused(RequestError):  # noqa: N818 - likewise
    """A hook does not let this peer have what it asks for; the text is the hook's."""


class TooLate(RequestError):  # noqa: N818 - likewise
    """Time ran out: the caller's own, or that for sending the request; the text says which."""


class Exhausted(RequestError):  # noqa: N818 - likewise
    """A limit of the server is reached; the text names it."""


class Stopping(RequestError):  # noqa: N818 - likewise
    """The server is about to end, and with it this stream."""

    def __init__(self) -> None:
        super().__init__("palomard is stopping")


class HookFailed(RequestError):  # noqa: N818 - likewise
    """A hook failed on what it alone can judge; the text names it."""
