"""The streams that `Client` and `AsyncClient` hand out: answers of one call in, their order kept.

How to wait for the next answer, and how a call ends, is in `Stream` and `AsyncStream`; what answers
about flows mean is in `flow_streams`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from palomar.rpc import translated
from palomar.target import Target
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch

AnswerT = TypeVar("AnswerT")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)


class Call(Protocol[AnswerT_co]):
    """What gRPC returns for a call with a stream of answers; its own type has no public name."""

    def __iter__(self) -> Iterator[AnswerT_co]: ...

    def cancel(self) -> bool:
        """End it."""


class AsyncCall(Protocol[AnswerT_co]):
    """The same of grpc.aio."""

    def __aiter__(self) -> AsyncIterator[AnswerT_co]: ...

    def cancel(self) -> bool:
        """End it."""


class Stream(Generic[AnswerT]):
    """The answers of one call; iterate once. Closing it or leaving its `with` block ends it."""

    def __init__(self, call: Call[AnswerT], target: Target) -> None:
        self._call = call
        self._target = target
        self._closed = False

    def _answers(self) -> Iterator[AnswerT]:
        """Yield what the server sends, and let go of the call at the end.

        Raises:
            PalomarError: See `palomar.errors`. A stream cancelled by either side just ends.
        """
        try:
            with translated(self._target, cancelled_ends=True):
                yield from self._arriving()
        finally:
            self.close()

    def _arriving(self) -> Iterator[AnswerT]:
        """What comes over the wire."""
        yield from self._call

    def close(self) -> None:
        """End the call; may be called from another thread, and again."""
        self._closed = True
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncStream(Generic[AnswerT]):
    """`Stream` for asyncio: `async for`, `async with`."""

    def __init__(self, call: AsyncCall[AnswerT], target: Target) -> None:
        self._call = call
        self._target = target
        self._closed = False

    async def _answers(self) -> AsyncIterator[AnswerT]:
        try:
            with translated(self._target, cancelled_ends=True):
                async for answer in self._arriving():
                    yield answer
        except asyncio.CancelledError:
            # grpc.aio raises it for a call closed here; only the task's own must pass on.
            if not self._closed:
                raise
        finally:
            self.close()

    def _arriving(self) -> AsyncIterator[AnswerT]:
        """What comes over the wire."""
        return aiter(self._call)

    def close(self) -> None:
        """End the call; may be called again."""
        self._closed = True
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class EventStream(Stream[AnswerT]):
    """Responses of GetAgentEvents or GetDebugEvents as they arrive.

    Each has the event with its `time` and `node_name`, which the event itself does not know.
    """

    def __iter__(self) -> Iterator[AnswerT]:
        return self._answers()


class AsyncEventStream(AsyncStream[AnswerT]):
    """`EventStream` for asyncio."""

    def __aiter__(self) -> AsyncIterator[AnswerT]:
        return self._answers()


class BatchStream(Stream[FlowBatch]):
    """Batches of GetFlowBatches as they arrive."""

    def __iter__(self) -> Iterator[FlowBatch]:
        return self._answers()


class AsyncBatchStream(AsyncStream[FlowBatch]):
    """`BatchStream` for asyncio."""

    def __aiter__(self) -> AsyncIterator[FlowBatch]:
        return self._answers()
