"""Those who wait for events: one look at what is new for all that ask the same.

Followers with equal filters are a `Group`. Together they have one cursor; what it finds is a
`Shared` slice, which every member takes that stands where the slice begins, and what one of them
encodes of it the others send as well. A member that has fallen behind reads by a cursor of its own
until it meets the group's.

A follower that waits costs nothing by itself. One task, the dispatcher, moves the groups on when
the writer tells of news: once per different filter, and it wakes those for whom there is something.
It rests after each round by the time that took, so that a thousand different filters cannot keep
the loop from those who read.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from palomar_server.cursor import EMPTY, Cursor
from palomar_server.view import Views

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from palomar_server.cursor import Slice
    from palomar_server.ring import Ring
    from palomar_server.selection import Selection
    from palomar_server.view import FlowSource
    from palomar_server.waker import Waker

    _Future = asyncio.Future["Shared | int"]
    """Gives the sequence before which there was nothing for whoever waited."""

SHARED_SLICES_MAX = 4
"""Slices that a group keeps for members that are a little behind: of `cursor.TAKE_ROWS_MAX` rows
each at most."""
HOLDERS_MAX = 32
"""Groups that keep slices, a few MiB each at most: of more, those that have done so longest ago let
go of theirs."""
PAUSE_FACTOR = 8
"""The dispatcher rests so many times as long as a round took: a ninth of the loop's time."""
PAUSE_MAX_S = 0.05
"""But no longer than this, which nobody notices."""
PAUSE_RING_SHARE = 1 / 8
"""And not for longer than it takes to fill so much of the ring at the rate of late."""
PAUSE_FACTOR_MIN = 3
"""And in any case so many times as long: never more than a quarter of the loop's time."""
_BURST_S = 0.01
"""Events since the last round came within this time at most, when the rate is reckoned."""
_TURN_S = 0.002
"""Time after which the dispatcher lets others of the loop have their turn within a round."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A stretch of the ring that was looked at once for several readers."""

    found: Slice
    start: int
    """Its first sequence."""
    stop: int
    """The next sequence to look at."""
    ended: bool
    """Whether an event later than the group's `until` came here."""
    kept: dict[Hashable, Any] = field(default_factory=dict)
    """What readers have made of it, for the others."""


class Holders:
    """The groups that keep slices, the ones that did so of late: others let go of theirs."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Group, None] = OrderedDict()

    def hold(self, group: Group) -> None:
        """Note that a group keeps a slice."""
        self._groups[group] = None
        self._groups.move_to_end(group)
        if len(self._groups) > HOLDERS_MAX:
            oldest, _ = self._groups.popitem(last=False)
            oldest.forget()

    def leave(self, group: Group) -> None:
        """The group is no more."""
        self._groups.pop(group, None)


class Group:
    """Followers with one filter, and how far the ring has been looked at for them.

    Args:
        cursor: theirs.
        holders: the groups that keep slices.
    """

    def __init__(self, cursor: Cursor, holders: Holders | None = None) -> None:
        self._cursor = cursor
        self._holders = holders or Holders()
        self._recent: OrderedDict[int, Shared] = OrderedDict()
        self.waiting: set[_Future] = set()
        """Members that have seen everything before `position`."""
        self.members = 0

    @property
    def position(self) -> int:
        """The next sequence that will be looked at for all of them."""
        return self._cursor.position

    def at(self, position: int) -> Shared | None:
        """The slice that begins there, if it is still kept."""
        return self._recent.get(position)

    def advance(self, end: int) -> Shared:
        """Look at what comes next, up to `end`, and wake the waiting ones if there is something."""
        start = self._cursor.position
        found = EMPTY if self._cursor.passes(end) else self._cursor.read(end)
        shared = Shared(found, start, self._cursor.position, self._cursor.ended)
        something = bool(found) or shared.ended
        if something and self.members > 1:
            self._recent[start] = shared
            if len(self._recent) > SHARED_SLICES_MAX:
                self._recent.popitem(last=False)
            self._holders.hold(self)
        if something:
            self.release(shared)
        elif len(self.waiting) == self.members:
            self._recent.clear()
        return shared

    def forget(self) -> None:
        """Keep no slices: whoever is behind reads for itself."""
        self._recent.clear()

    def skip(self, position: int) -> None:
        """Go on from there: nobody waits for what lies before."""
        self._cursor.position = position

    def release(self, result: Shared | int) -> None:
        """Wake those who wait, with what was found or the position up to which nothing was."""
        waiting, self.waiting = self.waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(result)

    def time_over(self, future: _Future) -> None:
        """Wake one for whom nothing has come."""
        # No longer a waiting one at once: what is found before it gets its turn is not lost on it.
        self.waiting.discard(future)
        if not future.done():
            future.set_result(self.position)

    def fail(self, error: Exception) -> None:
        """Let those who wait have the error that looking ended with."""
        waiting, self.waiting = self.waiting, set()
        for future in waiting:
            if not future.done():
                future.set_exception(error)


class Member:
    """One follower's place in its group. Made by `Followers.join`."""

    def __init__(self, followers: Followers, group: Group) -> None:
        self._followers = followers
        self._group = group
        self._handed: Shared | None = None

    def take(self, position: int, end: int) -> Shared | None:
        """The next slice from `position` on as all members get it.

        None where only the member itself is at that place: it has to read by itself, up to
        `meeting`.
        """
        handed, self._handed = self._handed, None
        if handed is not None and handed.start == position:
            return handed
        shared = self._group.at(position)
        if shared is not None:
            return shared
        if position == self._group.position < end:
            return self._group.advance(end)
        return None

    def meeting(self, position: int, end: int) -> int:
        """Up to where a member that is behind reads by itself; `end` if it is not."""
        return min(end, self._group.position) if position < self._group.position else end

    async def wait(self, position: int, timeout_s: float | None) -> int:
        """Return once there is something to read, or the time is over.

        Args:
            position: everything before it was read, and there was nothing more.
            timeout_s: how long to wait at most, seconds; None waits for ever.

        Returns:
            Where to read on: everything before that was looked at meanwhile.
        """
        group = self._group
        while group.waiting and group.position < position:
            group.advance(position)
            # The group may be far behind, and its filter slow.
            await asyncio.sleep(0)
        if group.position < position:
            group.skip(position)
        if group.position > position:
            return position
        result = await self._followers.wait(group, timeout_s)
        if isinstance(result, int):
            return result
        self._handed = result
        return result.start

    def leave(self) -> None:
        """It is no follower any more."""
        self._followers.leave(self._group)


class Followers:
    """All groups, and the task that moves them on.

    Args:
        ring: the events.
        flows: builds protobuf flows for filters that need them.
        waker: tells of news.
        clock: seconds of CPU of the loop's thread: a round costs nothing while other threads have
            the interpreter.
    """

    def __init__(
        self,
        ring: Ring,
        flows: FlowSource,
        waker: Waker,
        *,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._ring = ring
        self._flows = flows
        self._holders = Holders()
        self._views = Views(ring.message, flows)
        self._waker = waker
        self._clock = clock
        self._groups: dict[Hashable, Group] = {}
        self._keys: dict[Group, Hashable] = {}
        self._waiting: set[Group] = set()
        """Groups that somebody may wait in."""
        self._somebody = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._seen = (ring.next, time.perf_counter())
        """The ring's end at the last round, and when that was, seconds."""
        self.stopped = False
        """Whether the server ends, and nobody waits any more."""
        self.events_lost = 0
        """Events overwritten before a reading had looked at them, of all readings together."""

    def __len__(self) -> int:
        return len(self._groups)

    def join(
        self, key: Hashable, selection: Selection, position: int, until_ns: int | None
    ) -> Member:
        """Become a member of the group with this filter.

        Args:
            key: equal for equal filters.
            selection: the filter, compiled; the first member's serves all.
            position: where it stands.
            until_ns: latest time, UTC ns; members with different ones are in different groups.
        """
        key = (key, until_ns)
        group = self._groups.get(key)
        if group is None:
            cursor = Cursor(
                self._ring, selection, position, self._flows, until_ns=until_ns, views=self._views
            )
            group = self._groups[key] = Group(cursor, self._holders)
            self._keys[group] = key
        group.members += 1
        return Member(self, group)

    def leave(self, group: Group) -> None:
        """One member of the group has gone."""
        group.members -= 1
        if not group.members:
            del self._groups[self._keys.pop(group)]
            self._waiting.discard(group)
            self._holders.leave(group)
        if not self._groups and self._task is not None:
            self._task.cancel()
            self._task = None

    async def wait(self, group: Group, timeout_s: float | None) -> Shared | int:
        """Wait in a group whose position is the caller's.

        Returns:
            What was found for the group, or how far there was nothing when the time was over.
        """
        if self.stopped:
            return group.position
        loop = asyncio.get_running_loop()
        future: _Future = loop.create_future()
        group.waiting.add(future)
        self._waiting.add(group)
        self._somebody.set()
        if self._task is None:
            self._task = loop.create_task(self._dispatch(), name="dispatch to followers")
        if group.position < self._ring.next:
            # Its news came while nobody waited in it: the dispatcher may not have looked.
            self._waker.wake()
        timer = None if timeout_s is None else loop.call_later(timeout_s, group.time_over, future)
        try:
            return await future
        finally:
            group.waiting.discard(future)
            if timer is not None:
                timer.cancel()

    def stop(self) -> None:
        """Wake everybody, now and in future: who wakes asks why."""
        self.stopped = True
        for group in self._groups.values():
            group.release(group.position)

    async def _dispatch(self) -> None:
        while True:
            await self._somebody.wait()
            await self._waker.wait(self._news)
            began = self._clock()
            took_s, through = await self._round(began)
            pause_max_s = min(PAUSE_MAX_S, self._fills_s()) if through else 0.0
            pause_s = max(min(PAUSE_FACTOR * took_s, pause_max_s), PAUSE_FACTOR_MIN * took_s)
            await asyncio.sleep(pause_s)

    def _fills_s(self) -> float:
        """Seconds until `PAUSE_RING_SHARE` of the ring is filled, at the rate since last asked."""
        (before, then_s), now_s = self._seen, time.perf_counter()
        self._seen = self._ring.next, now_s
        written = max(1, self._ring.next - before)
        # What came after a long silence came just now: as fast as this, for all that is known.
        within_s = min(now_s - then_s, _BURST_S)
        return PAUSE_RING_SHARE * self._ring.capacity * within_s / written

    def _news(self) -> bool:
        end = self._ring.next
        return any(group.waiting and group.position < end for group in self._waiting)

    async def _round(self, began: float) -> tuple[float, bool]:
        """Look at what is new for every group, for each no longer than a turn.

        A filter that takes long so makes no other wait for more than that.

        Returns:
            The time that took, in seconds, and whether all groups got through.
        """
        took_s, through, now = 0.0, True, began
        end = self._ring.next
        for group in list(self._waiting):
            if not group.waiting:
                self._waiting.discard(group)
                continue
            turn = now
            try:
                while group.waiting and group.position < end and now - turn <= _TURN_S:
                    group.advance(end)
                    now = self._clock()
            except Exception as error:  # noqa: BLE001 - theirs, whatever it is: it ends their streams
                group.fail(error)
            through &= not group.waiting or group.position >= end
            if now - began > _TURN_S:
                took_s += now - began
                await asyncio.sleep(0)
                began = now = self._clock()
        self._views.forget()
        if not self._waiting:
            self._somebody.clear()
        return took_s + self._clock() - began, through
