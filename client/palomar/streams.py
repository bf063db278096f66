"""The streams that `Client` and `AsyncClient` hand out: answers of one call in, their order kept.

How to wait for the next answer, and how a call ends, is in `Stream` and `AsyncStream`; what answers
about flows mean is in `flow_streams`.
"""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, Self, TypeVar

import grpc

from palomar.errors import PalomarError
from palomar.rpc import translated
from palomar.target import Target
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch

if TYPE_CHECKING:
    import asyncio

AnswerT = TypeVar("AnswerT")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)
AnswerT_contra = TypeVar("AnswerT_contra", contravariant=True)
CallT_co = TypeVar("CallT_co", covariant=True)


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


class Reopening(Protocol[CallT_co, AnswerT_contra]):
    """How a stream gets on after its call failed; the same for both kinds of streams."""

    def take(self, answer: AnswerT_contra) -> bool:
        """Whether an answer is new to the reader; for streams that hand out whole answers."""

    def answered(self) -> None:
        """The call has brought its first answer, or has ended well without any."""

    def delay_s(self, error: grpc.RpcError | PalomarError) -> float | None:
        """How long to wait after a failure, in seconds; `None`: give up."""

    def open(self) -> CallT_co:
        """Begin the next call."""


class _Once:
    """Of a stream that ends with its call."""

    def take(self, answer: object) -> bool:
        del answer  # no call before has brought it
        return True

    def answered(self) -> None:
        pass

    def delay_s(self, error: grpc.RpcError | PalomarError) -> None:
        del error  # no matter which

    def open(self) -> NoReturn:
        raise AssertionError("a stream was opened again that gives up")


class Stream(Generic[AnswerT]):
    """The answers of a call; iterate once. Closing it or leaving its `with` block ends it.

    Args:
        call: The call.
        target: Who is asked.
        reopening: How to get on after it failed; by default not.
    """

    def __init__(
        self,
        call: Call[AnswerT],
        target: Target,
        reopening: Reopening[Call[AnswerT], AnswerT] | None = None,
    ) -> None:
        self._call = call
        self._target = target
        self._reopening = reopening or _Once()
        self._closing = threading.Event()

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
        """What comes over the wire, in one call after another."""
        while True:
            try:
                yield from self._of_one_call()
            except (grpc.RpcError, PalomarError) as error:
                if self._closing.is_set():
                    return
                delay_s = self._reopening.delay_s(error)
                if delay_s is None:
                    raise
            else:
                return
            if self._closing.wait(delay_s):
                return
            try:
                self._call = self._reopening.open()
            except ValueError:
                if self._closing.is_set():  # and the channel too, just now
                    return
                raise
            if self._closing.is_set():  # by a thread that knew only the call before
                self._call.cancel()

    def _of_one_call(self) -> Iterator[AnswerT]:
        answers = iter(self._call)
        for first in answers:
            self._reopening.answered()
            yield first
            yield from answers
            return
        self._reopening.answered()

    def close(self) -> None:
        """End the call, or the waiting for the next; from any thread, and more than once."""
        self._closing.set()
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

    def __init__(
        self,
        call: AsyncCall[AnswerT],
        target: Target,
        reopening: Reopening[AsyncCall[AnswerT], AnswerT] | None = None,
    ) -> None:
        self._call = call
        self._target = target
        self._reopening = reopening or _Once()
        self._closed = False
        self._waiting: asyncio.Future[None] | None = None

    async def _answers(self) -> AsyncIterator[AnswerT]:
        import asyncio  # noqa: PLC0415 - costs synchronous programs their start

        try:
            with translated(self._target, cancelled_ends=True):
                async for answer in self._arriving():
                    yield answer
        except asyncio.CancelledError:
            # grpc.aio raises it for a call closed here; only the task's own must pass on.
            if cancelled_here() or not self._closed:
                raise
        finally:
            self.close()

    async def _arriving(self) -> AsyncIterator[AnswerT]:
        """What comes over the wire, in one call after another."""
        while True:
            answered = False
            try:
                async for answer in self._call:
                    if not answered:
                        answered = True
                        self._reopening.answered()
                    yield answer
            except (grpc.RpcError, PalomarError) as error:
                if self._closed:
                    return
                delay_s = self._reopening.delay_s(error)
                if delay_s is None:
                    raise
            else:
                if not answered:
                    self._reopening.answered()
                return
            await self._wait(delay_s)
            if self._closed:
                return
            self._call = self._reopening.open()

    async def _wait(self, delay_s: float) -> None:
        """Wait so long, or until the stream is closed."""
        import asyncio  # noqa: PLC0415 - see above

        self._waiting = asyncio.get_running_loop().create_future()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._waiting, delay_s)

    def close(self) -> None:
        """End the call, or the waiting for the next; may be called again."""
        self._closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
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


def cancelled_here() -> bool:
    """Whether the task that runs is to end, and not just the call it waits for."""
    import asyncio  # noqa: PLC0415 - see above

    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class EventStream(Stream[AnswerT]):
    """Responses of GetAgentEvents or GetDebugEvents as they arrive.

    Each has the event with its `time` and `node_name`, which the event itself does not know.
    """

    def __iter__(self) -> Iterator[AnswerT]:
        return (answer for answer in self._answers() if self._reopening.take(answer))


class AsyncEventStream(AsyncStream[AnswerT]):
    """`EventStream` for asyncio."""

    async def __aiter__(self) -> AsyncIterator[AnswerT]:
        async for answer in self._answers():
            if self._reopening.take(answer):
                yield answer


class BatchStream(EventStream[FlowBatch]):
    """Batches of GetFlowBatches as they arrive."""


class AsyncBatchStream(AsyncEventStream[FlowBatch]):
    """`BatchStream` for asyncio."""
