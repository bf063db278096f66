"""The streams of recordings: what `record_stream` of both clients hands out.

In: answers of palomar.v1.Recordings/Stream. Out: pieces of a capture file as bytes; what the
server says beside them is kept in `recording`.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, cast

import grpc

from palomar.errors import ServerError
from palomar.streams import AsyncCall, AsyncStream, Call, Stream
from palomar.target import Target

if TYPE_CHECKING:
    from palomar_proto.palomar.v1.recordings_pb2 import Recording, StreamResponse

OnRecording = Callable[["Recording"], None]


class _State:
    """What the server has said of the recording."""

    recording: "Recording | None" = None
    """As the server told it last; `None` before it did."""

    _on_recording: OnRecording | None = None

    @property
    def _ended(self) -> bool:
        """Whether the last word was said.

        What fails after that, as the stream of a server that is stopped, fails nobody.
        """
        return self.recording is not None and self.recording.HasField("ended")

    def _data(self, answer: "StreamResponse") -> bytes:
        """The piece of the file in an answer, if any."""
        if answer.WhichOneof("content") != "recording":
            return answer.data
        self.recording = answer.recording
        if self._on_recording is not None:
            self._on_recording(answer.recording)
        return b""

    def _check_end(self, *, closed: bool) -> None:
        """Refuse an end without a last word, which may be anywhere in a packet.

        Raises:
            ServerError: It is one, and nobody here wanted it.
        """
        if not (self._ended or closed):
            raise ServerError(
                "the server ended the stream of packets without saying why; the last packets may "
                "be missing"
            )


class RecordingStream(_State, Stream["StreamResponse"]):
    """Packets as they are recorded: iterate once for the pieces of one capture file.

    Closing it, or leaving its `with` block, ends the recording; `Client.stop_recording` with the
    id of `recording` ends it so that everything taken still comes.

    Args:
        call: The call.
        target: Who is asked.
        on_recording: Called with each word about the recording.
    """

    def __init__(
        self,
        call: "Call[StreamResponse]",
        target: Target,
        on_recording: OnRecording | None = None,
    ) -> None:
        super().__init__(call, target)
        self._on_recording = on_recording

    def __iter__(self) -> Iterator[bytes]:
        return (data for answer in self._answers() if (data := self._data(answer)))

    def _arriving(self) -> "Iterator[StreamResponse]":
        try:
            yield from super()._arriving()
        except grpc.RpcError as error:
            if self._closing.is_set() or not (self._ended or _is_cancelled(error)):
                raise
        self._check_end(closed=self._closing.is_set())


class AsyncRecordingStream(_State, AsyncStream["StreamResponse"]):
    """`RecordingStream` for asyncio."""

    def __init__(
        self,
        call: "AsyncCall[StreamResponse]",
        target: Target,
        on_recording: OnRecording | None = None,
    ) -> None:
        super().__init__(call, target)
        self._on_recording = on_recording

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for answer in self._answers():
            if data := self._data(answer):
                yield data

    async def _arriving(self) -> "AsyncIterator[StreamResponse]":
        try:
            async for answer in super()._arriving():
                yield answer
        except grpc.RpcError as error:
            if self._closed or not (self._ended or _is_cancelled(error)):
                raise
        self._check_end(closed=self._closed)


def _is_cancelled(error: grpc.RpcError) -> bool:
    return cast("grpc.Call", error).code() is grpc.StatusCode.CANCELLED
