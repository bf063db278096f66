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
