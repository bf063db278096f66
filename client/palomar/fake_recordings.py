"""The Recordings service of `testing.FakeObserver`: recordings that record what they are told.

    recordings = FakeRecordings(file=b"…")
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        recording = client.start_recording(pod="web", packets_max=3)

It keeps recordings as palomard does, from the start to the removal, and so lets programs be tested
that start, watch, stop and fetch them. No packet is looked at.
"""

import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import Message

from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_END_CALLER_GONE,
    RECORDING_END_STOPPED,
    RECORDING_END_UNSPECIFIED,
    RECORDING_FORMAT_PCAP,
    RECORDING_STATUS_ARMED,
    RECORDING_STATUS_COMPLETE,
    RECORDING_STATUS_FAILED,
    RECORDING_STATUS_INTERRUPTED,
    RECORDING_STATUS_RUNNING,
    DeleteRequest,
    DeleteResponse,
    DownloadRequest,
    DownloadResponse,
    FileChunk,
    GetRequest,
    ListRequest,
    ListResponse,
    Recording,
    RecordingCounts,
    RecordingEnd,
    RecordingStatus,
    StartRequest,
    StopRequest,
    StreamRequest,
    StreamResponse,
    WatchRequest,
)

SERVICE: Final = "palomar.v1.Recordings"

Admit: TypeAlias = Callable[[str, Message, grpc.ServicerContext], None]
"""Called with each request before it is answered; may refuse it."""

_ENDED = frozenset(
    {RECORDING_STATUS_COMPLETE, RECORDING_STATUS_FAILED, RECORDING_STATUS_INTERRUPTED}
)
_BEGIN_S: Final = 1_709_634_030
"""When the first recording begins, in seconds since the Unix epoch; each lasts ten seconds."""

_NODE = "default/node-1"
_KEPT_S: Final = 7 * 86_400


@dataclass(kw_only=True)
class FakeRecordings:
    """Recordings of a node that has no network.

    Attributes:
        file: What every recording has in its file, and every stream sends.
        counts: What became of packets, in steps: a recording tells them one after another, and has
            the last in the end.
        end: Why a recording ends by itself after its last step; by default it waits to be stopped.
        status: What it is then.
        message: What went wrong.
        armed: Whether a recording waits for its trigger before the first step.
        chunk_bytes: How large pieces of a file are.
        breaks: Places in the file at which a download breaks off, each once.
        damaged: Places in the file of bytes that come changed, each once.
        last_word: How a stream ends that does not tell why; by default it does.
        after_word: How it ends after that.
        recordings: What there is, by id.
        started: What was asked for, streams included.
        offsets: Where each download began.
        left: Set when the caller of a stream has gone away.
    """

    file: bytes = b"packets"
    counts: Sequence[RecordingCounts] = ()
    end: RecordingEnd.ValueType = RECORDING_END_UNSPECIFIED
    status: RecordingStatus.ValueType = RECORDING_STATUS_COMPLETE
    message: str = ""
    armed: bool = False
    chunk_bytes: int = 1 << 16
    breaks: AbstractSet[int] = frozenset()
    damaged: AbstractSet[int] = frozenset()
    last_word: grpc.StatusCode | None = None
    after_word: grpc.StatusCode = grpc.StatusCode.OK
    recordings: dict[str, Recording] = field(default_factory=dict)
    started: list[StartRequest] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()

    def add(self, recording: Recording) -> None:
        """Have one more, as from an earlier day."""
        with self._changed:
            self.recordings[recording.id] = recording

    def methods(self, admit: Admit) -> "Mapping[str, grpc.RpcMethodHandler[Any, Any]]":
        """The methods of the service, by name.

        Args:
            admit: See `Admit`.
        """
        single: tuple[tuple[type[Message], Any], ...] = (
            (StartRequest, self._start),
            (ListRequest, self._list),
            (GetRequest, self._get),
            (StopRequest, self._stop),
            (DeleteRequest, self._delete),
        )
        streams: tuple[tuple[type[Message], Any], ...] = (
            (WatchRequest, self._watch),
            (DownloadRequest, self._download),
            (StreamRequest, self._stream),
        )
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for kind, answer in single:
            name = kind.DESCRIPTOR.name.removesuffix("Request")
            handlers[name] = grpc.unary_unary_rpc_method_handler(
                _admitted(name, answer, admit), kind.FromString, _serialized
            )
        for kind, answers in streams:
            name = kind.DESCRIPTOR.name.removesuffix("Request")
            handlers[name] = grpc.unary_stream_rpc_method_handler(
                _admitted(name, answers, admit), kind.FromString, _serialized
            )
        return handlers

    def _start(self, request: StartRequest, context: grpc.ServicerContext) -> Recording:
        del context
        return self._snapshot(self._begin(request))

    def _begin(self, request: StartRequest, *, to_file: bool = True) -> Recording:
        with self._changed:
            number = len(self.started)
            self.started.append(request)
            name = request.name or "palomar"
            recording = Recording(
                id=f"{name}-{number:08x}",
                node_name=_NODE,
                status=RECORDING_STATUS_ARMED if self.armed else RECORDING_STATUS_RUNNING,
                request=request,
                started_by="unix:uid=0",
            )
            recording.request.name = name
            recording.started.seconds = _BEGIN_S + number * 60
            if to_file:
                suffix = "pcap" if request.format == RECORDING_FORMAT_PCAP else "pcapng"
                recording.file_name = f"{recording.id}_node-1.{suffix}"
            self.recordings[recording.id] = recording
            return recording

    def _finish(
        self,
        recording: Recording,
        end: RecordingEnd.ValueType,
        status: RecordingStatus.ValueType,
    ) -> None:
        with self._changed:
            if recording.status in _ENDED:
                return
            recording.status, recording.end, recording.message = status, end, self.message
            recording.ended.seconds = recording.started.seconds + 10
            if self.counts:
                recording.counts.CopyFrom(self.counts[-1])
            if recording.file_name:
                recording.file_bytes = len(self.file)
                recording.sha256 = sha256(self.file).hexdigest()
                recording.expires.seconds = recording.ended.seconds + _KEPT_S
            self._changed.notify_all()

    def _steps(self, recording: Recording, context: grpc.ServicerContext) -> Iterator[Recording]:
        """The recording as it goes on, and once more when it has ended."""
        yield self._snapshot(recording)
        for counts in self.counts:
            with self._changed:
                if recording.status in _ENDED:
                    break
                recording.status = RECORDING_STATUS_RUNNING
                recording.counts.CopyFrom(counts)
            yield self._snapshot(recording)
        if self.end:
            self._finish(recording, self.end, self.status)
        context.add_callback(self._wake)
        with self._changed:
            self._changed.wait_for(lambda: recording.status in _ENDED or not context.is_active())
        yield self._snapshot(recording)

    def _watch(self, request: WatchRequest, context: grpc.ServicerContext) -> Iterator[Recording]:
        recording = self._find(request.id, context)
        if recording.status in _ENDED:
            yield self._snapshot(recording)
            return
        yield from self._steps(recording, context)

    def _list(self, request: ListRequest, context: grpc.ServicerContext) -> ListResponse:
        del context
        with self._changed:
            found = [
                recording
                for recording in reversed(self.recordings.values())
                if not request.statuses or recording.status in request.statuses
            ]
            limit = request.limit or len(found)
            return ListResponse(recordings=found[:limit], truncated=len(found) > limit)

    def _get(self, request: GetRequest, context: grpc.ServicerContext) -> Recording:
        return self._snapshot(self._find(request.id, context))

    def _stop(self, request: StopRequest, context: grpc.ServicerContext) -> Recording:
        recording = self._find(request.id, context)
        self._finish(recording, RECORDING_END_STOPPED, RECORDING_STATUS_COMPLETE)
        return self._snapshot(recording)

    def _delete(self, request: DeleteRequest, context: grpc.ServicerContext) -> DeleteResponse:
        self._ended(request.id, context)
        with self._changed:
            del self.recordings[request.id]
        return DeleteResponse()

    def _download(
        self, request: DownloadRequest, context: grpc.ServicerContext
    ) -> Iterator[DownloadResponse]:
        recording = self._ended(request.id, context)
        if not recording.file_name:
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"recording {request.id} went to its caller: there is no file of it",
            )
        self.offsets.append(request.offset)
        if request.offset > len(self.file):
            context.abort(
                grpc.StatusCode.OUT_OF_RANGE,
                f"offset {request.offset} is beyond the {len(self.file)} bytes of the file",
            )
        yield DownloadResponse(recording=self._snapshot(recording))
        for begin in range(request.offset, len(self.file), self.chunk_bytes):
            data = self.file[begin : begin + self.chunk_bytes]
            places = range(begin, begin + len(data))
            if due := self.breaks & set(places):
                self.breaks = self.breaks - due
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            crc32 = zlib.crc32(data)
            if due := self.damaged & set(places):
                self.damaged = self.damaged - due
                data = bytes(255 - byte for byte in data)
            yield DownloadResponse(chunk=FileChunk(offset=begin, data=data, crc32=crc32))

    def _stream(
        self, request: StreamRequest, context: grpc.ServicerContext
    ) -> Iterator[StreamResponse]:
        recording = self._begin(request.start, to_file=False)

        def note_leaving() -> None:
            if recording.status not in _ENDED:
                self._finish(recording, RECORDING_END_CALLER_GONE, RECORDING_STATUS_FAILED)
                self.left.set()

        context.add_callback(note_leaving)
        steps = self._steps(recording, context)
        yield StreamResponse(recording=next(steps))
        for begin in range(0, len(self.file), self.chunk_bytes):
            yield StreamResponse(data=self.file[begin : begin + self.chunk_bytes])
        if self.last_word is None:
            for step in steps:
                yield StreamResponse(recording=step)
        code = self.after_word if self.last_word is None else self.last_word
        if code is not grpc.StatusCode.OK:
            context.abort(code, "")

    def _find(self, recording_id: str, context: grpc.ServicerContext) -> Recording:
        with self._changed:
            found = self.recordings.get(recording_id)
        if found is None:
            context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"no recording {recording_id!r} on this node; `palomar recordings list` shows "
                "those it has",
            )
        return found

    def _ended(self, recording_id: str, context: grpc.ServicerContext) -> Recording:
        recording = self._find(recording_id, context)
        if recording.status not in _ENDED:
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"recording {recording_id} has not ended; stop it first",
            )
        return recording

    def _snapshot(self, recording: Recording) -> Recording:
        copy = Recording()
        with self._changed:
            copy.CopyFrom(recording)
        return copy

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _admitted(
    method: str, answer: Callable[[Any, grpc.ServicerContext], Any], admit: Admit
) -> Callable[[Any, grpc.ServicerContext], Any]:
    def serve(request: Message, context: grpc.ServicerContext) -> Any:
        admit(method, request, context)
        return answer(request, context)

    return serve


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
