"""Which rule numbers mean a subscription's packets."""

from __future__ import annotations

import numpy as np
import pytest

from palomar_bpf.capture_rule import RULE_WORDS, CaptureRule
from palomar_bpf.packet_batch import pack_rules
from palomar_server.recording.packet_route import PacketRoute, Role, WantedRule
from tests.server.recording.dispatch_testbed import Dispatching, Kept, dropped_flows

RULES = [CaptureRule(source_ports=(number,)) for number in range(4)]


@pytest.fixture
def kept() -> Kept:
    return Kept(Dispatching().filter())


def test_packets_are_known_by_all_words_of_their_rules(kept: Kept) -> None:
    route = PacketRoute(kept.subscription)
    route.rules = {
        WantedRule(RULES[0], Role.EXACT): 3,
        WantedRule(RULES[1], Role.EXACT): 200,
        WantedRule(RULES[2], Role.FLOW): 64,
    }
    route.update(RULE_WORDS, 0)
    rules = pack_rules([[3], [200], [64], [5, 199], [], [3, 64, 200]])
    for role, expected in ((Role.EXACT, [0, 1, 5]), (Role.FLOW, [2, 5])):
        matched = route.matched(role, rules)
        assert matched is not None
        assert np.flatnonzero(matched).tolist() == expected
    assert route.matched(Role.TRIGGER, rules) is None


def test_an_old_number_means_its_packets_until_it_is_forgotten(kept: Kept) -> None:
    route = PacketRoute(kept.subscription)
    route.old = {7: (Role.FLOW, 5)}
    route.update(RULE_WORDS, 4)
    assert route.matched(Role.FLOW, pack_rules([[7]])) is not None
    assert not route.has_expired(4)
    assert route.has_expired(5)
    route.update(RULE_WORDS, 5)
    assert not route.has_expired(5)
    assert route.matched(Role.FLOW, pack_rules([[7]])) is None
    kept.end()


def test_only_what_was_lost_since_the_last_time_is_told(kept: Kept) -> None:
    route = PacketRoute(kept.subscription)
    route.rules = {WantedRule(RULES[0], Role.EXACT): 3, WantedRule(RULES[1], Role.TRIGGER): 4}
    route.old = {5: (Role.EXACT, 9), 6: (Role.FLOW, 9)}
    for lost in ({3: (1, 10), 4: (9, 9), 6: (9, 9)}, {3: (4, 40), 5: (2, 20), 6: (10, 10)}):
        route.tell_lost(lost, everything=6)
    assert kept.sink.counts.lost_perf_ring.packets == 6
    assert kept.sink.counts.lost_perf_ring.bytes == 60
    kept.end()


def test_what_is_lost_before_the_trigger_is_no_loss() -> None:
    node = Dispatching()
    kept = Kept(node.filter(), trigger=node.filter(dropped_flows()))
    route = PacketRoute(kept.subscription)
    route.rules = {WantedRule(RULES[0], Role.EXACT): 3}
    route.tell_lost({3: (5, 50)}, None)
    kept.subscription.triggered_ns = 1
    route.tell_lost({3: (6, 60)}, None)
    assert kept.sink.counts.lost_perf_ring.packets == 1
    kept.end()


def test_a_route_whose_sink_has_its_end_is_closed(kept: Kept) -> None:
    route = PacketRoute(kept.subscription)
    assert route.is_open
    kept.end()
    assert not route.is_open
    assert not route.varies


def test_losses_by_a_number_of_others_before_are_not_told(kept: Kept) -> None:
    route = PacketRoute(kept.subscription)
    route.rules = {WantedRule(RULES[0], Role.EXACT): 3}
    route.new = frozenset({3})
    route.tell_lost({3: (5, 50)}, None)
    route.new = frozenset()
    route.tell_lost({3: (2, 20)}, None)
    assert kept.sink.counts.lost_perf_ring.packets == 2
    kept.end()
