"""What each recording gets of a batch."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from palomar_bpf.capture_rule import RULE_WORDS, CaptureRule
from palomar_recorder.ending import Ending
from palomar_server.recording.packet_route import PacketRoute, Role, WantedRule
from palomar_server.recording.packet_router import PacketRouter
from palomar_server.recording.subscription import Subscription
from palomar_server.recording.testing import batch_of_packets, recorded
from palomar_server.testing import START_NS
from tests.server.recording.dispatch_testbed import Dispatching, Kept, frame, port, seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_recorder.packets import Packets
    from palomar_server.recording.packet_filter import CompiledPacketFilter
    from palomar_server.table import Mask
    from palomar_server.view import View


class BrokenFilter:
    """A filter with a fault."""

    is_fixed = True

    def mask(self, _view: View | None, _packets: Packets) -> Mask:
        raise ZeroDivisionError("oops")


def routed(role: Role, number: int, wanted: CompiledPacketFilter, **values: object) -> Kept:
    kept = Kept(wanted, **values)  # type: ignore[arg-type]
    kept.route = PacketRoute(kept.subscription)  # type: ignore[attr-defined]
    kept.route.rules = {WantedRule(CaptureRule(), role): number}  # type: ignore[attr-defined]
    kept.route.update(RULE_WORDS, 0)  # type: ignore[attr-defined]
    return kept


def deliver(
    node: Dispatching, payloads: Sequence[bytes], numbers: Sequence[Sequence[int]], *kept: Kept
) -> PacketRouter:
    router = PacketRouter(node.core.surroundings, node.core.encoder, contextlib.nullcontext)
    heads = router.read(batch_of_packets(payloads, numbers))
    router.deliver(heads, [one.route for one in kept])  # type: ignore[attr-defined]
    for one in kept:
        one.end()
    return router


def test_each_role_of_a_rule_asks_what_it_has_to() -> None:
    node = Dispatching()
    exact = routed(Role.EXACT, 0, node.filter(port(99)))
    packet = routed(Role.PACKET, 1, node.filter(pcap="dst port 80"))
    flow = routed(Role.FLOW, 2, node.filter(port(81)))
    payloads = [*seen(2, 80), *seen(2, 81, since_ns=START_NS + 10_000)]
    deliver(node, payloads, [[0, 1, 2]] * 4, exact, packet, flow)
    assert len(exact.contents) == 4
    assert packet.contents == [frame(80, number=1), frame(80, number=2)]
    assert flow.contents == [frame(81, number=1), frame(81, number=2)]


def test_a_rule_that_decides_is_not_asked_again_by_one_that_does_not() -> None:
    node = Dispatching()
    kept = routed(Role.FLOW, 1, node.filter(port(81)))
    kept.route.rules[WantedRule(CaptureRule(), Role.EXACT)] = 0  # type: ignore[attr-defined]
    kept.route.update(RULE_WORDS, 0)  # type: ignore[attr-defined]
    deliver(node, [*seen(1, 80), *seen(1, 81), *seen(1, 82)], [[0, 1], [1], [1]], kept)
    assert kept.contents == [frame(80), frame(81)]


def test_notes_are_only_for_those_who_want_them() -> None:
    node = Dispatching()
    with_notes = routed(Role.EXACT, 0, node.filter(), wants_notes=True)
    without = routed(Role.EXACT, 0, node.filter())
    deliver(node, seen(2), [[0], [0]], with_notes, without)
    assert with_notes.notes == ["192.0.2.1 → 192.0.2.2 · to-endpoint · FORWARDED"] * 2
    assert without.notes == ["", ""]


def test_a_filter_that_fails_ends_its_own_recording_and_no_other() -> None:
    node = Dispatching()
    broken = routed(Role.FLOW, 0, BrokenFilter())  # type: ignore[arg-type]
    sound = routed(Role.FLOW, 0, node.filter())
    deliver(node, seen(3), [[0]] * 3, broken, sound)
    assert len(sound.contents) == 3
    assert broken.sink.ending is Ending.ERROR
    assert "ZeroDivisionError: oops" in broken.sink.message
    assert broken.contents == []


def test_a_few_packets_do_not_hold_the_memory_of_all_others() -> None:
    node = Dispatching()
    few, all_of = routed(Role.EXACT, 0, node.filter()), routed(Role.EXACT, 1, node.filter())
    payloads = [recorded(frame(payload=bytes(60_000))), recorded(frame(81))]
    deliver(node, payloads, [[1], [0, 1]], few, all_of)
    assert len(few.encoder.pieces[0].buffer) == len(frame(81))
    assert len(all_of.encoder.pieces[0].buffer) > 60_000
    assert few.contents == [frame(81)]
    assert len(all_of.contents) == 2


def test_what_is_kept_counts_only_as_far_as_the_snaplen_goes() -> None:
    node = Dispatching()
    kept = routed(Role.EXACT, 0, node.filter(), snaplen_bytes=60)
    deliver(node, [recorded(frame(payload=bytes(60_000)))], [[0]], kept)
    assert len(kept.encoder.pieces[0].buffer) == 60


def test_foreign_payloads_are_counted_and_cost_the_others_nothing() -> None:
    node = Dispatching()
    kept = routed(Role.EXACT, 0, node.filter(), wants_notes=True)
    router = deliver(node, [b"\x81foreign", *seen(1), b""], [[0]] * 3, kept)
    assert len(kept.contents) == 1
    assert router.passed_over == 2


def test_the_past_is_chosen_by_the_filter() -> None:
    node = Dispatching()
    kept = routed(Role.EXACT, 0, node.filter(port(81)))
    router = PacketRouter(node.core.surroundings, node.core.encoder, contextlib.nullcontext)
    heads = router.read(batch_of_packets([*seen(2, 80), *seen(2, 81)], [[]] * 4))
    router.deliver_past(heads, kept.route)  # type: ignore[attr-defined]
    kept.end()
    assert kept.contents == [frame(81, number=1), frame(81, number=2)]


@pytest.mark.parametrize("set_ns", [-3_600 * 10**9, 3_600 * 10**9])
def test_nothing_is_left_out_because_the_clock_was_set(set_ns: int) -> None:
    node = Dispatching()
    node.core.surroundings.apply({"boot_offset_ns": 7_200 * 10**9})
    router = PacketRouter(node.core.surroundings, node.core.encoder, contextlib.nullcontext)
    kept = Kept(
        node.filter(), trigger=node.filter(port(99)), before_ns=10**9, before_max_bytes=1 << 20
    )
    route = router.route(kept.subscription)
    route.rules = {
        WantedRule(CaptureRule(), Role.EXACT): 0,
        WantedRule(CaptureRule(), Role.TRIGGER): 1,
    }
    route.update(RULE_WORDS, 0)
    until_ns = START_NS + 3 * 10**9
    kept.sink.until_steady_ns = until_ns

    def see(destination_port: int, time_ns: int) -> None:
        payloads = seen(1, destination_port, since_ns=time_ns)
        router.deliver(router.read(batch_of_packets(payloads, [[0, 1]])), [route])

    see(80, START_NS)
    node.core.surroundings.apply({"boot_offset_ns": 7_200 * 10**9 + set_ns})
    see(81, START_NS + 5 * 10**8)
    see(99, START_NS + 10**9)
    node.core.surroundings.apply({"boot_offset_ns": 7_200 * 10**9})
    see(82, START_NS + 2 * 10**9)
    see(83, until_ns)
    see(84, until_ns + 1)
    kept.end()
    assert kept.contents == [frame(number) for number in (80, 81, 99, 82, 83)]


def test_from_when_packets_count_is_known_once_the_trigger_has_fired() -> None:
    known = []

    class Watched(Subscription):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "triggered_ns" and value is not None:
                known.append(kept.route.since_ns)  # type: ignore[attr-defined]
            super().__setattr__(name, value)

    node = Dispatching()
    kept = routed(Role.TRIGGER, 0, node.filter())
    route = kept.route  # type: ignore[attr-defined]
    route.subscription = Watched(
        filter=node.filter(), sink=kept.sink, trigger=node.filter(), before_ns=5
    )
    deliver(node, seen(1), [[0]], kept)
    assert known == [START_NS - 5]
