"""Rules in the kernel: their numbers, what they are for, and how they change."""

from __future__ import annotations

import pytest

from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX, RULES_MAX, CaptureRule
from palomar_bpf.errors import CaptureError
from palomar_server.recording.active_rules import ActiveRules, wanted_rules
from palomar_server.recording.packet_route import PacketRoute, Role, WantedRule
from palomar_server.recording.rule_numbers import RuleNumbers
from palomar_server.recording.testing import FakePacketSource
from tests.server.recording.dispatch_testbed import Dispatching, Kept, dropped_flows, pod, port


def wanted(*ports: int) -> dict[WantedRule, None]:
    return {WantedRule(CaptureRule(source_ports=(one,)), Role.EXACT): None for one in ports}


@pytest.fixture
def source() -> FakePacketSource:
    return FakePacketSource()


@pytest.fixture
def route() -> PacketRoute:
    return PacketRoute(Kept(Dispatching().filter()).subscription)


def test_a_rule_that_stays_keeps_its_number(source: FakePacketSource, route: PacketRoute) -> None:
    rules = ActiveRules(source)
    assert rules.want(route, wanted(1, 2), 0)
    rules.apply([route])
    before = dict(source.rules)
    assert not rules.want(route, wanted(2, 1), 0)
    assert rules.want(route, wanted(2, 3), 0)
    rules.apply([route])
    kept = before.items() & source.rules.items()
    assert [rule.source_ports for _, rule in kept] == [(2,)]
    assert len(source.rules) == 2


def test_what_comes_is_there_before_what_goes_is_taken_away(
    source: FakePacketSource, route: PacketRoute
) -> None:
    rules = ActiveRules(source)
    for ports in ((1,), (2,)):
        rules.want(route, wanted(*ports), 0)
        rules.apply([route])
    history = [sorted(rule.source_ports for rule in one.values()) for one in source.history]
    assert history == [[(1,)], [(1,), (2,)], [(2,)]]


def test_nothing_is_set_that_is_set_already(source: FakePacketSource, route: PacketRoute) -> None:
    rules = ActiveRules(source)
    rules.want(route, wanted(1), 0)
    rules.apply([route])
    rules.apply([route])
    assert len(source.history) == 1


def test_a_number_is_not_used_again_before_the_readings_are_over(
    source: FakePacketSource, route: PacketRoute
) -> None:
    rules = ActiveRules(source)
    rules.want(route, wanted(*range(RULES_MAX)), 0)
    rules.want(route, {}, 10)
    with pytest.raises(CaptureError, match="needs 1 rules in the kernel and 0 of 256 are free"):
        rules.want(route, wanted(1), 11)
    assert route.rules == {}
    assert rules.want(route, wanted(1), 12)


def test_without_rules_for_anybody_there_are_none(
    source: FakePacketSource, route: PacketRoute
) -> None:
    rules = ActiveRules(source)
    rules.want(route, wanted(1), 0)
    rules.apply([route])
    assert len(source.rules) == 1
    rules.want(route, {}, 0)
    rules.apply([route])
    assert source.rules == {}


def test_the_rule_for_everything_asks_for_heads_only(source: FakePacketSource) -> None:
    rules = ActiveRules(source)
    rules.take_everything(256, 0)
    rules.apply([])
    assert list(source.rules.values()) == [CaptureRule()]
    assert source.snaplen_bytes == 256
    rules.drop_everything(0)
    rules.apply([])
    assert source.rules == {}


@pytest.mark.parametrize(
    ("values", "pcap", "expected"),
    [
        ({}, "", PACKET_SNAPLEN_BYTES_MAX),
        ({"snaplen_bytes": 100}, "", 100),
        ({"snaplen_bytes": 100, "wants_notes": True}, "", 256),
        ({"snaplen_bytes": 100}, "tcp[100] = 1", PACKET_SNAPLEN_BYTES_MAX),
    ],
)
def test_the_kernel_is_asked_for_what_deciding_needs_too(
    source: FakePacketSource, values: dict[str, object], pcap: str, expected: int
) -> None:
    kept = Kept(Dispatching().filter(pcap=pcap), **values)  # type: ignore[arg-type]
    route = PacketRoute(kept.subscription)
    rules = ActiveRules(source)
    rules.want(route, wanted_rules(route, {}), 0)
    rules.apply([route])
    assert source.snaplen_bytes == expected


def test_rules_are_for_what_their_filter_says_of_them() -> None:
    node = Dispatching()
    web = {"at_ns": 0, "addresses": ["192.0.2.1"], "namespace": "default", "pod_name": "web"}
    node.core.surroundings.apply({"endpoints": {"web": web}})
    for one, role in (
        (node.tuples(80), Role.EXACT),
        (node.filter(pcap="udp"), Role.PACKET),
        (node.filter(pod("web")), Role.FLOW),
    ):
        route = PacketRoute(Kept(one).subscription)
        assert {rule.role for rule in wanted_rules(route, {})} == {role}


def test_a_trigger_has_rules_until_it_has_fired() -> None:
    node = Dispatching()
    subscription = Kept(node.tuples(80), trigger=node.filter(dropped_flows())).subscription
    route = PacketRoute(subscription)
    assert {one.role for one in wanted_rules(route, {})} == {Role.EXACT, Role.TRIGGER}
    subscription.triggered_ns = 1
    assert {one.role for one in wanted_rules(route, {})} == {Role.EXACT}


def test_a_route_without_numbers_chooses_from_all_packets(
    source: FakePacketSource, route: PacketRoute
) -> None:
    rules = ActiveRules(source)
    rules.want(route, wanted(1, 2), 0)
    rules.want_all(route, 0)
    rules.apply([route])
    assert list(source.rules.values()) == [CaptureRule()]


def test_ports_do_not_change_with_endpoints() -> None:
    node = Dispatching()
    assert not PacketRoute(Kept(node.filter(port(80))).subscription).varies
    assert PacketRoute(Kept(node.filter(pod("web"))).subscription).varies


def test_what_others_look_at_does_not_change_under_them(
    source: FakePacketSource, route: PacketRoute
) -> None:
    rules = ActiveRules(source)
    rules.want(route, wanted(1, 2), 0)
    seen = route.rules, route.old
    before = dict(seen[0]), dict(seen[1])
    rules.want(route, wanted(2, 3), 0)
    assert seen == before
    # A number that moves is in one of the two for whoever looks at the rules first.
    assert set(seen[0].values()) <= {*route.rules.values(), *route.old}


def test_without_free_numbers_a_route_takes_all_packets_under_its_own(
    source: FakePacketSource, route: PacketRoute
) -> None:
    rules = ActiveRules(source)
    others = PacketRoute(Kept(Dispatching().filter()).subscription)
    rules.want(others, wanted(*range(RULES_MAX - 3)), 0)
    rules.want(route, wanted(1, 2, 3), 0)
    numbers = set(route.rules.values())
    with pytest.raises(CaptureError):
        rules.want(route, wanted(4), 0)
    assert rules.want_all(route, 0)
    assert list(route.rules) == [WantedRule(CaptureRule(), Role.FLOW)]
    assert {*route.rules.values(), *route.old} == numbers
    assert {role for role, _ in route.old.values()} == {Role.EXACT}
    rules.apply([others, route])
    assert source.rules[route.rules[WantedRule(CaptureRule(), Role.FLOW)]] == CaptureRule()


@pytest.mark.parametrize("is_full", [False, True])
def test_a_route_that_waits_for_its_trigger_still_does_when_it_takes_all(
    source: FakePacketSource,
    is_full: bool,  # noqa: FBT001 - pytest's
) -> None:
    node = Dispatching()
    kept = Kept(node.filter(port(80)), trigger=node.filter(port(99)))
    armed = PacketRoute(kept.subscription)
    rules = ActiveRules(source)
    rules.want(armed, wanted_rules(armed, {}), 0)
    if is_full:
        others = PacketRoute(Kept(node.filter()).subscription)
        rules.want(others, wanted(*range(RULES_MAX - len(armed.rules))), 0)
    before = dict(armed.rules)
    assert rules.want_all(armed, 0)
    assert {one.role for one in armed.rules} == {Role.FLOW, Role.TRIGGER}
    for one, number in before.items():
        if number in armed.rules.values():
            after = next(new for new, other in armed.rules.items() if other == number)
            assert (after.role is Role.TRIGGER) == (one.role is Role.TRIGGER)


def test_an_old_number_means_its_packets_while_the_kernel_is_told(
    source: FakePacketSource, route: PacketRoute
) -> None:
    rules = ActiveRules(source)
    rules.want(route, wanted(1), 0)
    rules.apply([route])
    (number,) = source.rules
    rules.want(route, {}, 0)
    rules.apply([route])
    assert route.old.keys() == {number}
    assert route.bits


def test_a_number_that_is_used_again_brings_no_losses_along() -> None:
    node = Dispatching()
    node.dispatcher._rules._numbers = RuleNumbers(1)
    told = []
    for lost in (5, 2):
        kept = node.add(node.tuples(80))
        node.source.lose(lost, 100 * lost)
        node.end(kept)
        told.append(kept.sink.counts.lost_perf_ring.packets)
    assert told == [5, 2]
    node.dispatcher.close()
