"""One HTTP/2 connection of a client: h2 does the protocol, this does the sockets and the limits.

Nothing that a client sends or leaves unread takes more memory than a limit says: its requests have
the windows that HTTP/2's flow control gives them, what goes to it waits until it reads, and one
that breaks the protocol loses its connection, and nobody else does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from palomar_server.allowance import Allowance
from palomar_server.frame_lengths import FrameLengths
from palomar_server.grpc_messages import PREFIX_BYTES
from palomar_server.peer import peer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.peer import Peer

Headers: TypeAlias = list[tuple[bytes, bytes]]

_WRITE_BYTES = 128 << 10
"""Written at once, before other streams have their turn."""
_BACKLOG_BYTES = 64 << 10
"""May wait in the transport for a client that reads slowly before streams wait as well."""
_UNREAD_BYTES_MAX = 1 << 20
"""Answers to pings, settings and resets that a client may leave unread before it is cut."""


class ConnectionLostError(Exception):
    """The client has left, or was cut: nothing can be sent any more."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may take."""

    streams_max: int = 2048
    """Open at once; h2's own 100 would let the 101st follower of one channel wait for ever."""
    request_bytes_max: int = 1 << 20
    """Of one message: a request is filters, of which a megabyte holds thousands."""
    request_timeout_s: float = 10.0
    """From a connection to its first bytes, and from a call's headers to its request."""
    header_bytes_max: int = 16 << 10
    """Of the headers of one request, decoded: twice what gRPC clients send by themselves."""
    resets_per_s: int = 200
    """Calls that the client itself cancels, beyond as many at once as it may have open."""


class Call(Protocol):
    """What a connection tells a call."""

    def feed(self, data: bytes, window_bytes: int) -> None:
        """More of the request; `window_bytes` are to be given back by `Connection.consumed`."""

    def half_closed(self) -> None:
        """The client has sent all it will."""

    def abandoned(self) -> None:
        """The client wants no answer any more, or is gone."""


class Owner(Protocol):
    """Who has the connections."""

    def opened(self, connection: GrpcConnection) -> bool:
        """A client has come; False if it is not to be served."""

    def closed(self, connection: GrpcConnection, violation: str | None) -> None:
        """It is gone; what it did if it broke the protocol. Not called for one not served."""

    def call(self, connection: GrpcConnection, stream_id: int, headers: Headers) -> Call | None:
        """Start a call; None if it has been answered already."""


class _Http2(H2Connection):
    """h2 with less memory for streams that have ended: 6 MiB a connection by default."""

    MAX_CLOSED_STREAMS = 1 << 12


class GrpcConnection(asyncio.Protocol):
    """One client.

    Args:
        owner: who decides what is served.
        limits: what it may take.
    """

    peer: Peer

    def __init__(self, owner: Owner, limits: ConnectionLimits) -> None:
        self._owner = owner
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, Call] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._paused = False
        self._admitted = False
        self._ending = False
        self._violation: str | None = None
        self._resets = Allowance(limits.streams_max, limits.resets_per_s)
        self._lengths = FrameLengths()
        self._greeting: asyncio.TimerHandle | None = None
        self._http2 = _Http2(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                # What palomard sends is right as it is.
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._http2.decoder.max_header_list_size = limits.header_bytes_max
        self._http2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams_max,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes_max,
                # Room for one request, which is given back when the request is complete. The
                # connection has little more, so that is all that unfinished requests can take.
                SettingCodes.INITIAL_WINDOW_SIZE: limits.request_bytes_max + PREFIX_BYTES,
            },
        )
        self._on: dict[type, Callable[..., None]] = {
            RequestReceived: self._request,
            DataReceived: self._data,
            StreamEnded: self._stream_ended,
            StreamReset: self._stream_reset,
            WindowUpdated: self._window_updated,
            RemoteSettingsChanged: self._settings_changed,
        }

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or turn away."""
        self._transport = transport = cast("asyncio.Transport", transport)
        try:
            self.peer = peer_of(transport.get_extra_info("socket"))
            self._admitted = self._owner.opened(self)
        except OSError:
            pass  # it is gone already
        if not self._admitted:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=_BACKLOG_BYTES)
        self._http2.initiate_connection()
        self._http2.increment_flow_control_window(self._limits.request_bytes_max)
        self._greeting = self._loop.call_later(
            self._limits.request_timeout_s, self._cut, "it does not speak HTTP/2"
        )
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        if not self._lengths.fit(data):
            self._http2.close_connection(ErrorCodes.FRAME_SIZE_ERROR)
            self._cut("it sends frames larger than allowed")
            return
        try:
            events = self._http2.receive_data(data)
        except Exception as error:  # noqa: BLE001 - h2 may let out others than its own
            self._cut(f"{type(error).__name__}: {error}")
            return
        for event in events:
            if not self._open:
                # The client has said good-bye, after which h2 sends nothing more, or it was cut.
                self.abort()
                return
            if handle := self._on.get(type(event)):
                handle(event)
        self.flush()

    def pause_writing(self) -> None:
        """The client reads slower than we send."""
        self._paused = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._paused = False
        self._wake_all()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - that it is gone says all
        """End all calls."""
        self._transport = None
        if self._greeting is not None:
            self._greeting.cancel()
        for call in [*self._calls.values()]:
            call.abandoned()
        self._wake_all()
        if self._admitted:
            self._owner.closed(self, self._violation)

    # What h2 tells.

    def _request(self, event: RequestReceived) -> None:
        if self._ending:
            # It was not looked at, so that the client may safely ask again elsewhere.
            self._http2.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
        # Bytes, as h2 was told not to decode them.
        elif call := self._owner.call(self, event.stream_id, event.headers):
            self._calls[event.stream_id] = call

    def _data(self, event: DataReceived) -> None:
        call = self._calls.get(event.stream_id)
        size = event.flow_controlled_length
        if call is None:
            self.consumed(event.stream_id, size)
        elif event.data:
            self.consumed(event.stream_id, size - len(event.data))
            call.feed(bytes(event.data), len(event.data))
        elif size:
            self.consumed(event.stream_id, size)

    def _stream_ended(self, event: StreamEnded) -> None:
        if call := self._calls.get(event.stream_id):
            call.half_closed()

    def _stream_reset(self, event: StreamReset) -> None:
        # Opening and dropping streams must not be cheaper for the client than for us.
        if event.remote_reset and not self._resets.take():
            self._http2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._cut("it cancels calls as fast as it makes them")
        if call := self._calls.get(event.stream_id):
            call.abandoned()
            self._wake(event.stream_id)

    def _window_updated(self, event: WindowUpdated) -> None:
        if event.stream_id:
            self._wake(event.stream_id)
        else:
            self._wake_all()

    def _settings_changed(self, _: RemoteSettingsChanged) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None
        # Streams may have got larger windows.
        self._wake_all()

    # What calls and the owner do.

    def consumed(self, stream_id: int, window_bytes: int) -> None:
        """Let the client send as many more bytes."""
        if window_bytes and self._open:
            self._http2.acknowledge_received_data(window_bytes, stream_id)

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        """Put headers, or with `end` what closes a stream, in front of what is written next.

        Raises:
            ConnectionLostError: there is nobody to send to.
        """
        try:
            if stream_id not in self._http2.streams or not self._open:
                raise ConnectionLostError
            self._http2.send_headers(stream_id, headers, end_stream=end)
            if end and not self._http2.streams[stream_id].closed:
                # Whatever the client still has to say is in vain.
                self._http2.reset_stream(stream_id, ErrorCodes.NO_ERROR)
        except H2Error as error:
            raise ConnectionLostError from error

    async def send(self, stream_id: int, data: bytes, *, flush: bool = True) -> None:
        """Write bytes to a stream, as fast as its client takes them.

        Args:
            stream_id: which.
            data: what.
            flush: False if something is to go out with the last of it.

        Raises:
            ConnectionLostError: there is nobody to send to.
        """
        rest = memoryview(data)
        while rest:
            size = min(len(rest), self._room(stream_id), _WRITE_BYTES)
            if size <= 0:
                self._waiting[stream_id] = self._loop.create_future()
                await self._waiting[stream_id]
                continue
            try:
                step = self._http2.max_outbound_frame_size
                for start in range(0, size, step):
                    self._http2.send_data(stream_id, rest[start : min(start + step, size)])
            except H2Error as error:
                raise ConnectionLostError from error
            rest = rest[size:]
            if rest or flush:
                self.flush()
            if rest:
                # Other streams have their turn.
                await asyncio.sleep(0)

    def flush(self) -> None:
        """Write what h2 has for the client."""
        data = self._http2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > _UNREAD_BYTES_MAX:
                self._cut("it asks for answers and does not read them")

    def ended(self, stream_id: int) -> None:
        """A call has ended."""
        self._calls.pop(stream_id, None)
        self._waiting.pop(stream_id, None)

    def go_away(self) -> None:
        """Take no more calls; those under way go on.

        Not by h2, for which a connection on which this was sent is closed.
        """
        if self._ending or not self._open or self._transport is None:
            return
        self._ending = True
        notice = GoAwayFrame(0, last_stream_id=self._http2.highest_inbound_stream_id)
        self.flush()
        self._transport.write(notice.serialize())

    def hang_up(self) -> None:
        """Close when all that is on its way has been sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def _open(self) -> bool:
        return (
            self._transport is not None
            and not self._transport.is_closing()
            and self._http2.state_machine.state is not ConnectionState.CLOSED
        )

    def _room(self, stream_id: int) -> int:
        """Bytes that may be sent on a stream now.

        Raises:
            ConnectionLostError: there is nobody to send to.
        """
        if not self._open or stream_id not in self._calls:
            raise ConnectionLostError
        if self._paused:
            return 0
        try:
            return self._http2.local_flow_control_window(stream_id)
        except H2Error as error:
            raise ConnectionLostError from error

    def _cut(self, violation: str) -> None:
        self._violation = self._violation or violation
        # The GOAWAY that says why, if h2 made one.
        self.flush()
        self.abort()

    def _wake(self, stream_id: int) -> None:
        waiting = self._waiting.pop(stream_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _wake_all(self) -> None:
        for stream_id in [*self._waiting]:
            self._wake(stream_id)
