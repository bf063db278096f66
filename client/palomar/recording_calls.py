"""The part of `Client` that is about recordings of packets.

The calls are described in `operations`; here they are only run, and their files written.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from palomar import operations
from palomar.filters import Filter
from palomar.flow_calls import FlowCalls
from palomar.flow_streams import OnReconnect
from palomar.noted_calls import NotedCall
from palomar.operations import Operation
from palomar.reconnection import Reconnect
from palomar.reopening import PlaceReopening
from palomar.streams import EventStream
from palomar.target import Target
from palomar_proto.flow.flow_pb2 import FlowFilter

if TYPE_CHECKING:
    from palomar.download import Download, OnProgress
    from palomar.recording_requests import RecordKeywords
    from palomar.recording_stream import OnRecording, RecordingStream
    from palomar_proto.palomar.v1.recordings_pb2 import DownloadResponse, ListResponse, Recording

AnswerT = TypeVar("AnswerT")


class RecordingCalls(ABC):
    """Methods of `Client` that record packets on the node of a palomard, and fetch the files.

    All raise what `palomar.errors` tells of; `Unsupported` where the server is not palomard.
    """

    _target: Target
    _reconnect: Reconnect | None
    _flow_calls: FlowCalls[Any, Any]

    @abstractmethod
    def _ask(self, operation: Operation[AnswerT]) -> AnswerT:
        """Run a call that has one answer."""

    @abstractmethod
    def _open(self, operation: Operation[AnswerT]) -> NotedCall[AnswerT]:
        """Run a call that has a stream of answers."""

    def start_recording(
        self,
        *filters: Filter | FlowFilter,
        exclude: Iterable[Filter | FlowFilter] = (),
        **keywords: "Unpack[RecordKeywords]",
    ) -> "Recording":
        """Begin to record packets into a file of the node; it goes on without this client.

        Args:
            *filters: The flow of a packet must match one of them. Instead, the keywords of `Filter`
                may be given.
            exclude: Packets of flows that match one of these are left out.
            **keywords: What else a packet must be, and when the recording ends: see
                `palomar.recording_requests.RecordKeywords`.

        Returns:
            The recording, with its `id`; packets are taken from now on.

        Raises:
            InvalidRequest: A value means nothing.
        """
        return self._ask(operations.start_recording(filters, exclude, **keywords))

    def recordings(self, *statuses: str, limit: int = 0) -> "ListResponse":
        """Ask for the recordings of the node, the newest first.

        Args:
            *statuses: Only those that are `starting`, `armed`, `running`, `stopping`, `complete`,
                `failed` or `interrupted`; without any all.
            limit: How many at most; 0 leaves it to the server.
        """
        return self._ask(operations.recordings(statuses, limit))

    def recording(self, recording_id: str) -> "Recording":
        """Ask for one recording."""
        return self._ask(operations.recording(recording_id))

    def watch_recording(
        self, recording_id: str, *, on_reconnect: OnReconnect | None = None
    ) -> "EventStream[Recording]":
        """Watch a recording until it has ended.

        Args:
            recording_id: Which recording.
            on_reconnect: Called when the connection is lost, and after each attempt that failed,
                with a `palomar.Outage`.

        Returns:
            An iterable of the recording as it is now, then whenever it changed; the last time when
            it has ended. Errors are raised while iterating; a connection that was lost is made
            anew.
        """
        operation = operations.watch_recording(recording_id)
        reopening = PlaceReopening(
            lambda: self._open(operation),
            self._target,
            self._reconnect,
            on_reconnect=on_reconnect,
        )
        return self._flow_calls.keep(EventStream(reopening.open(), self._target, reopening))

    def stop_recording(self, recording_id: str) -> "Recording":
        """End a recording; returns it once all that it took is in its file.

        One that has ended already is no error.
        """
        return self._ask(operations.stop_recording(recording_id))

    def delete_recording(self, recording_id: str) -> None:
        """Remove a recording that has ended, and its file."""
        self._ask(operations.delete_recording(recording_id))

    def download_recording(
        self,
        recording_id: str,
        path: str | os.PathLike[str] = ".",
        *,
        resume: bool = True,
        overwrite: bool = False,
        on_progress: "OnProgress | None" = None,
    ) -> Path:
        """Fetch the file of a recording that has ended, and check that it came whole.

        Until it is there and checked it is `<id>.partial`. What an earlier attempt left of that is
        not fetched again, and a connection that was lost is made anew.

        Args:
            recording_id: Which recording.
            path: Where the file is to be; of a directory, under the file's own name.
            resume: Whether to go on with what an earlier attempt left.
            overwrite: Whether the file may be there already, and is replaced.
            on_progress: Called with the bytes that are there and those of the whole file.

        Returns:
            Where the file is. Only its owner may read it.

        Raises:
            InvalidRequest: The file is there already, or cannot be written.
            ServerError: The file came damaged; what was good of it is kept for the next attempt.
        """
        from palomar.download import Download  # noqa: PLC0415 - few programs need it

        with Download(
            recording_id, path, resume=resume, overwrite=overwrite, on_progress=on_progress
        ) as download:
            with self._file(recording_id, download) as answers:
                for answer in answers:
                    download.take(answer)
            return download.finish()

    def record_stream(
        self,
        *filters: Filter | FlowFilter,
        exclude: Iterable[Filter | FlowFilter] = (),
        on_recording: "OnRecording | None" = None,
        **keywords: "Unpack[RecordKeywords]",
    ) -> "RecordingStream":
        """Record packets and read them while they come.

        Args:
            *filters: As for `start_recording`.
            exclude: Likewise.
            on_recording: Called with each word about the recording, about once a second.
            **keywords: As for `start_recording`.

        Returns:
            An iterable of bytes, which together are one capture file; the recording ends with it.
            Errors of the server are raised while iterating.

        Raises:
            InvalidRequest: A value means nothing.
        """
        from palomar.recording_stream import RecordingStream  # noqa: PLC0415 - few programs need it

        operation = operations.record_stream(filters, exclude, **keywords)
        stream = RecordingStream(self._open(operation), self._target, on_recording)
        return self._flow_calls.keep(stream)

    def _file(self, recording_id: str, download: "Download") -> "EventStream[DownloadResponse]":
        def place() -> int:
            return download.offset_bytes

        reopening = PlaceReopening(
            lambda: self._open(operations.download_recording(recording_id, place())),
            self._target,
            self._reconnect,
            place,
        )
        return self._flow_calls.keep(EventStream(reopening.open(), self._target, reopening))
