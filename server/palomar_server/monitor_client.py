"""One client of the monitor socket: what waits for it, and what it missed.

In: pieces of the stream (`monitor_stream`). Out: bytes on its connection, as far as it takes them,
with notices of loss where pieces are missing. Used by `monitor_socket`.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from palomar_proto.monitor.payload import OPENING
from palomar_server.monitor_stream import Piece, loss_piece

if TYPE_CHECKING:
    import socket


class Room:
    """How much may wait, and how much does. At least one item always fits.

    Args:
        events_max: most events.
        bytes_max: most bytes.
    """

    def __init__(self, events_max: int, bytes_max: int) -> None:
        self.events_max = events_max
        self.bytes_max = bytes_max
        self._events = 0
        self._bytes = 0

    def fits(self, events: int, size_bytes: int) -> bool:
        """Whether an item fits."""
        return (self._events == 0 and self._bytes == 0) or (
            self._events + events <= self.events_max and self._bytes + size_bytes <= self.bytes_max
        )

    def take(self, events: int, size_bytes: int) -> None:
        """Count an item in."""
        self._events += events
        self._bytes += size_bytes

    def give(self, events: int, size_bytes: int) -> None:
        """Count an item out."""
        self._events -= events
        self._bytes -= size_bytes


class MonitorClient:
    """A connection and what waits for it. For the server's thread.

    Args:
        connection: non-blocking.
        limits: of its queue.
    """

    def __init__(self, connection: socket.socket, limits: Room) -> None:
        self.connection = connection
        self._room = Room(limits.events_max, limits.bytes_max)
        self._queue: deque[Piece] = deque()
        self._sent_bytes = 0
        """Of the first piece."""
        self._opened = False
        self._lost: Counter[int] = Counter()
        """Not told yet, by CPU."""
        self.waits_for_room = False
        """Its socket was full at the last `send`."""
        self.events_lost = 0
        """Events this client did not get."""

    def offer(self, piece: Piece) -> None:
        """Queue a piece, behind a notice if some before it were lost; or count it as lost."""
        if not self._room.fits(len(piece.cpus), len(piece.data)):
            self._lost += piece.missed()
            self.events_lost += len(piece.cpus)
            return
        self._tell_losses()
        self._append(piece)

    def _tell_losses(self) -> None:
        if self._lost:
            self._append(loss_piece(self._lost))
            self._lost.clear()

    def _append(self, piece: Piece) -> None:
        if not self._opened:
            self._opened = True
            self._append(Piece(OPENING))
        self._queue.append(piece)
        self._room.take(len(piece.cpus), len(piece.data))

    def send(self) -> bool:
        """Send as much as the socket takes; False if the client has gone."""
        self.waits_for_room = False
        while self._queue:
            piece = self._queue[0]
            try:
                sent = self.connection.send(memoryview(piece.data)[self._sent_bytes :])
            except BlockingIOError:
                self.waits_for_room = True
                return True
            except OSError:
                return False
            self._sent_bytes += sent
            if self._sent_bytes == len(piece.data):
                self._queue.popleft()
                self._room.give(len(piece.cpus), len(piece.data))
                self._sent_bytes = 0
                if not self._queue:
                    # Nothing may follow for long that a notice could go in front of.
                    self._tell_losses()
        return True
