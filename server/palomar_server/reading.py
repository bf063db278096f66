"""One stream's way through the ring: where it starts, what it gets, when it ends.

All of Hubble's rules for that are here, once, for every service that streams events:

- `first` without `since` starts at the oldest event;
- `follow` without `number` and `since` starts at the newest event there is;
- otherwise the reading looks back (`Cursor.rewind`): with `since` behind the last event that passes
  the filters and is older, else over `number` events that pass, and 0 means all;
- from there on events older than `since` are passed over, and the first that is later than `until`
  ends the reading; loss notices pass filters and times alike;
- `number` ends it too, counting what is delivered, but not while following.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from palomar_server.cursor import EMPTY, Cursor, Slice
from palomar_server.errors import InvalidRequest, Stopping
from palomar_server.ring_loss import NOTHING, LossTally
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable, Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from palomar_proto.observer import observer_pb2
    from palomar_server.followers import Followers, Member, Shared
    from palomar_server.ring import Ring
    from palomar_server.ring_loss import RingLoss
    from palomar_server.selection import Selection
    from palomar_server.table import Mask, Rows
    from palomar_server.view import FlowSource

    EventsRequest: TypeAlias = (
        observer_pb2.GetFlowsRequest
        | observer_pb2.GetAgentEventsRequest
        | observer_pb2.GetDebugEventsRequest
    )

_KeptT = TypeVar("_KeptT")

_NS_PER_S = 1_000_000_000
_SECONDS_MIN, _SECONDS_MAX = -62_135_596_800, 253_402_300_799
"""What google.protobuf.Timestamp allows: the years 1 to 9999."""
_LOOK_S = 0.002
"""How long one look may take before others of the loop get their turn."""
FEW_ROWS = 256
"""With so many selected a look is over."""
_LATE_NS = 200_000_000
"""How long after its time an event may still come: twice the longest that a source may wait."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the ring a request asks for."""

    number: int = 0
    first: bool = False
    follow: bool = False
    since_ns: int | None = None
    """UTC ns."""
    until_ns: int | None = None
    """Likewise."""
    position: int | None = None
    """Go on from this sequence, without a look back: for those who were here before."""

    @classmethod
    def of(cls, request: EventsRequest, position: int | None = None) -> Wanted:
        """What a request of observer.Observer asks for.

        Args:
            request: one of those that stream events.
            position: see the field.

        Raises:
            InvalidRequest: a value breaks its field's rule.
        """
        check_start(request)
        return cls(
            request.number,
            request.first,
            request.follow,
            _time_ns("since", request.since) if request.HasField("since") else None,
            _time_ns("until", request.until) if request.HasField("until") else None,
            position,
        )


def check_start(request: EventsRequest) -> None:
    """Refuse a request that starts at the oldest event and follows.

    Part of `Wanted.of`, for those who check other parts of the request in between, as Hubble does.

    Raises:
        InvalidRequest: it does both.
    """
    if request.first and request.follow:
        raise InvalidRequest("first", "true", "cannot be specified with follow")


def _time_ns(field_name: str, stamp: Timestamp) -> int:
    if not (_SECONDS_MIN <= stamp.seconds <= _SECONDS_MAX and 0 <= stamp.nanos < _NS_PER_S):
        rule = "is no time between the years 1 and 9999"
        raise InvalidRequest(field_name, f"{stamp.seconds} s {stamp.nanos} ns", rule)
    # The ring knows no times before 1970, nor after 2554.
    return min(max(stamp.seconds * _NS_PER_S + stamp.nanos, 0), (1 << 64) - 1)


@dataclass(frozen=True, slots=True)
class Portion:
    """What a reading gives at a time; the portions of one reading follow each other without gaps.

    It has rows, or a loss to tell, or is the last.
    """

    rows: Rows
    """Copies of the events, in the order of the ring; at most `cursor.TAKE_ROWS_MAX`."""
    sequences: list[int]
    """Their sequence numbers, ascending."""
    messages: dict[int, bytes]
    """The messages of those that have one, by sequence number."""
    lost: RingLoss
    """What was overwritten before it could be read and is to be told now, in front of the rows."""
    position: int
    """The next sequence number that will be looked at."""
    oldest: int
    """The oldest that the ring still held."""
    complete: bool
    """Whether this is all that was asked for; nothing follows."""
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, key: Hashable, make: Callable[[], _KeptT]) -> _KeptT:
        """What `make` makes of the rows, made once for all readings that share them.

        Args:
            key: names what is made; everything it depends on besides the rows is part of it.
            make: called by the first who asks.
        """
        made = self._kept.get(key)
        if made is None:
            made = self._kept[key] = make()
        shared: _KeptT = made
        return shared

    def only(self, kept: Mask) -> Portion:
        """The same with some of the rows, shape (n,)."""
        found = Slice(self.rows, self.sequences, self.messages, 0).only(kept)
        return replace(
            self, rows=found.rows, sequences=found.sequences, messages=found.messages, _kept={}
        )


class Reading:
    """Reads what a request wants, portion by portion.

    Whoever has one closes it: a follower is kept in mind until then.

    Args:
        ring: the events.
        selection: which of them.
        wanted: from where to where.
        flows: builds protobuf flows for filters that need them.
        followers: where to wait.
        group: equal for readings whose selections are equal, which then share what is found.
        lost_interval_ns: losses are told at most once in this time; 0 tells each at once.
        clock_ns: UTC ns.
    """

    def __init__(
        self,
        ring: Ring,
        selection: Selection,
        wanted: Wanted,
        flows: FlowSource,
        followers: Followers,
        *,
        group: Hashable,
        lost_interval_ns: int = _NS_PER_S,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._ring = ring
        self._selection = selection
        self._wanted = wanted
        self._followers = followers
        self._group = group
        self._clock_ns = clock_ns
        self._tally = LossTally(lost_interval_ns)
        # While following, `number` only says how far to look back.
        self._left = wanted.number if wanted.number and not wanted.follow else None
        self._end = ring.next
        self._cursor = Cursor(
            ring,
            selection,
            self._end,
            flows,
            since_ns=wanted.since_ns,
            until_ns=wanted.until_ns,
        )
        self._rewinding = self._placed()
        self._member: Member | None = None
        self._kept: dict[Hashable, Any] = {}
        self.done = False
        """Whether everything was given."""
        self.caught_up = False
        """Whether the last `read` looked at the newest event there was."""

    def _placed(self) -> Iterator[None]:
        """Put the cursor to its place; the steps that are left to do, where it takes some."""
        wanted, cursor = self._wanted, self._cursor
        if wanted.position is not None:
            cursor.position = min(wanted.position, self._end)
        elif wanted.first and wanted.since_ns is None:
            cursor.position = self._ring.oldest
        elif wanted.follow and not wanted.number and wanted.since_ns is None:
            cursor.position = max(self._ring.oldest, self._end - 1)
        else:
            return cursor.rewinding(wanted.number)
        return iter(())

    @property
    def position(self) -> int:
        """The next sequence number that will be looked at."""
        return self._cursor.position

    def read(self) -> Portion | None:
        """Take one look, of a millisecond or so; None if it gave nothing to tell.

        Then there is more to look at unless `caught_up` or `done`.
        """
        if self.done:
            return None
        for _ in self._rewinding:
            return None
        if self._wanted.follow:
            self._end = self._ring.next
            if self._member is None:
                self._member = self._followers.join(
                    self._group, self._selection, self.position, self._wanted.until_ns
                )
        found, ended = self._look()
        self.caught_up = self.position >= self._end
        now_ns = self._clock_ns()
        self._followers.events_lost += found.lost
        if found.lost and self._selection.tells_losses:
            self._tally.add(found.lost, now_ns)
        complete = ended or self._left == 0 or (self.caught_up and self._over(now_ns))
        if complete or self._tally.due(now_ns) or found.sequences:
            return self._portion(found, now_ns, complete=complete)
        return None

    def _look(self) -> tuple[Slice, bool]:
        """What the next stretch has, and whether the reading ends there."""
        cursor, end = self._cursor, self._end
        self._kept = {}
        if cursor.position >= end:
            return EMPTY, False
        if self._member is not None:
            shared = self._member.take(cursor.position, end)
            if shared is not None:
                cursor.position = shared.stop
                return self._since(shared), shared.ended
            end = self._member.meeting(cursor.position, end)
        found = cursor.read(end)
        until_s = time.perf_counter() + _LOOK_S
        # Where little is selected, many small portions would cost more than looking does.
        while (
            len(found.rows) < FEW_ROWS
            and cursor.position < end
            and not (cursor.ended or found.is_full)
            and time.perf_counter() < until_s
        ):
            found = found.joined(cursor.read(end))
        return self._counted(found), cursor.ended

    def _since(self, shared: Shared) -> Slice:
        """What of a shared slice is not too old for this reading."""
        since_ns, found = self._wanted.since_ns, shared.found
        if since_ns is not None and found.sequences:
            young = (found.rows["time_ns"] >= since_ns) | (found.rows["kind"] == Kind.LOST)
            if not young.all():
                return found.only(young)
        self._kept = shared.kept
        return found

    def _counted(self, found: Slice) -> Slice:
        """Only as many as `number` leaves, and nothing behind the last of them."""
        if self._left is None or not found.sequences:
            return found
        counted = (found.rows["kind"] == self._selection.kind).nonzero()[0]
        if len(counted) < self._left:
            self._left -= len(counted)
            return found
        last = int(counted[self._left - 1]) + 1
        self._left = 0
        self._cursor.position = found.sequences[last - 1] + 1
        return found if last == len(found.rows) else found.only(np.arange(len(found.rows)) < last)

    def _over(self, now_ns: int) -> bool:
        """Whether nothing more can come, now that everything there is was looked at."""
        if not self._wanted.follow:
            return True
        until_ns = self._wanted.until_ns
        return until_ns is not None and now_ns > until_ns + _LATE_NS

    def _portion(self, found: Slice, now_ns: int, *, complete: bool) -> Portion:
        self.done = complete
        due = self._tally.due(now_ns) or (complete and bool(self._tally))
        return Portion(
            found.rows,
            found.sequences,
            found.messages,
            self._tally.take(now_ns) if due else NOTHING,
            self.position,
            self._ring.oldest,
            complete,
            self._kept,
        )

    @property
    def left(self) -> int | None:
        """Events that `number` still allows; None where it does not limit the reading."""
        return self._left

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return once `read` may have something; for readings that follow and are caught up.

        Args:
            timeout_s: how long to wait at most, seconds; None waits for ever. `position` then tells
                how far there was nothing.

        Raises:
            Stopping: the server ends.
        """
        if self._member is None:
            return
        waits_s = [] if timeout_s is None else [timeout_s]
        if self._tally:
            waits_s.append(self._tally.interval_ns / _NS_PER_S)
        if self._wanted.until_ns is not None:
            left_ns = self._wanted.until_ns + _LATE_NS - self._clock_ns()
            waits_s.append(max(0.0, left_ns / _NS_PER_S) + 0.001)
        self._cursor.position = await self._member.wait(
            self.position, min(waits_s) if waits_s else None
        )
        if self._followers.stopped:
            raise Stopping

    async def portions(self) -> AsyncGenerator[Portion, None]:
        """Everything the request asks for, as it comes; the last portion is `complete`.

        Others on the loop get their turn after each look.

        Raises:
            Stopping: while following, when the server ends; what was lost is told before.
        """
        while not self.done:
            portion = self.read()
            if portion is not None:
                yield portion
            if not self.caught_up:
                await asyncio.sleep(0)
            elif not self.done:
                try:
                    await self.wait()
                except Stopping:
                    if self._tally:
                        yield self._portion(EMPTY, self._clock_ns(), complete=True)
                    raise

    def close(self) -> None:
        """Leave the ring; nothing refers to this reading any more."""
        self.done = True
        if self._member is not None:
            self._member.leave()
            self._member = None
