"""One run of `palomar record`: what to record in, a file, a stream or a recording on the node out.

Called by `commands.record`. A recording belongs to the node: this begins it, watches it, and at the
end fetches its file. Ctrl-C ends it in order, and what it took is fetched all the same.
"""

import io
import os
import select
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from palomar.download import is_directory, refuse_existing
from palomar.errors import InvalidRequest, PalomarError, ServerError
from palomar.interrupts import Interrupts, leaving_in_order
from palomar.output import CLOSED, STDOUT_DESCRIPTOR, Output, standard_error, standard_output
from palomar.printers.escape import visible
from palomar.protojson import to_json
from palomar.quantities import time_text
from palomar.recording_status import StatusLine
from palomar.recording_text import (
    closing_lines,
    end_text,
    goal_text,
    has_failed,
    result_texts,
)

if TYPE_CHECKING:
    from palomar.client import Client
    from palomar.commands.invocation import Invocation
    from palomar.reconnection import Outage
    from palomar.recording_stream import RecordingStream
    from palomar.streams import EventStream
    from palomar_proto.palomar.v1.recordings_pb2 import Recording

STANDARD_OUTPUT: Final = "-"
"""As a file: not to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlan:
    """What to do.

    Attributes:
        what: Keywords of `Client.start_recording`, with the `filters` among them.
        file: Where the packets are to be; empty for on the node only.
        overwrite: Whether the file may be there already.
        detach: Whether to leave as soon as the recording has begun.
        as_json: Whether the result is told as JSON.
    """

    what: Mapping[str, Any]
    file: str = ""
    overwrite: bool = False
    detach: bool = False
    as_json: bool = False

    def check(self) -> None:
        """Make sure that the file can be written, before there is anything to lose.

        Raises:
            InvalidRequest: It cannot.
        """
        if self.detach and self.file:
            raise InvalidRequest("--detach leaves the file on the node; leave out -w")
        if self.file == STANDARD_OUTPUT:
            refuse_terminal("palomar record -w - | tshark -r -")
            return
        if not self.file:
            return
        path = Path(self.file)
        if is_directory(path):
            raise InvalidRequest(f"{path} is a directory; name a file in it")
        refuse_existing(path, overwrite=self.overwrite)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise InvalidRequest(f"cannot write to directory {path.parent}; name a file elsewhere")


def refuse_terminal(example: str) -> None:
    """Write packets to no terminal, and not to nowhere.

    Args:
        example: What to do instead.

    Raises:
        InvalidRequest: Standard output is one, or is closed.
    """
    closed = STDOUT_DESCRIPTOR in CLOSED
    if closed or sys.stdout.isatty():
        raise InvalidRequest(
            "-w - writes packets to standard output, which is "
            f"{'closed' if closed else 'a terminal'}; pipe it into something, as in: {example}"
        )


def run_recording(invocation: "Invocation", plan: RecordPlan) -> None:
    """Record as the plan says.

    Raises:
        InvalidRequest: The plan means nothing.
        PalomarError: See `palomar.errors`; also where the recording ended for a reason nobody
            wished.
    """
    plan.check()
    errors = standard_error()
    with invocation.client() as client:
        if plan.file == STANDARD_OUTPUT:
            _Streaming(client, plan, errors).run()
        else:
            _Recording(client, plan, errors).run()


class _Recording:
    """A recording into a file of the node, from its begin to its result."""

    def __init__(self, client: "Client", plan: RecordPlan, errors: Output) -> None:
        self._client = client
        self._plan = plan
        self._errors = errors
        self._id = ""
        self._begun = threading.Event()
        self._changes: EventStream[Recording] | None = None

    def run(self) -> None:
        if self._plan.detach:
            self._detach()
            return
        with leaving_in_order():
            ended, path = self._run()
        self._conclude(ended, path)

    def _run(self) -> "tuple[Recording, str]":
        """Record and fetch the file, or say where the recording is."""
        try:
            with StatusLine(sys.stderr) as status:
                ended = self._record(status)
                return ended, self._fetch(ended, status)
        except BaseException:
            if self._id:
                self._tell(
                    f"recording {self._id} is on the node: palomar recordings show {self._id}"
                )
            raise

    def _start(self) -> "Recording":
        what = dict(self._plan.what)
        begun = self._client.start_recording(*what.pop("filters", ()), **what)
        self._id = visible(begun.id)
        return begun

    def _detach(self) -> None:
        begun = self._start()
        self._tell(
            f"{visible(begun.node_name)} {goal_text(begun)}: palomar recordings stop {self._id}"
        )
        output = standard_output()
        output.write(f"{to_json(begun) if self._plan.as_json else self._id}\n")
        output.flush()

    def _record(self, status: StatusLine) -> "Recording":
        """Begin, and watch until the end."""
        with Interrupts(self._stop):
            try:
                recording = self._start()
            finally:
                self._begun.set()
            if not status.shown:
                self._tell(
                    f"recording {self._id} on {visible(recording.node_name)}; Ctrl-C ends it"
                )
            status.show(recording)

            def tell_outage(outage: "Outage") -> None:
                text = visible(str(outage))
                status.note(text)
                if outage.attempt == 1 and not status.shown:
                    self._tell(text)

            with self._client.watch_recording(recording.id, on_reconnect=tell_outage) as changes:
                self._changes = changes
                for recording in changes:
                    status.note("")
                    status.show(recording)
        if not recording.HasField("ended"):
            raise ServerError(f"the server tells no more of recording {self._id}")
        return recording

    def _stop(self) -> None:
        """End the recording, as Ctrl-C asks; watching tells when it has ended."""
        self._begun.wait()
        if self._id:
            try:
                self._client.stop_recording(self._id)
            except PalomarError as error:
                self._tell(f"cannot stop the recording: {visible(str(error))}")
                if self._changes is not None:
                    self._changes.close()

    def _fetch(self, ended: "Recording", status: StatusLine) -> str:
        """Download the file, if that is wanted; returns where it is."""
        if not self._plan.file:
            return ""
        try:
            path = self._client.download_recording(
                ended.id,
                self._plan.file,
                overwrite=self._plan.overwrite,
                on_progress=status.downloaded,
            )
        except InvalidRequest as error:
            if error.status:
                raise
            # The arguments were right when the recording began: this is no matter of usage.
            raise PalomarError(str(error)) from error
        return str(path)

    def _conclude(self, ended: "Recording", path: str) -> None:
        for line in closing_lines(ended):
            self._tell(line)
        packets, lost = result_texts(ended)
        if path:
            until = f" until {time_text(ended.expires)}" if ended.HasField("expires") else ""
            self._tell(f"the node keeps it{until}, or: palomar recordings delete {self._id}")
            text = f"{packets} written to {visible(path)}; {lost}"
        else:
            text = (
                f"{packets} recorded on {visible(ended.node_name)}; {lost}; fetch them: "
                f"palomar recordings download {self._id}"
            )
        output = standard_output()
        output.write(f"{to_json(ended) if self._plan.as_json else text}\n")
        output.flush()
        _refuse_failed(ended)

    def _tell(self, text: str) -> None:
        # Where nobody hears it, the recording must not be left to run for that.
        with suppress(OSError):
            self._errors.write(f"palomar: {text}\n")


class _Streaming:
    """A recording to standard output."""

    def __init__(self, client: "Client", plan: RecordPlan, errors: Output) -> None:
        self._client = client
        self._plan = plan
        self._errors = errors
        self._stream: RecordingStream | None = None
        self._told = threading.Event()

    def run(self) -> None:
        with StatusLine(sys.stderr) as status:

            def note(recording: "Recording") -> None:
                self._told.set()
                status.show(recording)
                _check_reader()

            with Interrupts(self._stop) as interrupts:
                what = dict(self._plan.what)
                stream = self._client.record_stream(
                    *what.pop("filters", ()), on_recording=note, **what
                )
                self._stream = stream
                output = sys.stdout.buffer
                try:
                    for data in stream:
                        output.write(data)
                        output.flush()
                except PalomarError:
                    if not interrupts.seen:
                        raise
                finally:
                    stream.close()
                    self._told.set()
        if stream.recording is not None:
            self._conclude(stream.recording)

    def _stop(self) -> None:
        """End the recording, as Ctrl-C asks; the stream then brings what is left, and ends."""
        self._told.wait(_TOLD_WAIT_S)
        stream = self._stream
        if stream is None:
            return
        try:
            if stream.recording is not None:
                self._client.stop_recording(stream.recording.id)
                return
        except PalomarError:
            pass  # a server that cannot, or is gone
        stream.close()

    def _conclude(self, recording: "Recording") -> None:
        packets, lost = result_texts(recording)
        text = f"{packets} written to standard output; {lost}"
        if recording.HasField("ended"):
            for line in closing_lines(recording):
                self._errors.write(f"palomar: {line}\n")
        else:
            text += " by the server's last word; packets after that may be missing"
        self._errors.write(f"{to_json(recording) if self._plan.as_json else text}\n")
        _refuse_failed(recording)


_TOLD_WAIT_S: Final = 2.0
"""How long Ctrl-C waits for the first word about a stream."""


def _refuse_failed(recording: "Recording") -> None:
    """Say so where a recording ended for a reason nobody wished.

    Raises:
        ServerError: It did.
    """
    if has_failed(recording):
        raise ServerError(
            f"recording {recording.id} ended before it should: {end_text(recording)}; it has the "
            "packets up to then"
        )


def _check_reader() -> None:
    """Notice that nobody reads standard output any more, also while there is nothing to write.

    Raises:
        BrokenPipeError: Nobody does.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (io.UnsupportedOperation, ValueError):
        return
    poller = select.poll()
    poller.register(descriptor, 0)
    # Of a pipe the one, of a socket the other, as which some programs run theirs.
    if any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0)):
        raise BrokenPipeError
