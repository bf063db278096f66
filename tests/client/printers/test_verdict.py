from typing import Any

import pytest

from palomar.printers.color import COLORED
from palomar.printers.look import Look
from palomar.printers.verdict import VerdictColumn
from palomar.testing import make_response

NAMED = VerdictColumn(Look(policy_names=True))
STRICT = VerdictColumn(Look(policy_names=True, strict=True))
POLICIES = [
    {"name": "p1", "namespace": "default", "kind": "CiliumNetworkPolicy"},
    {"labels": ["a"]},
    {"name": "p3"},
]
ALLOWED = {"ingress_allowed_by": POLICIES, "egress_allowed_by": POLICIES[:1]}
DENIED = {"ingress_denied_by": POLICIES[:1], "egress_denied_by": POLICIES}


def text(column: VerdictColumn, verdict: str, direction: str, **changes: Any) -> str:
    changes = {"event_type": {"type": 5}} | changes
    flow = make_response(verdict=verdict, traffic_direction=direction, **changes).flow
    return column.text(flow, flow.event_type)


@pytest.mark.parametrize(
    ("verdict", "direction", "shown"),
    [
        ("FORWARDED", "INGRESS", "ALLOWED BY p1 (CiliumNetworkPolicy), p3"),
        ("REDIRECTED", "EGRESS", "ALLOWED BY p1 (CiliumNetworkPolicy)"),
        ("DROPPED", "INGRESS", "DENIED BY p1 (CiliumNetworkPolicy)"),
        ("ERROR", "EGRESS", "DENIED BY p1 (CiliumNetworkPolicy), p3"),
        ("AUDIT", "INGRESS", "AUDITED BY p1 (CiliumNetworkPolicy)"),
        ("TRACED", "INGRESS", "TRACED"),
        ("FORWARDED", "TRAFFIC_DIRECTION_UNKNOWN", "ALLOWED"),
    ],
)
def test_policies_that_decided_are_named(verdict: str, direction: str, shown: str) -> None:
    assert text(NAMED, verdict, direction, **ALLOWED, **DENIED) == shown


def test_hubble_names_only_policies_with_a_kind_and_none_of_audits() -> None:
    ends = " BY p1 (CiliumNetworkPolicy)"
    assert text(STRICT, "FORWARDED", "INGRESS", **ALLOWED) == f"ALLOWED{ends}"
    assert text(STRICT, "AUDIT", "INGRESS", **DENIED) == "AUDITED"


def test_policies_are_named_on_demand_and_of_policy_verdicts_only() -> None:
    assert text(VerdictColumn(Look()), "FORWARDED", "INGRESS", **ALLOWED) == "ALLOWED"
    assert text(NAMED, "FORWARDED", "INGRESS", **ALLOWED, event_type={"type": 4}) == "FORWARDED"


def test_color_includes_the_policies() -> None:
    column = VerdictColumn(Look(policy_names=True, palette=COLORED))
    shown = text(column, "FORWARDED", "EGRESS", **ALLOWED)
    assert shown == "\x1b[32mALLOWED BY p1 (CiliumNetworkPolicy)\x1b[0m"


def test_names_of_policies_cannot_steer_a_terminal() -> None:
    policies = {"ingress_allowed_by": [{"name": "\x1b[2J", "kind": "\r"}]}
    assert text(NAMED, "FORWARDED", "INGRESS", **policies) == "ALLOWED BY ^[[2J (\\r)"
