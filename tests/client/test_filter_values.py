import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar import filter_values
from palomar.errors import InvalidRequest
from palomar_proto.flow.flow_pb2 import TrafficDirection, Verdict


@pytest.mark.parametrize("text", ["drop", "dropped", "DROPPED", "Drop"])
def test_verdict_forgives_case_and_short_forms(text: str) -> None:
    assert filter_values.verdict(text) == "DROPPED"


def test_every_name_that_comes_out_is_in_the_enumeration() -> None:
    verdicts, directions = set(Verdict.keys()), set(TrafficDirection.keys())
    assert {filter_values.verdict(text) for text in filter_values._VERDICTS} == verdicts
    assert all(filter_values.verdict(name) == name for name in verdicts)
    assert {filter_values.direction(text) for text in filter_values._DIRECTIONS} < directions


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("FD00::A", "fd00::a"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ("10.0.0.7/24", "10.0.0.0/24"),
        ("::/0", "::/0"),
    ],
)
def test_addresses_come_out_as_flows_have_them(text: str, canonical: str) -> None:
    assert filter_values.ip(text) == canonical


@given(st.ip_addresses())
def test_every_address_is_taken(address: str) -> None:
    assert ipaddress.ip_address(filter_values.ip(str(address))) == address


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (filter_values.verdict, ""),
        (filter_values.verdict, "2"),
        (filter_values.direction, ""),
        (filter_values.direction, "sideways"),
        (filter_values.ip, ""),
        (filter_values.ip, "10.0.0.0/99"),
        (filter_values.ip, "web"),
        (filter_values.port, ""),
        (filter_values.port, "http"),
        (filter_values.port, "-1"),
        (filter_values.port, "65536"),
        (filter_values.port, "²"),
        (filter_values.protocol, "ipx"),
        (filter_values.pod, ""),
        (filter_values.pod, "a/b/c"),
        (filter_values.namespace, ""),
        (filter_values.namespace, "a/b"),
    ],
)
def test_nonsense_is_refused_with_its_value(parse: Callable[[str], str], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    assert text in str(caught.value)


def test_ports_are_numbers_to_65535() -> None:
    assert [filter_values.port(text) for text in ("0", "080", "65535")] == ["0", "80", "65535"]


def test_protocol_keeps_its_case() -> None:
    assert filter_values.protocol("UDP") == "UDP"


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (filter_values.identity, "WORLD", 2),
        (filter_values.identity, "reserved:remote_node", 6),
        (filter_values.identity, "4294967295", 2**32 - 1),
        (filter_values.workload, "Deployment/web", {"kind": "Deployment", "name": "web"}),
        (filter_values.workload, "web", {"name": "web"}),
        (filter_values.workload, "DaemonSet/", {"kind": "DaemonSet", "name": ""}),
        (filter_values.fqdn, " API.example.com. ", "api.example.com"),
        (filter_values.tcp_flags, "syn+ack", {"SYN": True, "ACK": True}),
        (filter_values.tcp_flags, "SYN, ack", {"SYN": True, "ACK": True}),
        (filter_values.ip_version, "IPv6", "IPv6"),
        (filter_values.ip_version, "none", "IP_NOT_USED"),
        (filter_values.drop_reason, "policy denied", 133),
        (filter_values.drop_reason, "Policy-Denied", 133),
        (filter_values.drop_reason, "133", 133),
        (filter_values.drop_reason, "no_socket", 1005),
        (filter_values.drop_reason, "1999", 1999),
        (filter_values.http_status, "404", "404"),
        (filter_values.http_status, "5xx", "5+"),
        (filter_values.http_status, "40x", "40+"),
        (filter_values.http_header, "Host: shop", {"key": "Host", "value": "shop"}),
        (filter_values.ip_trace_id, "18446744073709551615", 2**64 - 1),
        (filter_values.interface, "eth0", {"name": "eth0"}),
        (filter_values.interface, "2", {"index": 2}),
        (filter_values.node, "west/", "west/"),
    ],
)
def test_forgiving_values(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (filter_values.service, ""),
        (filter_values.workload, "/"),
        (filter_values.workload, "a/b/c"),
        (filter_values.identity, "worlds"),
        (filter_values.identity, "4294967296"),
        (filter_values.label, " "),
        (filter_values.cluster, ""),
        (filter_values.node, "a/b/c"),
        (filter_values.fqdn, "a b"),
        (filter_values.fqdn, ""),
        (filter_values.tcp_flags, "syn,x"),
        (filter_values.tcp_flags, ""),
        (filter_values.ip_version, "v5"),
        (filter_values.drop_reason, "policy"),
        (filter_values.drop_reason, "129"),
        (filter_values.drop_reason, str(2**31)),
        (filter_values.drop_reason, ""),
        (filter_values.http_status, "600"),
        (filter_values.http_status, "2"),
        (filter_values.http_status, "5xxx"),
        (filter_values.http_header, "Host"),
        (filter_values.http_header, ":x"),
        (filter_values.ip_trace_id, "0"),
        (filter_values.ip_trace_id, "-1"),
        (filter_values.interface, ""),
        (filter_values.uuid, ""),
        (filter_values.trace_id, ""),
        (filter_values.cel, ""),
        (filter_values.http_method, ""),
        (filter_values.http_path, ""),
        (filter_values.http_url, ""),
        (filter_values.dns_query, ""),
    ],
)
def test_other_nonsense_is_refused_with_its_value(
    parse: Callable[[str], object], text: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    assert repr(text) in str(caught.value)


def test_unknown_drop_reasons_are_told_what_is_near() -> None:
    with pytest.raises(InvalidRequest, match="policy_denied"):
        filter_values.drop_reason("policy_denid")
