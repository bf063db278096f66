from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_server import cursor
from palomar_server.cursor import Cursor
from palomar_server.followers import HOLDERS_MAX, SHARED_SLICES_MAX, Followers, Group, Holders
from palomar_server.reading import Reading, Wanted
from palomar_server.table import Kind
from palomar_server.testing import START_NS, Core, FakeClock, flow_rows
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from palomar_server.reading import Portion
    from palomar_server.table import Mask
    from palomar_server.view import View

NS = 1_000_000_000


class PortSelection:
    """Flows to one port, or all; it counts how often it was asked, and of how many rows."""

    kind = Kind.FLOW
    tells_losses = True
    rows_at_once = 16_384

    def __init__(self, port: int | None = None) -> None:
        self._port = port
        self.looks = 0
        self.rows = 0

    def surely_none(self, view: View) -> bool:
        return False

    def mask(self, view: View) -> Mask:
        self.looks += 1
        self.rows += len(view)
        ports = view.rows["destination_port"]
        mask: Mask = (ports == self._port) if self._port is not None else ports >= 0
        return mask

    passing = mask


class Node:
    """A ring that the test writes, and followers of it."""

    def __init__(self, capacity: int = 255) -> None:
        self.core = Core(capacity=capacity)
        self.ring = self.core.ring
        self.clock = FakeClock(START_NS)
        self.waker = Waker(asyncio.get_running_loop())
        self.followers = Followers(self.ring, self.core.encoder, self.waker)

    def write(self, count: int = 1, port: int = 80) -> None:
        self.ring.append(flow_rows(count, destination_port=port))
        self.waker.notify()

    def follow(
        self, selection: PortSelection, group: object = "all", **wanted: int | None
    ) -> Reading:
        return Reading(
            self.ring,
            selection,
            Wanted(follow=True, position=self.ring.next, **wanted),  # type: ignore[arg-type]  # times only
            self.core.encoder,
            self.followers,
            group=group,
            clock_ns=self.clock,
        )


def start(stream: AsyncIterator[Portion]) -> asyncio.Task[Portion]:
    async def first() -> Portion:
        return await anext(stream)

    return asyncio.get_running_loop().create_task(first())


async def idle() -> None:
    """Let the dispatcher have its round and its rest."""
    for _ in range(5):
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)


async def looked_up_to(node: Node, end: int) -> None:
    async with asyncio.timeout(20):
        while any(group.position < end for group in node.followers._groups.values()):
            await asyncio.sleep(0.001)


async def test_a_thousand_followers_of_one_filter_cost_one_look() -> None:
    node, selection = Node(), PortSelection(443)
    with ExitStack() as stack:
        readings = [stack.enter_context(closing(node.follow(selection))) for _ in range(1000)]
        waiting = [start(one.portions()) for one in readings]
        await idle()
        assert selection.looks == 0
        for round_ in range(1, 4):
            node.write(10)
            await looked_up_to(node, 10 * round_)
            assert (selection.looks, selection.rows) == (round_, 10 * round_)
            assert not any(one.done() for one in waiting)
        node.write(2, port=443)
        portions = await asyncio.gather(*waiting)
        assert selection.looks == 4
        assert {tuple(one.sequences) for one in portions} == {(30, 31)}
        # The rows are the same ones, and so is whatever is made of them.
        assert len({id(one.rows) for one in portions}) == 1
        made = [one.once("key", object) for one in portions]
        assert len({id(one) for one in made}) == 1
    assert len(node.followers) == 0


async def test_each_different_filter_costs_a_look_and_wakes_its_own() -> None:
    node = Node()
    selections = [PortSelection(port) for port in range(100)]
    with ExitStack() as stack:
        readings = [
            stack.enter_context(closing(node.follow(one, group=index)))
            for index, one in enumerate(selections)
        ]
        waiting = [start(one.portions()) for one in readings]
        await idle()
        node.write(3, port=7)
        assert (await waiting[7]).sequences == [0, 1, 2]
        await idle()
        assert [one.looks for one in selections] == [1] * 100
        assert sum(one.done() for one in waiting) == 1
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_batch_while_the_dispatcher_rests_is_not_missed() -> None:
    node, selection = Node(), PortSelection()
    with closing(node.follow(selection)) as reading:
        stream = reading.portions()
        seen: list[int] = []
        for _ in range(20):
            node.write()
            seen += (await anext(stream)).sequences
        assert seen == list(range(20))


async def test_a_stalled_follower_costs_nothing_and_learns_its_loss_once() -> None:
    node = Node(capacity=15)
    stalled, other = PortSelection(), PortSelection(1)
    with closing(node.follow(stalled)) as reading, closing(node.follow(other, "other")) as second:
        stream = reading.portions()
        node.write()
        assert (await anext(stream)).sequences == [0]
        looks = stalled.looks
        waiting = start(second.portions())
        for _ in range(20):
            node.write(10)
            await idle()
        assert stalled.looks == looks
        portion = await anext(stream)
        assert (portion.lost.events, portion.sequences) == (200 - 15, list(range(186, 201)))
        node.write(1, port=1)
        assert (await waiting).sequences == [201]


async def test_a_follower_that_is_behind_reads_by_itself_until_it_meets_the_others() -> None:
    node, selection = Node(), PortSelection()
    with ExitStack() as stack:
        slow, fast = (stack.enter_context(closing(node.follow(selection))) for _ in range(2))
        behind, ahead = slow.portions(), fast.portions()
        node.write()
        assert (await anext(behind)).sequences == (await anext(ahead)).sequences == [0]
        for number in range(1, 3 * SHARED_SLICES_MAX):
            node.write()
            assert (await anext(ahead)).sequences == [number]
        seen: list[int] = []
        while len(seen) < 3 * SHARED_SLICES_MAX - 1:
            seen += (await anext(behind)).sequences
        assert seen == list(range(1, 3 * SHARED_SLICES_MAX))
        node.write()
        both = await asyncio.gather(start(behind), start(ahead))
        assert both[0].rows is both[1].rows


async def test_a_follower_gets_nothing_older_than_it_asked_for() -> None:
    node, selection = Node(), PortSelection()
    with (
        closing(node.follow(selection)) as every,
        closing(node.follow(selection, since_ns=START_NS + 2 * NS)) as late,
    ):
        waiting = [start(one.portions()) for one in (every, late)]
        await idle()
        node.write(4)
        found = await asyncio.gather(*waiting)
        assert [one.sequences for one in found] == [[0, 1, 2, 3], [2, 3]]


async def test_followers_with_an_end_are_told_of_it_by_events_they_did_not_ask_for() -> None:
    node = Node()
    with closing(node.follow(PortSelection(1), until_ns=START_NS + NS)) as reading:
        node.clock.now_ns = START_NS
        waiting = start(reading.portions())
        await idle()
        node.write(5)
        portion = await waiting
        assert (portion.sequences, portion.complete) == ([], True)


async def test_who_is_cancelled_is_gone_at_once() -> None:
    node = Node()
    with closing(node.follow(PortSelection())) as reading:
        waiting = start(reading.portions())
        await idle()
        [group] = node.followers._groups.values()
        assert len(group.waiting) == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not group.waiting
        assert len(node.followers) == 1
    assert len(node.followers) == 0
    assert node.followers._task is None


async def test_an_error_while_looking_ends_the_streams_of_its_group_only() -> None:
    node = Node()

    class Broken(PortSelection):
        def mask(self, view: View) -> Mask:
            raise RuntimeError("a hook's condition")

    with (
        closing(node.follow(Broken(), "broken")) as broken,
        closing(node.follow(PortSelection(), "sound")) as sound,
    ):
        waiting = [start(one.portions()) for one in (broken, sound)]
        await idle()
        node.write()
        with pytest.raises(RuntimeError, match="a hook's condition"):
            await waiting[0]
        assert (await waiting[1]).sequences == [0]


@pytest.mark.parametrize(
    ("took_s", "pause_s"), [(0.0001, 0.0008), (0.002, 0.016), (0.01, 0.05), (0.1, 0.3)]
)
async def test_the_dispatcher_rests_by_what_a_round_took(
    monkeypatch: pytest.MonkeyPatch, took_s: float, pause_s: float
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)
        await sleep(0)

    node = Node()
    now_s = 0.0

    def clock() -> float:
        return now_s

    class Slow(PortSelection):
        def mask(self, view: View) -> Mask:
            nonlocal now_s
            now_s += took_s
            return super().mask(view)

    node.followers = Followers(node.ring, node.core.encoder, node.waker, clock=clock)
    with closing(node.follow(Slow())) as reading:
        waiting = start(reading.portions())
        await idle()
        monkeypatch.setattr(asyncio, "sleep", noted)
        node.write()
        await waiting
        while not pauses:
            await sleep(0)
        assert pauses[0] == pytest.approx(pause_s)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.sampled_from([1, 2])), max_size=30),
    st.sampled_from([2, 512]),
)
def test_each_member_sees_every_event_once_or_is_told_of_its_loss(  # noqa: C901 - a model and its steps
    steps: list[tuple[int, int, int]], take_rows: int
) -> None:
    """Members of one group read when they like, while the ring is written."""

    async def run() -> None:
        node = Node(capacity=15)
        readings = [node.follow(PortSelection(1)) for _ in range(3)]
        seen: list[list[int]] = [[] for _ in readings]
        lost = [0] * len(readings)

        def read(which: int, *, all_of_it: bool = False) -> None:
            reading = readings[which]
            while True:
                portion = reading.read()
                if portion is not None:
                    seen[which] += portion.sequences
                if reading.caught_up or not all_of_it:
                    return

        for who, count, port in steps:
            node.write(count, port)
            if who < len(readings):
                read(who)
                if readings[who].caught_up:
                    # It waits, as far as that goes without the loop.
                    member = readings[who]._member
                    assert member is not None
                    await member.wait(readings[who].position, 0.0)
        ports = [port for _, count, port in steps for _ in range(count)]
        for which, reading in enumerate(readings):
            read(which, all_of_it=True)
            lost[which] = reading._tally._events
            reading.close()
            assert seen[which] == sorted(set(seen[which]))
            assert all(ports[one] == 1 for one in seen[which])
            missing = {n for n, port in enumerate(ports) if port == 1} - set(seen[which])
            if not lost[which] and reading._tally._told_ns is None:
                assert not missing
        assert len(node.followers) == 0

    before = cursor.TAKE_ROWS_MAX
    cursor.TAKE_ROWS_MAX = take_rows
    try:
        asyncio.run(run())
    finally:
        cursor.TAKE_ROWS_MAX = before


async def test_a_slow_filter_keeps_no_other_waiting_until_it_is_through() -> None:
    class Slow(PortSelection):
        rows_at_once = 8

        def mask(self, view: View) -> Mask:
            clock_s[0] += 0.01
            return super().mask(view)

    clock_s = [0.0]
    node = Node()
    node.followers = Followers(node.ring, node.core.encoder, node.waker, clock=lambda: clock_s[0])
    slow, quick = Slow(443), PortSelection(80)
    with (
        closing(node.follow(slow, "slow")) as behind,
        closing(node.follow(quick, "quick")) as ahead,
    ):
        last, first = start(behind.portions()), start(ahead.portions())
        await idle()
        node.write(200)
        node.write(1, port=443)
        assert len((await first).sequences) == 200
        assert slow.looks <= 2
        assert (await last).sequences == [200]
        assert slow.looks > 20


def test_few_groups_keep_slices() -> None:
    core = Core(capacity=255)
    holders = Holders()
    groups = []
    for number in range(HOLDERS_MAX + 1):
        cursor = Cursor(core.ring, PortSelection(), 0, core.encoder)
        groups.append(Group(cursor, holders))
        groups[number].members = 2
    core.ring.append(flow_rows(3))
    for group in groups:
        group.advance(3)
    assert groups[0].at(0) is None
    assert all(group.at(0) is not None for group in groups[1:])
