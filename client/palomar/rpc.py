"""The border to gRPC: channel settings in, and the one place where its errors become ours.

Used by both clients and their streams.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar, cast

import grpc
from grpc.experimental import ChannelOptions

from palomar.errors import InvalidRequest, PalomarError, ServerUnavailable, from_status, unreachable

if TYPE_CHECKING:
    from palomar.target import Target

AnswerT = TypeVar("AnswerT")

CONNECT_TIMEOUT_S: Final = 5.0
"""How long to wait for a connection: long enough for a lost SYN to be sent again, twice."""

REQUEST_TIMEOUT_S: Final = 12.0
"""How long a unary call may take: a relay asks all its nodes first."""

KEEPALIVE_S: Final = 360.0
"""How long a connection may be silent until the server is asked whether it is still there. Hubble's
servers hang up on who asks more often than every five minutes (grpc-go's MinTime)."""

PING_TIMEOUT_S: Final = 60.0
"""How long the answer to that may take, and to what gRPC asks to measure the connection."""

_INT32_MAX = 2**31 - 1

# How gRPC's text begins where no connection came about, as opposed to a server's own UNAVAILABLE.
_NOT_CONNECTED = ("failed to connect to all addresses", "DNS resolution failed")


def channel_options(connect_timeout_s: float) -> tuple[tuple[str, str | int], ...]:
    """Settings of every channel of ours.

    Raises:
        InvalidRequest: The time is not a number.
    """
    if math.isnan(connect_timeout_s):
        raise InvalidRequest(f"connect_timeout_s {connect_timeout_s} is no number of seconds")
    return (
        # Despite its name this also bounds one connection attempt (20 s by default).
        ("grpc.min_reconnect_backoff_ms", round(min(max(1, connect_timeout_s * 1000), _INT32_MAX))),
        # How often to try again is decided in `reconnection`. By default a call made up to two
        # minutes after the server went away fails without so much as trying.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # Who follows only reads, and would for ever wait for a machine that is gone.
        ("grpc.keepalive_time_ms", round(KEEPALIVE_S * 1000)),
        ("grpc.http2.ping_timeout_ms", round(PING_TIMEOUT_S * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        # A stream is read on the thread that iterates over it. Handing each message over from a
        # thread of gRPC's own took a third more CPU while printing flows.
        (ChannelOptions.SingleThreadedUnaryStream, 1),
    )


def call_timeout_s(request_timeout_s: float) -> float | None:
    """How gRPC is told how long a call may take: for it, `None` is for ever, and infinity now.

    Raises:
        InvalidRequest: The time is not a number.
    """
    if math.isnan(request_timeout_s):
        raise InvalidRequest(f"request_timeout_s {request_timeout_s} is no number of seconds")
    return None if request_timeout_s == math.inf else request_timeout_s


def check_open(*, closed: bool) -> None:
    """Refuse a call of a client that was closed; gRPC's two halves would differ in how.

    Raises:
        InvalidRequest: It was.
    """
    if closed:
        raise InvalidRequest("this client is closed; make another one")


def readable(answer: AnswerT | None, target: "Target") -> AnswerT:
    """Check that an answer could be read: if not, grpc.aio gives `None` and no error.

    Raises:
        ServerError: It could not.
    """
    if answer is None:
        raise from_status("INTERNAL", "Exception deserializing response!", target.text)
    return answer


@contextmanager
def translated(
    target: "Target",
    *,
    cancelled_ends: bool = False,
    instead: str = "",
    only_unsupported: bool = False,
) -> Iterator[None]:
    """Turn what gRPC raises in the block into an error of `palomar.errors`.

    Args:
        target: Who is being talked to.
        cancelled_ends: Whether a cancelled call, by either side, just ends the block.
        instead: What to do where the server lacks the method.
        only_unsupported: Whether to pass on as it is what is not about a method that is lacking,
            and that too where `instead` is empty.
    """
    try:
        yield
    except grpc.RpcError as error:
        call = cast("grpc.Call", error)  # whatever gRPC raises is a call as well
        code, details = call.code(), call.details() or ""
        if cancelled_ends and code is grpc.StatusCode.CANCELLED:
            return
        if only_unsupported and (code is not grpc.StatusCode.UNIMPLEMENTED or not instead):
            raise
        raise _translate(code, details, target, instead) from error


def _translate(code: grpc.StatusCode, details: str, target: "Target", instead: str) -> PalomarError:
    if code is not grpc.StatusCode.UNAVAILABLE or not details.startswith(_NOT_CONNECTED):
        return from_status(code.name, details, target.text, instead)
    if reason := target.handshake_failure(details):
        error = ServerUnavailable(f"cannot reach {target.text}: {reason}")
    else:
        error = unreachable(target.text, target.refusal(details))
    error.status, error.details = code.name, details
    return error
