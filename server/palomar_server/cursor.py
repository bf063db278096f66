"""A reader of the ring: a position and a filter, nothing else.

It costs nothing while it waits. When it reads, it masks the slice since its position in one pass.
If the writer lapped it meanwhile, what it lost is a subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError

from palomar_proto.flow import flow_pb2
from palomar_server.table import FLOW, Kind, joined, take
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_server.ring import Ring
    from palomar_server.selection import Selection
    from palomar_server.table import Mask, Rows
    from palomar_server.view import FlowSource, Views

TAKE_ROWS_MAX = 1_024
"""Rows copied in one go: what a reader that has stopped reading holds on to."""
TAKE_MESSAGES_MAX_BYTES = 1 << 20
"""The same of their messages; passed by at most one message."""
_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Slice:
    """What one read found."""

    rows: Rows
    """Copies of the selected rows."""
    sequences: list[int]
    """Their sequence numbers, ascending."""
    messages: dict[int, bytes]
    """The messages of those that have one, by sequence number."""
    lost: int
    """Events overwritten before they could be looked at, or selected and without their message."""

    def __bool__(self) -> bool:
        """Whether there is anything to tell of it."""
        return bool(self.sequences) or self.lost > 0

    @property
    def is_full(self) -> bool:
        """Whether it has as many bytes of messages as a reader may hold."""
        return sum(map(len, self.messages.values())) >= TAKE_MESSAGES_MAX_BYTES

    def only(self, kept: Mask) -> Slice:
        """The same with some of the rows, shape (n,)."""
        numbers = np.array(self.sequences, np.int64)[kept].tolist()
        messages = {one: self.messages[one] for one in numbers if one in self.messages}
        return Slice(take(self.rows, kept), numbers, messages, self.lost)

    def joined(self, later: Slice) -> Slice:
        """This one and the one read next."""
        if not later.sequences:
            return self if not later.lost else replace(self, lost=self.lost + later.lost)
        return Slice(
            joined(self.rows, later.rows),
            self.sequences + later.sequences,
            self.messages | later.messages,
            self.lost + later.lost,
        )


EMPTY = Slice(np.zeros(0, FLOW), [], {}, 0)


class Cursor:
    """Reads selected events from a position on.

    Args:
        ring: the ring.
        selected: which events.
        position: sequence number of the first event to look at.
        flows: builds protobuf flows for selections that need them.
        since_ns: earliest time, inclusive, UTC ns.
        until_ns: latest time, inclusive, UTC ns: the first event that is later, of whatever kind
            but loss notices, ends the reading.
        views: gives views of the ring, where cursors that look at the same rows share them.
    """

    def __init__(
        self,
        ring: Ring,
        selected: Selection,
        position: int,
        flows: FlowSource,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        views: Views | None = None,
    ) -> None:
        self._ring = ring
        self._selected = selected
        self._flows = flows
        self._views = views
        self._since_ns = since_ns
        self._until_ns = until_ns
        self.position = position
        self.ended = False
        """Whether an event later than `until_ns` was met."""
        self._scan_rows = TAKE_ROWS_MAX

    def _view(self, first: int, rows: Rows) -> View:
        if self._views is not None:
            return self._views.of(first, rows)
        return View(rows, first, self._ring.message, self._flows)

    def _mask(self, first: int, rows: Rows) -> Mask:
        mask = self._selected.mask(self._view(first, rows))
        if self._since_ns is not None:
            mask &= (rows["time_ns"] >= self._since_ns) | (rows["kind"] == Kind.LOST)
        return mask

    def _in_time(self, rows: Rows) -> int:
        """How many of the rows come before the first that is later than `until_ns`."""
        if self._until_ns is None:
            return len(rows)
        late = (rows["time_ns"] > self._until_ns) & (rows["kind"] != Kind.LOST)
        return int(late.argmax()) if np.count_nonzero(late) else len(rows)

    def passes(self, end: int) -> bool:
        """Move on to `end` if a glance tells that nothing before it is selected; whether it did.

        For cursors that share views: the glance is taken once for all.
        """
        start = self.position
        if self._until_ns is not None or end - start > self._selected.rows_at_once:
            return False
        for first, rows in self._ring.spans(start, end):
            if not self._selected.surely_none(self._view(first, rows)):
                return False
        if self._ring.oldest > start:
            # Some of it is gone: that is a loss to be told.
            return False
        self.position = end
        return True

    def read(self, end: int) -> Slice:
        """Look at the next events up to `end` (exclusive) and move on.

        Stops after `TAKE_ROWS_MAX` selected events or `TAKE_MESSAGES_MAX_BYTES` of their messages,
        and after as many looked at as the selection has at once.
        """
        # What lies behind `end` nobody asked for yet, so it is not lost yet either.
        start = max(self.position, min(self._ring.oldest, end))
        lost = start - self.position
        scanned = min(self._scan_rows, self._selected.rows_at_once)
        stop = min(end, start + scanned)
        late_at: int | None = None
        pieces: list[Rows] = []
        sequences: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        left = TAKE_ROWS_MAX
        for first, there in self._ring.spans(start, stop):
            rows = there[: self._in_time(there)]
            if len(rows) < len(there):
                late_at = stop = first + len(rows)
            found = self._mask(first, rows).nonzero()[0]
            if len(found) > left:
                found = found[:left]
                stop = first + int(found[-1]) + 1 if left else first
            if len(found):
                pieces.append(take(rows, found))
                sequences.append(found + first)
                left -= len(found)
            if stop <= first + len(rows):
                break
        numbers = np.concatenate(sequences) if sequences else np.zeros(0, np.int64)
        chosen = joined(*pieces) if pieces else np.zeros(0, FLOW)
        # Look further ahead where little is selected, and not in vain where much is.
        sparse = len(numbers) < TAKE_ROWS_MAX // 4
        self._scan_rows = 2 * scanned if sparse else 2 * TAKE_ROWS_MAX
        # Rows that the writer took meanwhile may be torn: only those still there count.
        oldest = self._ring.oldest
        overtaken = min(oldest, stop) - start
        if overtaken > 0:
            whole = numbers >= start + overtaken
            numbers, chosen = numbers[whole], take(chosen, whole)
            lost += overtaken
        self.position = max(stop, start)
        self.ended = late_at is not None and oldest <= late_at == self.position
        if len(numbers) and np.count_nonzero(chosen["message"]):
            return self._with_messages(chosen, numbers, lost)
        return Slice(chosen, numbers.tolist(), {}, lost)

    def _with_messages(
        self, rows: Rows, numbers: np.ndarray[tuple[int], np.dtype[np.int64]], lost: int
    ) -> Slice:
        """Fetch the messages before they can go; rows whose message is gone are lost.

        Beyond `TAKE_MESSAGES_MAX_BYTES` the rest is left for the next read.
        """
        sequences: list[int] = numbers.tolist()
        gone: list[int] = []
        messages: dict[int, bytes] = {}
        end, held_bytes = len(rows), 0
        for index in rows["message"].nonzero()[0].tolist():
            if held_bytes >= TAKE_MESSAGES_MAX_BYTES:
                end, self.position, self.ended = index, sequences[index], False
                break
            if message := self._ring.message(sequences[index]):
                messages[sequences[index]] = message
                held_bytes += len(message)
            else:
                gone.append(index)
        if not gone and end == len(rows):
            return Slice(rows, sequences, messages, lost)
        kept = np.delete(np.arange(end), [index for index in gone if index < end])
        return Slice(take(rows, kept), numbers[kept].tolist(), messages, lost + len(gone))

    def rewind(self, events: int = 0) -> None:
        """Move back as far as Hubble looks back: past whatever passes the filters.

        With `since_ns`, to behind the last such event that is older; else so that `events` of them
        are ahead, 0 meaning all. Loss notices are passed over, except that one of a reader that
        was lapped ends the look back: Hubble takes it for the end of its ring.
        """
        for _ in self.rewinding(events):
            pass

    def rewinding(self, events: int = 0) -> Iterator[None]:
        """`rewind` step by step, for filters that take their time.

        The position holds once it is through.
        """
        end, size, oldest = self.position, TAKE_ROWS_MAX, self._ring.oldest
        self.position = oldest
        # Of no number, and of one that the ring cannot reach, only a notice ends the look back.
        counts = 0 < events < end - oldest
        if self._since_ns is None and not counts and self._ring.last_notice < oldest:
            return
        while end > (oldest := max(oldest, self._ring.oldest)):
            start = max(oldest, end - min(size, self._selected.rows_at_once))
            for first, rows in reversed(list(self._ring.spans(start, end))):
                if self._since_ns is not None:
                    index = self._after_older(self._since_ns, first, rows)
                elif counts:
                    found = self._selected.passing(self._view(first, rows)).nonzero()[0]
                    index = int(found[-events]) if len(found) >= events else _NOWHERE
                    events -= len(found)
                else:
                    index = _NOWHERE
                index = max(index, self._after_lapped(first, rows))
                if index != _NOWHERE:
                    self.position = first + index
                    return
            end, size = start, 4 * size
            yield
        self.position = oldest

    def _after_older(self, time_ns: int, first: int, rows: Rows) -> int:
        """Index behind the last row that passes and is older."""
        older = (rows["time_ns"] < time_ns).nonzero()[0]
        if not len(older):
            return _NOWHERE
        # Times mostly ascend: few pieces have both, and of those behind only one row matters.
        found = older[self._selected.passing(self._view(first, rows).take(older))]
        return int(found[-1]) + 1 if len(found) else _NOWHERE

    def _after_lapped(self, first: int, rows: Rows) -> int:
        """Index behind the last notice of a lapped reader."""
        for index in reversed((rows["kind"] == Kind.LOST).nonzero()[0].tolist()):
            try:
                event = flow_pb2.LostEvent.FromString(self._ring.message(first + index))
            except DecodeError:
                # The message of another row, which the writer has put here meanwhile.
                continue
            if event.source == flow_pb2.HUBBLE_RING_BUFFER:
                return int(index) + 1
        return _NOWHERE
