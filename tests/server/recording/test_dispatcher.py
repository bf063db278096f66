"""The dispatcher between a fake source and real sinks: who gets what, and when rules go."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from palomar_bpf.capture_rule import RULES_MAX, CaptureRule
from palomar_bpf.errors import CaptureError
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import drop_reason_pb2
from palomar_recorder.ending import Ending
from palomar_server.recording.packet_route import WantedRule
from palomar_server.recording.testing import FakePacketSource, dropped, recorded
from palomar_server.surroundings import KERNEL_DROP_REASON_BASE
from palomar_server.testing import START_NS
from tests.server.recording.dispatch_testbed import (
    Dispatching,
    Kept,
    dropped_flows,
    frame,
    pod,
    port,
    seen,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from palomar_bpf.packet_batch import PacketBatch

WEB = {"web": {"at_ns": 0, "addresses": ["192.0.2.1"], "namespace": "default", "pod_name": "web-0"}}


@pytest.fixture
def node() -> Iterator[Dispatching]:
    node = Dispatching()
    yield node
    node.dispatcher.close()


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "palomar-packets"]


def test_a_recording_gets_exactly_the_packets_of_its_filter(node: Dispatching) -> None:
    kept = node.add(node.filter(port(80)))
    node.source.push(*seen(5), *seen(5, 81))
    node.end(kept)
    assert kept.contents == [frame(number=index + 1) for index in range(5)]
    assert kept.sink.counts.captured.packets == kept.sink.counts.written.packets == 5


def test_sixteen_recordings_at_once_get_each_their_own(node: Dispatching) -> None:
    by_kernel = [node.add(node.tuples(80 + index)) for index in range(8)]
    by_flow = [
        node.add(node.filter(port(88 + index), pcap="tcp"), wants_notes=True) for index in range(8)
    ]
    for number in range(50):
        node.source.push(*(recorded(frame(80 + index, number=number)) for index in range(16)))
    node.end(*by_kernel, *by_flow)
    for index, kept in enumerate([*by_kernel, *by_flow]):
        assert kept.contents == [frame(80 + index, number=number) for number in range(50)]


def test_packets_of_one_reading_come_in_the_order_of_their_times(node: Dispatching) -> None:
    kept = node.add(node.filter())
    node.source.push(*reversed(seen(100)))
    node.end(kept)
    assert kept.times_ns == [START_NS + index * 1_000 for index in range(100)]


def test_what_was_taken_before_the_end_is_offered_before_remove_returns(node: Dispatching) -> None:
    kept = node.add(node.filter())
    for round_ in range(20):
        node.source.push(*seen(100, since_ns=START_NS + round_))
    node.dispatcher.remove(kept.subscription)
    assert kept.sink.counts.captured.packets == 2_000
    kept.end()


def test_nothing_is_left_when_nobody_records(node: Dispatching) -> None:
    assert not threads()
    first, second = node.add(node.filter(port(80))), node.add(node.filter(port(81)))
    assert threads() == ["palomar-packets"]
    node.end(first)
    assert threads() == ["palomar-packets"]
    assert node.source.rules
    node.end(second)
    assert not threads()
    assert node.source.rules == {}
    assert node.source.push(*seen(1)) == 0


def test_rules_of_others_stay_while_one_comes_and_goes(node: Dispatching) -> None:
    first = node.add(node.filter(port(80)))
    before = dict(node.source.rules)
    node.end(node.add(node.filter(port(81))))
    assert all(before.items() <= rules.items() for rules in node.source.history)
    node.end(first)


def test_a_refusal_of_the_kernel_leaves_everything_as_it_was(node: Dispatching) -> None:
    first = node.add(node.filter(port(80)))
    before = dict(node.source.rules)
    node.source.refuse = CaptureError("no room")
    with pytest.raises(CaptureError, match="no room"):
        node.add(node.filter(port(81)))
    assert node.source.rules == before
    node.source.push(*seen(3))
    node.end(first)
    assert len(first.contents) == 3


def test_a_pod_that_comes_later_is_recorded_from_then_on(node: Dispatching) -> None:
    kept = node.add(node.filter(pod("default/web-0")))
    assert node.source.push(*seen(1)) == 0
    node.core.surroundings.apply({"endpoints": WEB})
    node.dispatcher.context_changed()
    until(lambda: bool(node.source.rules))
    node.source.push(*seen(2), recorded(frame(source="192.0.2.9")))
    node.end(kept)
    assert len(kept.contents) == 2


def test_rules_that_change_leave_no_moment_without_those_that_stay(node: Dispatching) -> None:
    node.core.surroundings.apply({"endpoints": WEB})
    kept = node.add(node.filter(pod("default/web-0"), port(80)))
    before = dict(node.source.rules)
    second = {**WEB["web"], "addresses": ["192.0.2.1", "192.0.2.7"]}
    node.core.surroundings.apply({"endpoints": {"web": second}})
    node.dispatcher.context_changed()
    until(lambda: node.source.rules != before and len(node.source.history) > 2)
    union, last = node.source.history[-2:]
    assert union.items() >= before.items()
    assert union.items() >= last.items()
    node.end(kept)


def test_a_packet_of_an_old_rule_is_not_taken_for_one_of_a_new_rule(node: Dispatching) -> None:
    first = node.add(node.filter(port(80)))
    node.end(first)
    second = node.add(node.filter(port(81)))
    node.source.push(*seen(3))
    node.end(second)
    assert second.contents == []


def test_only_the_server_knows_reasons(node: Dispatching) -> None:
    reason = drop_reason_pb2.NETFILTER_DROP + KERNEL_DROP_REASON_BASE
    wanted = flow_pb2.FlowFilter()
    wanted.drop_reason_desc.append(reason)  # type: ignore[arg-type]
    kept = node.add(node.filter(wanted), wants_notes=True)
    node.core.surroundings.apply({"reasons": {"2": "NETFILTER_DROP"}, "endpoints": WEB})
    node.source.push(*seen(3), dropped(frame(81)), dropped(frame(), interface="eth7", reason=2))
    node.end(kept)
    assert kept.contents == [frame()]
    assert kept.notes == ["default/web-0 → 192.0.2.2 · DROPPED · NETFILTER_DROP"]


def test_losses_are_told_to_those_whose_rules_lost_them(node: Dispatching) -> None:
    first = node.add(node.tuples(80))
    node.source.lose(7, 700)
    second = node.add(node.tuples(81))
    node.source.lose(1, 100)
    node.end(first, second)
    lost = [one.sink.counts.lost_perf_ring for one in (first, second)]
    assert [(one.packets, one.bytes) for one in lost] == [(8, 800), (1, 100)]


def test_losses_are_told_while_packets_come(node: Dispatching) -> None:
    kept = node.add(node.filter())
    node.source.push(*seen(1))
    node.source.lose(2, 200)
    until(lambda: kept.sink.counts.lost_perf_ring.packets == 2)
    node.end(kept)


def test_nothing_is_offered_before_the_trigger_but_what_was_before_it(node: Dispatching) -> None:
    kept = node.add(
        node.filter(port(80)),
        trigger=node.filter(dropped_flows()),
        before_ns=2_000,
        before_max_bytes=1 << 20,
    )
    node.source.push(*seen(10))
    # Whose end waits for all that was pushed before.
    node.end(node.add(node.filter(port(9))))
    assert kept.sink.counts.captured.packets == 0
    fires_ns = START_NS + 9_500
    node.source.push(dropped(frame(81), time_ns=fires_ns))
    until(lambda: bool(kept.triggered))
    node.source.push(*seen(3, since_ns=START_NS + 10_000), *seen(1, since_ns=START_NS))
    node.end(kept)
    assert kept.triggered == [fires_ns]
    assert kept.subscription.triggered_ns == fires_ns
    assert kept.times_ns == [START_NS + n for n in (8_000, 9_000, 10_000, 11_000, 12_000)]


def test_the_packet_of_the_trigger_is_recorded_if_the_filter_wants_it(node: Dispatching) -> None:
    kept = node.add(node.filter(port(80)), trigger=node.filter(dropped_flows()))
    node.source.push(*seen(2), dropped(frame(), time_ns=START_NS + 5_000), *seen(1, 81))
    node.end(kept)
    assert kept.times_ns == [START_NS + 5_000]


def test_rules_of_a_trigger_go_when_it_has_fired(node: Dispatching) -> None:
    kept = node.add(node.filter(port(80)), trigger=node.filter(port(99)))
    before = dict(node.source.rules)
    node.source.push(*seen(1, 99))
    until(lambda: node.source.rules.items() < before.items())
    assert node.source.push(*seen(1, 99)) == 0
    node.end(kept)


def test_a_failing_source_ends_all_recordings_and_a_later_one_begins_anew(
    node: Dispatching,
) -> None:
    kept = node.add(node.filter(port(80)))
    node.source.fail = CaptureError("the ring is gone")
    node.source.wake()
    assert kept.sink.join(10)
    assert kept.sink.ending is Ending.ERROR
    assert "the ring is gone" in kept.sink.message
    node.dispatcher.remove(kept.subscription)
    node.source.fail = None
    again = node.add(node.filter(port(80)))
    node.source.push(*seen(2))
    node.end(again)
    assert len(again.contents) == 2


def test_a_recording_that_is_not_there_can_be_removed(node: Dispatching) -> None:
    kept = node.add(node.filter())
    node.end(kept, kept)


def test_without_room_in_the_kernel_snaplen_is_what_fits(node: Dispatching) -> None:
    node.source.snaplen_bytes_max = 1_000
    kept = node.add(node.filter())
    assert node.source.snaplen_bytes == 1_000
    node.end(kept)


def test_the_kernel_is_asked_for_as_much_as_the_longest_snaplen(node: Dispatching) -> None:
    first = node.add(node.filter(), snaplen_bytes=100)
    assert node.source.snaplen_bytes == 100
    second = node.add(node.filter(), snaplen_bytes=500, wants_notes=True)
    assert node.source.snaplen_bytes == 500
    node.source.push(recorded(frame(payload=bytes(1_000))))
    node.end(first, second)
    assert [len(one) for one in (*first.contents, *second.contents)] == [100, 500]


def test_a_flight_recorder_gives_the_packets_from_before_the_begin() -> None:
    node = Dispatching(flight_recorder_bytes=1 << 20, flight_snaplen_bytes=64)
    node.dispatcher.start()
    try:
        now_ns = time.time_ns()
        node.source.push(*seen(3, 80, since_ns=now_ns), *seen(3, 81, since_ns=now_ns))
        node.source.push(*seen(1, 80, since_ns=now_ns - 100_000_000_000))
        kept = node.add(node.filter(port(80)), before_ns=50_000_000_000, before_max_bytes=1 << 20)
        node.source.push(*seen(2, 80, since_ns=now_ns + 10_000))
        node.end(kept)
        assert kept.contents == [frame(number=n)[:64] for n in (1, 2, 3)] + [
            frame(number=n) for n in (1, 2)
        ]
        assert node.source.rules
    finally:
        node.dispatcher.close()
    assert node.source.rules == {}
    assert not threads()


def test_nothing_is_missing_or_twice_between_the_flight_recorder_and_the_recording() -> None:
    node = Dispatching(flight_recorder_bytes=1 << 22)
    node.dispatcher.start()
    stop = threading.Event()
    pushed = []

    def push() -> None:
        number = 0
        while not stop.is_set():
            node.source.push(recorded(frame(number=number % 60_000), time_ns=time.time_ns()))
            pushed.append(number)
            number += 1
            time.sleep(0.0002)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        until(lambda: len(pushed) > 50)
        kept = node.add(node.filter(), before_ns=10**12, before_max_bytes=1 << 22)
        until(lambda: len(pushed) > 150)
    finally:
        stop.set()
        thread.join()
    node.end(kept)
    node.dispatcher.close()
    assert kept.contents == [frame(number=number) for number in pushed]


def test_what_a_rule_lost_up_to_its_end_is_told(node: Dispatching) -> None:
    node.core.surroundings.apply({"endpoints": WEB})
    kept = node.add(node.filter(pod("default/web-0")))
    before = dict(node.source.rules)
    moved = {**WEB["web"], "addresses": ["192.0.2.7"]}
    node.core.surroundings.apply({"endpoints": {"web": moved}})
    node.source.lose(3, 300)
    node.dispatcher.context_changed()
    until(lambda: not before.items() <= node.source.rules.items())
    active = len(node.source.rules)
    node.source.lose(1, 100)
    node.end(kept)
    counted = kept.sink.counts.lost_perf_ring
    assert counted.packets == 3 * len(before) + active
    assert counted.bytes == 100 * counted.packets


def test_a_recording_misses_nothing_when_the_kernel_refuses_its_new_rules(
    node: Dispatching,
) -> None:
    kept = node.add(node.filter(pod("default/web-0")))
    node.source.refuse = CaptureError("too many networks")
    node.core.surroundings.apply({"endpoints": WEB})
    node.dispatcher.context_changed()
    until(lambda: CaptureRule() in node.source.rules.values())
    node.source.push(*seen(3), recorded(frame(source="192.0.2.7")))
    node.end(kept)
    assert len(kept.contents) == 3


def test_a_recording_whose_rules_the_kernel_refuses_for_good_ends_and_says_why(
    node: Dispatching,
) -> None:
    kept = node.add(node.filter(pod("default/web-0")))
    other = node.add(node.tuples(80))
    node.source.refuse_all = CaptureError("no memory")
    node.core.surroundings.apply({"endpoints": WEB})
    node.dispatcher.context_changed()
    assert kept.sink.join(10)
    assert kept.sink.ending is Ending.ERROR
    assert "no memory" in kept.sink.message
    node.source.push(*seen(3))
    node.source.refuse_all = None
    node.end(kept, other)
    assert len(other.contents) == 3


def test_packets_that_were_under_way_when_their_interface_went_are_still_of_it(
    node: Dispatching,
) -> None:
    node.core.surroundings.apply({"links": {"7": "veth7"}})
    wanted = flow_pb2.FlowFilter(interface=[flow_pb2.NetworkInterface(name="veth7")])
    kept = node.add(node.filter(wanted))
    # The rules are made anew a little later than the packets' context is.
    node.core.surroundings.apply({"links": {"7": None}})
    node.source.push(recorded(frame(), ifindex=7))
    node.end(kept)
    (piece,) = kept.encoder.pieces
    assert piece.interface_table[piece.interfaces[0]].name == "veth7"


@pytest.mark.parametrize(("before_s", "told"), [(60, 5), (0, 0)])
def test_what_was_lost_of_the_time_before_the_trigger_is_told_when_it_fires(
    node: Dispatching, before_s: int, told: int
) -> None:
    kept = node.add(
        node.tuples(80),
        trigger=node.filter(port(99)),
        before_ns=before_s * 1_000_000_000,
        before_max_bytes=1 << 20,
    )
    node.source.lose(5, 500)
    node.source.push(*seen(1, since_ns=time.time_ns()))
    other = node.add(node.tuples(81))
    assert kept.sink.counts.lost_perf_ring.packets == 0
    node.source.push(*seen(1, 99, since_ns=time.time_ns()))
    until(lambda: bool(kept.triggered))
    node.end(kept, other)
    assert kept.sink.counts.lost_perf_ring.packets == told


def test_a_lost_packet_counts_once_for_a_recording_with_several_rules_for_it() -> None:
    node = Dispatching()
    node.use(FakePacketSource(capacity_bytes=0))
    both = node.add(node.filter(pod("default/web-0"), port(80)))
    other = node.add(node.tuples(80))
    node.core.surroundings.apply({"endpoints": WEB})
    node.dispatcher.context_changed()
    until(lambda: len(node.source.rules) == 4)
    node.source.push(*seen(3))
    node.end(both, other)
    assert [one.sink.counts.lost_perf_ring.packets for one in (both, other)] == [3, 3]
    node.dispatcher.close()


class Meddling(dict[WantedRule, int]):
    """Rules while which are gone through something else happens, once.

    Args:
        rules: what it holds.
        meddle: happens.
    """

    def __init__(self, rules: Mapping[WantedRule, int], meddle: Callable[[], None]) -> None:
        super().__init__(rules)
        self._meddle: Callable[[], None] | None = meddle

    def __iter__(self) -> Iterator[WantedRule]:
        meddle, self._meddle = self._meddle, None
        if meddle is not None:
            meddle()
        return super().__iter__()


def test_a_change_of_endpoints_in_the_middle_of_a_reading_is_not_forgotten(
    node: Dispatching,
) -> None:
    def change() -> None:
        node.core.surroundings.apply({"endpoints": WEB})
        node.dispatcher.context_changed()

    kept, other = node.add(node.filter(pod("default/web-0"))), node.add(node.tuples(80))
    route = node.dispatcher._routes[-1]
    route.rules = Meddling(route.rules, change)
    before = len(node.source.rules)
    node.source.push(*seen(1))
    until(lambda: len(node.source.rules) > before)
    node.end(kept, other)


class SlowSource(FakePacketSource):
    """One that takes as long for its first rules as a kernel for many interfaces."""

    def set_rules(self, rules: Mapping[int, CaptureRule], snaplen_bytes: int) -> None:
        if not self.history:
            time.sleep(1.5)
        super().set_rules(rules, snaplen_bytes)


def test_after_rules_that_took_long_the_next_ones_do_not_wait_much_longer() -> None:
    node = Dispatching()
    node.use(SlowSource())
    kept = node.add(node.filter(pod("default/web")))
    for number in (1, 2):
        address = f"192.0.2.{number}"
        web = {**WEB["web"], "addresses": [address], "pod_name": f"web-{number}"}
        node.core.surroundings.apply({"endpoints": {f"web-{number}": web}})
        node.dispatcher.context_changed()
        until(lambda at=address: node.source.push(recorded(frame(source=at))) == 1)  # type: ignore[misc]
    node.end(kept)
    node.dispatcher.close()


def test_losses_of_others_before_are_not_told_with_rules_that_the_kernel_refused(
    node: Dispatching,
) -> None:
    for _ in range(RULES_MAX):
        other = node.add(node.tuples(80))
        node.source.lose(1, 100)
        node.end(other)
    kept = node.add(node.filter(pod("default/web-0")))
    node.source.refuse = CaptureError("too many networks")
    node.core.surroundings.apply({"endpoints": WEB})
    node.dispatcher.context_changed()
    until(lambda: CaptureRule() in node.source.rules.values())
    node.end(kept)
    assert kept.sink.counts.lost_perf_ring.packets == 0


def test_without_a_thread_to_read_nothing_is_left_behind(
    node: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    kept = Kept(node.filter(port(80)))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="thread"):
            node.dispatcher.add(kept.subscription)
    assert node.source.rules == {}
    again = node.add(node.filter(port(80)))
    node.source.push(*seen(2))
    node.end(again, kept)
    assert (len(again.contents), kept.contents) == (2, [])


@pytest.mark.parametrize("set_s", [-3_600, 3_600])
def test_a_flight_recorder_gives_what_was_before_the_clock_was_set(set_s: int) -> None:
    node = Dispatching(flight_recorder_bytes=1 << 20)
    offset_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    node.core.surroundings.apply({"boot_offset_ns": offset_ns - set_s * 1_000_000_000})
    node.dispatcher.start()
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    node.source.push(*seen(3, since_ns=boot_ns))
    until(lambda: len(node.dispatcher._flight or ()) == 3)
    node.core.surroundings.apply({"boot_offset_ns": offset_ns})
    kept = node.add(node.filter(), before_ns=60 * 1_000_000_000, before_max_bytes=1 << 20)
    node.end(kept)
    node.dispatcher.close()
    assert kept.times_ns == [boot_ns + offset_ns + step for step in (0, 1_000, 2_000)]


class LateSource(FakePacketSource):
    """One that is not read before it may be, and has been found empty then."""

    def __init__(self) -> None:
        super().__init__()
        self.may_read = threading.Event()

    def read(self, timeout_s: float | None) -> PacketBatch | None:
        if not self.may_read.is_set():
            self.may_read.wait()
            return None
        return super().read(timeout_s)


@pytest.mark.parametrize(("before_s", "packets"), [(0, 0), (60, 3)])
def test_only_who_asks_for_the_past_gets_what_was_not_read_yet(before_s: int, packets: int) -> None:
    node, source = Dispatching(flight_recorder_bytes=1 << 20), LateSource()
    node.use(source)
    node.dispatcher.start()
    source.push(*seen(3, since_ns=time.time_ns()))
    kept = Kept(node.filter(), before_ns=before_s * 1_000_000_000, before_max_bytes=1 << 20)
    adding = threading.Thread(target=node.dispatcher.add, args=(kept.subscription,))
    adding.start()
    until(lambda: bool(node.dispatcher._requests))
    source.may_read.set()
    adding.join()
    node.end(kept)
    node.dispatcher.close()
    assert len(kept.contents) == packets
