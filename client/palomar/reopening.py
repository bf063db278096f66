"""Opens the calls of a stream, one after the other: the border between calls and `Recovery`."""

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import grpc

from palomar.errors import PalomarError, ServerError
from palomar.event_recovery import EventRecovery, EventResponse
from palomar.flow_recovery import FlowRecovery
from palomar.reconnection import Attempts, Outage, Reconnect
from palomar.recovery import Recovery
from palomar.requests import EventRequestT, RequestT
from palomar.rpc import translated
from palomar.target import Target
from palomar_proto.observer.observer_pb2 import GetFlowsRequest
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch

CallT = TypeVar("CallT")
AnswerT_contra = TypeVar("AnswerT_contra", contravariant=True)

_ATTEMPTS_MAX: Final = 5
"""Attempts in a row that get no further, where nobody said how many."""


class CallReopening(Generic[RequestT, CallT, AnswerT_contra]):
    """Of a stream whose calls are all of one method; `streams.Reopening` says what it is for.

    Args:
        call: Makes a call.
        recovery: Decides when, and with which request.
        take: Notes an answer, and tells whether it is new to the reader.
        target: Who is asked.
    """

    def __init__(
        self,
        call: Callable[[RequestT], CallT],
        recovery: Recovery[RequestT],
        take: Callable[[AnswerT_contra], bool],
        target: Target,
    ) -> None:
        self._make: Callable[[RequestT], CallT] = call
        self._recovery: Recovery[RequestT] = recovery
        self._take = take
        self._target = target
        self._opened_s = 0.0

    def open(self) -> CallT:
        """Begin the next call."""
        self._opened_s = time.monotonic()
        return self._make(self._recovery.request)

    def answered(self) -> None:
        """The call has brought its first answer, or has ended well without any."""
        self._recovery.answered()

    def take(self, answer: AnswerT_contra) -> bool:
        """Whether an answer is new to the reader."""
        return self._take(answer)

    def delay_s(self, error: grpc.RpcError | PalomarError) -> float | None:
        """How long to wait after a failure, in seconds; `None`: give up."""
        lasted_s = time.monotonic() - self._opened_s
        return self._recovery.failed(_failure(error, self._target), lasted_s)


class PlaceReopening(Generic[CallT]):
    """Of a stream whose maker knows where to go on, and whose answers are all news.

    Args:
        call: Makes a call that goes on there.
        place: How far the reader is; an attempt that got further was none in vain. `None` where
            every answer is as good as another.
        target: Who is asked.
        reconnect: How to try again; `None`: not at all.
        on_reconnect: Told of each failure that is got over.
    """

    def __init__(
        self,
        call: Callable[[], CallT],
        target: Target,
        reconnect: Reconnect | None,
        place: Callable[[], int] | None = None,
        on_reconnect: Callable[[Outage], None] | None = None,
    ) -> None:
        self._make = call
        self._target = target
        self._place = place
        self._on_reconnect = on_reconnect
        self._reached = 0
        self._attempts: Attempts | None = None
        if reconnect is not None:
            self._attempts = Attempts(reconnect, None if place is None else _ATTEMPTS_MAX)
        self._opened_s = 0.0

    def open(self) -> CallT:
        """Begin the next call."""
        self._opened_s = time.monotonic()
        return self._make()

    def answered(self) -> None:
        """The call has brought its first answer, or has ended well without any."""
        if self._attempts is not None and self._place is None:
            self._attempts.succeeded()

    def take(self, answer: object) -> bool:
        """Whether an answer is new to the reader."""
        del answer  # each is
        return True

    def delay_s(self, error: grpc.RpcError | PalomarError) -> float | None:
        """How long to wait after a failure, in seconds; `None`: give up."""
        if self._attempts is None:
            return None
        if self._place is not None and (reached := self._place()) != self._reached:
            self._reached = reached
            self._attempts.succeeded()
        lasted_s = time.monotonic() - self._opened_s
        outage = self._attempts.failed(_failure(error, self._target), lasted_s)
        if outage is None:
            return None
        if self._on_reconnect is not None:
            self._on_reconnect(outage)
        return outage.delay_s


def event_reopening(
    call: Callable[[EventRequestT], CallT],
    request: EventRequestT,
    target: Target,
    reconnect: Reconnect | None,
) -> CallReopening[EventRequestT, CallT, EventResponse]:
    """Of a stream of agent or debug events."""
    recovery = EventRecovery(request, reconnect)
    return CallReopening(call, recovery, recovery.take_response, target)


def batch_reopening(
    call: Callable[[GetFlowsRequest], CallT],
    request: GetFlowsRequest,
    target: Target,
    reconnect: Reconnect | None,
) -> CallReopening[GetFlowsRequest, CallT, FlowBatch]:
    """Of a stream of batches; who has got one has read it."""
    recovery = FlowRecovery(request, reconnect)
    return CallReopening(call, recovery, recovery.take_batch, target)


def _failure(error: grpc.RpcError | PalomarError, target: Target) -> PalomarError:
    """The error of a call in our terms; not raised."""
    try:
        with translated(target):
            raise error
    except PalomarError as translation:
        return translation
    return ServerError(str(error))  # never: every error of gRPC's is translated
