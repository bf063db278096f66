"""The border to gRPC: channel settings in, and the one place where its errors become ours.

Used by both clients and their streams.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

import grpc
from grpc.experimental import ChannelOptions

from palomar.errors import PalomarError, from_status, unreachable

if TYPE_CHECKING:
    from palomar.target import Target

CONNECT_TIMEOUT_S: Final = 5.0
"""How long to wait for a connection: long enough for a lost SYN to be sent again, twice."""

REQUEST_TIMEOUT_S: Final = 12.0
"""How long a unary call may take: a relay asks all its nodes first."""

# How gRPC's text begins where no connection came about, as opposed to a server's own UNAVAILABLE.
_NOT_CONNECTED = ("failed to connect to all addresses", "DNS resolution failed")


def channel_options(connect_timeout_s: float) -> tuple[tuple[str, str | int], ...]:
    """Settings of every channel of ours."""
    return (
        # Despite its name this also bounds one connection attempt (20 s by default).
        ("grpc.min_reconnect_backoff_ms", max(1, round(connect_timeout_s * 1000))),
        # A stream is read on the thread that iterates over it. Handing each message over from a
        # thread of gRPC's own took a third more CPU while printing flows.
        (ChannelOptions.SingleThreadedUnaryStream, 1),
    )


@contextmanager
def translated(target: "Target", *, cancelled_ends: bool = False) -> Iterator[None]:
    """Turn what gRPC raises in the block into an error of `palomar.errors`.

    Args:
        target: Who is being talked to.
        cancelled_ends: Whether a cancelled call, by either side, just ends the block.
    """
    try:
        yield
    except grpc.RpcError as error:
        call = cast("grpc.Call", error)  # whatever gRPC raises is a call as well
        code, details = call.code(), call.details() or ""
        if cancelled_ends and code is grpc.StatusCode.CANCELLED:
            return
        raise _translate(code, details, target) from error


def _translate(code: grpc.StatusCode, details: str, target: "Target") -> PalomarError:
    if code is grpc.StatusCode.UNAVAILABLE and details.startswith(_NOT_CONNECTED):
        return unreachable(target.text, target.refusal(details))
    return from_status(code.name, details, target.text)
