"""How flows are asked for on one channel: in batches where the server has them, else one by one.

Which of the two is found out by the first call, so that a server of ours costs no extra round trip,
and any other exactly one.
"""

from collections.abc import Callable
from threading import Lock
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

import grpc

from palomar_proto.observer.observer_pb2 import GetFlowsRequest
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions

BatchCallT = TypeVar("BatchCallT")
FlowCallT = TypeVar("FlowCallT")


class Closing(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Close it."""


StreamT = TypeVar("StreamT", bound=Closing)


class FlowCalls(Generic[BatchCallT, FlowCallT]):
    """Opens the calls of one channel, and remembers what its server can.

    Args:
        batches: Calls GetFlowBatches.
        flows: Calls GetFlows.
        batched: Whether the server has FlowBatches, where the caller knows: if it has not, it is
            never asked for them, unless a position is to be resumed.

    Attributes:
        batched: Whether the server has FlowBatches; `None` until it has answered.
        streams: Those that read from the channel, as long as anybody has them.
    """

    def __init__(
        self,
        batches: Callable[[GetFlowsRequest], BatchCallT],
        flows: Callable[[GetFlowsRequest], FlowCallT],
        *,
        batched: bool | None = None,
    ) -> None:
        self.batches = batches
        self.flows = flows
        self.batched = batched
        self.streams: WeakSet[Closing] = WeakSet()
        self._listing = Lock()

    def keep(self, stream: StreamT) -> StreamT:
        """Remember a stream, to close it with the channel; returns it."""
        with self._listing:
            self.streams.add(stream)
        return stream

    def close(self) -> None:
        """Close the streams: one that waits to try again has no call that would end."""
        with self._listing:  # other threads may begin to read just now
            streams = list(self.streams)
        for stream in streams:
            stream.close()

    def open(self, request: GetFlowsRequest) -> tuple[BatchCallT | FlowCallT, bool]:
        """Send a request, and tell whether its answers are batches."""
        if self.batched is False and not _resumes(request):
            return self.flows(request), False
        return self.batches(request), True

    def instead(self, request: GetFlowsRequest, error: grpc.RpcError) -> FlowCallT | None:
        """Ask for single flows where an answer says that there are no batches; else `None`.

        Not where a position is to be resumed: only batches know positions.
        """
        code = getattr(error, "code", lambda: None)()
        if code is not grpc.StatusCode.UNIMPLEMENTED or self.batched or _resumes(request):
            return None
        return self.flows(request)


def _resumes(request: GetFlowsRequest) -> bool:
    options = BatchOptions()
    return request.extensions.Unpack(options) and bool(options.resume_token)
