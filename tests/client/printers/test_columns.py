from typing import Any

import pytest

from palomar.printers.color import COLORED
from palomar.printers.columns import FlowColumns
from palomar.printers.look import Look
from palomar.testing import make_response

COLUMNS = FlowColumns(Look())


def test_pod_wins_over_service_names_and_address() -> None:
    flow = make_response(source_service={"name": "s"}, source_names=["dns.example"]).flow
    assert COLUMNS.ends(flow)[0] == "default/web-0:4000"
    flow.source.Clear()
    assert COLUMNS.ends(flow)[0] == "s:4000"
    flow.source_service.namespace = "shop"
    assert COLUMNS.ends(flow)[0] == "shop/s:4000"
    flow.ClearField("source_service")
    assert COLUMNS.ends(flow)[0] == "dns.example:4000"
    flow.ClearField("source_names")
    assert COLUMNS.ends(flow)[0] == "10.0.0.10:4000"


def test_ipv6_addresses_have_brackets_before_a_port() -> None:
    addresses = {"source": "fd00::a", "destination": "fd00::b"}
    with_ports = make_response(IP=addresses, source=None).flow
    assert COLUMNS.ends(with_ports) == ("[fd00::a]:4000", "[fd00::b]:80")
    without = make_response(IP=addresses, source=None, l4={"ICMPv6": {"type": 128}}).flow
    assert COLUMNS.ends(without) == ("fd00::a", "fd00::b")


def test_without_ip_the_ends_are_hardware_addresses_or_nothing() -> None:
    flow = make_response(IP=None, ethernet={"source": "0a:00", "destination": "0b:00"}).flow
    assert COLUMNS.ends(flow) == ("0a:00", "0b:00")
    flow.ClearField("ethernet")
    assert COLUMNS.ends(flow) == ("", "")


def test_hubble_puts_the_namespace_of_a_service_before_the_pod() -> None:
    flow = make_response(source_service={"name": "s", "namespace": "shop"}).flow
    strict = FlowColumns(Look(strict=True))
    assert COLUMNS.ends(flow)[0] == "default/web-0:4000"
    assert strict.ends(flow)[0] == "shop/web-0:4000"
    flow.ClearField("source_service")
    assert strict.ends(flow)[0] == "default/web-0:4000"
    flow.source.pod_name = ""
    assert strict.ends(flow)[0] == "10.0.0.10:4000"


def test_parties_are_the_ends_with_their_identities() -> None:
    flow = make_response().flow
    assert COLUMNS.parties(flow) == ("default/web-0:4000 (ID:20001)", "10.0.0.11:80 (world)")
    assert COLUMNS.type_and_verdict(flow) == "to-stack FORWARDED"


def test_memory_of_identities_is_bounded() -> None:
    columns = FlowColumns(Look())
    flow = make_response().flow
    for number in range(5_000):
        flow.source.identity = 1_000 + number
        assert columns.identities(flow)[0] == f"(ID:{1_000 + number})"


def test_numeric_look_shows_addresses() -> None:
    assert FlowColumns(Look(translate=False)).ends(make_response().flow)[0] == "10.0.0.10:4000"


def test_identities_have_reserved_names() -> None:
    assert COLUMNS.identities(make_response().flow) == ("(ID:20001)", "(world)")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "to-stack"),
        ({"event_type": {"type": 4, "sub_type": 77}}, "77"),
        ({"event_type": {"type": 1, "sub_type": 133}}, "Policy denied"),
        (
            {"event_type": {"type": 1, "sub_type": 255}, "drop_reason_desc": 1014},
            "NETFILTER_DROP",
        ),
        (
            {"event_type": {"type": 5}, "policy_match_type": 2, "traffic_direction": "INGRESS"},
            "policy-verdict:L3-L4 INGRESS",
        ),
        (
            {"event_type": {"type": 5}, "policy_match_type": 99, "traffic_direction": 9},
            "policy-verdict:unknown 9",
        ),
        ({"event_type": {"type": 3}, "debug_capture_point": 4}, "DBG_CAPTURE_DELIVERY"),
        ({"event_type": {"type": 7}, "sock_xlate_point": 1}, "pre-xlate-fwd"),
        ({"event_type": {"type": 7}, "sock_xlate_point": 9}, "9"),
        ({"event_type": {"type": 200}}, "UNKNOWN"),
        ({"l7": {"type": "REQUEST", "http": {}}}, "http-request"),
        (
            {"l7": {"type": "RESPONSE", "dns": {"observation_source": "proxy"}}},
            "dns-response proxy",
        ),
        ({"l7": {"type": 9}}, "l7-9"),
    ],
)
def test_types(changes: dict[str, Any], text: str) -> None:
    assert COLUMNS.type(make_response(**changes).flow) == text


@pytest.mark.parametrize(
    ("verdict", "plain", "of_policy"),
    [("FORWARDED", "FORWARDED", "ALLOWED"), ("DROPPED", "DROPPED", "DENIED"),
     ("AUDIT", "AUDIT", "AUDITED"), ("TRACED", "TRACED", "TRACED"), (99, "99", "99")],
)  # fmt: skip
def test_verdicts(verdict: str | int, plain: str, of_policy: str) -> None:
    assert COLUMNS.verdict(make_response(verdict=verdict).flow) == plain
    policy = make_response(verdict=verdict, event_type={"type": 5}).flow
    assert COLUMNS.verdict(policy) == of_policy


def test_colored_ends_and_verdicts() -> None:
    columns = FlowColumns(Look(palette=COLORED))
    flow = make_response(verdict="DROPPED").flow
    assert columns.ends(flow)[1] == "\x1b[36m10.0.0.11:\x1b[33m80\x1b[0m\x1b[0m"
    assert columns.verdict(flow) == "\x1b[31mDROPPED\x1b[0m"


def test_summary_has_trace_id_and_authentication() -> None:
    flow = make_response(ip_trace_id={"trace_id": "42"}, auth_type="SPIRE").flow
    assert COLUMNS.summary(flow) == "IP Trace ID: 42; TCP Flags: SYN; Auth: SPIRE"


def test_flow_without_time_has_none() -> None:
    assert COLUMNS.time(make_response(time=None).flow) == "N/A"
