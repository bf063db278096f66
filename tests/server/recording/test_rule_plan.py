from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_bpf.capture_rule import CaptureRule, PacketPoint
from palomar_server.recording import rule_plan
from palomar_server.recording.rule_plan import meet, meet_all, reduced
from tests.server.recording.random_packets import PORTS, frames, packets_of
from tests.server.recording.rule_model import passing

if TYPE_CHECKING:
    import pytest

    from palomar_server.table import Mask

NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "10.0.0.1/32", "192.0.2.0/24", "fd00::/8", "fd00::1/128", "::/1")
)


def _some(*values: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


RULES = st.builds(
    CaptureRule,
    sources=_some(*NETWORKS),
    destinations=_some(*NETWORKS),
    source_ports=_some(*PORTS),
    destination_ports=_some(*PORTS),
    protocols=_some(6, 17),
    ifindexes=_some(1, 2),
    points=st.frozensets(st.sampled_from(PacketPoint), min_size=1),
)
FRAMES = st.lists(
    st.tuples(frames(), st.sampled_from(PacketPoint), st.sampled_from((1, 2, 3))),
    min_size=1,
    max_size=6,
)


def _passing(rules: list[CaptureRule], made: list[Any]) -> Mask:
    packets = packets_of([one[0][0] for one in made], raw=[one[0][1] for one in made])
    return passing(rules, packets, [one[1] for one in made], [one[2] for one in made])


@settings(max_examples=40, deadline=None)
@given(st.lists(RULES, max_size=3), st.lists(RULES, max_size=3), FRAMES)
def test_what_two_lists_have_in_common_is_what_both_select(
    left: list[CaptureRule], right: list[CaptureRule], made: list[Any]
) -> None:
    common = _passing(meet_all(left, right), made)
    assert common.tolist() == (_passing(left, made) & _passing(right, made)).tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(RULES, max_size=6), FRAMES, st.integers(1, 6))
def test_fewer_rules_select_as_much_or_say_that_it_is_more(
    rules: list[CaptureRule], made: list[Any], rules_max: int
) -> None:
    plan = reduced(rules, rules_max)
    assert len(plan.rules) <= rules_max
    before, after = _passing(rules, made), _passing(list(plan.rules), made)
    assert not (before & ~after).any()
    if plan.is_exact:
        assert before.tolist() == after.tolist()


def test_rules_that_differ_in_one_thing_become_one() -> None:
    rules = [
        CaptureRule(sources=(network,), destination_ports=(port,))
        for network in NETWORKS[:2]
        for port in (80, 443)
    ]
    plan = reduced(rules, 1)
    assert plan.is_exact
    assert plan.rules == (CaptureRule(sources=NETWORKS[:2], destination_ports=(80, 443)),)


def test_a_rule_for_any_takes_the_others_in() -> None:
    rules = [CaptureRule(protocols=(6,)), CaptureRule()]
    assert reduced(rules, 4).rules == (CaptureRule(),)


def test_no_rules_select_nothing() -> None:
    assert reduced([], 4) == rule_plan.RulePlan((), is_exact=True)


def test_rules_without_anything_in_common_have_no_meeting() -> None:
    assert meet(CaptureRule(protocols=(6,)), CaptureRule(protocols=(17,))) is None
    drop = CaptureRule(points=frozenset({PacketPoint.DROP}))
    assert meet(drop, CaptureRule(points=frozenset({PacketPoint.EGRESS}))) is None
    assert meet(CaptureRule(sources=NETWORKS[:1]), CaptureRule(sources=NETWORKS[2:3])) is None


def test_networks_meet_in_the_smaller_one() -> None:
    both = meet(CaptureRule(sources=NETWORKS[:1]), CaptureRule(sources=NETWORKS[1:]))
    assert both == CaptureRule(sources=NETWORKS[1:2])


def test_more_networks_than_a_rule_may_have_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_plan, "NETWORKS_PER_RULE_MAX", 2)
    few = CaptureRule(sources=NETWORKS[:2], protocols=(6,))
    assert reduced([few], 1) == rule_plan.RulePlan((few,), is_exact=True)
    many = CaptureRule(sources=NETWORKS[:3], protocols=(6,))
    assert reduced([many], 1) == rule_plan.RulePlan((CaptureRule(protocols=(6,)),), is_exact=False)
