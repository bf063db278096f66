from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_bpf.capture_rule import PacketPoint
from palomar_proto.palomar.v1.recordings_pb2 import PacketTuple
from palomar_server.errors import InvalidRequest
from palomar_server.recording.packet_tuples import PacketTuples
from palomar_server.table import Protocol
from palomar_server.testing import packet, transport
from tests.server.recording.random_packets import frames, packets_of
from tests.server.recording.rule_model import passing

CIDRS = {
    4: ("", "0.0.0.0/0", "10.0.0.0/8", "10.0.0.1/32", "10.0.0.2", "192.0.2.77/24"),
    6: ("", "::/0", "fd00::/8", "fd00::1/128", "2001:db8::1"),
}


@st.composite
def tuples(draw: st.DrawFn) -> PacketTuple:
    cidrs = st.sampled_from(CIDRS[draw(st.sampled_from((4, 6)))])
    with_ports = draw(st.booleans())
    ports = st.sampled_from((0, 53, 80)) if with_ports else st.just(0)
    protocols = (0, 6, 17) if with_ports else (0, 1, 4, 50, 60)
    return PacketTuple(
        source_cidr=draw(cidrs),
        source_port=draw(ports),
        destination_cidr=draw(cidrs),
        destination_port=draw(ports),
        protocol=draw(st.sampled_from(protocols)),
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(tuples(), min_size=1, max_size=3), st.lists(frames(), min_size=1, max_size=8))
def test_the_rules_select_exactly_what_the_mask_does(
    given_tuples: list[PacketTuple], made: list[tuple[bytes, bool]]
) -> None:
    packets = packets_of([one for one, _ in made], raw=[is_raw for _, is_raw in made])
    chosen = PacketTuples(given_tuples)
    points = [PacketPoint.INGRESS] * len(made)
    expected = passing(chosen.rules(), packets, points, [1] * len(made))
    assert chosen.mask(packets).tolist() == expected.tolist()


def test_all_that_a_tuple_gives_has_to_hold() -> None:
    body = transport(Protocol.TCP, 40_000, 80)
    packets = packets_of(
        [
            packet("10.0.0.1", "10.0.0.2", Protocol.TCP, body),
            packet("10.0.0.2", "10.0.0.1", Protocol.TCP, body),
            packet("10.0.0.1", "10.0.0.2", Protocol.UDP, transport(Protocol.UDP, 40_000, 80)),
            packet("10.0.0.1", "10.0.0.2", Protocol.TCP, transport(Protocol.TCP, 40_000, 81)),
        ]
    )
    wanted = PacketTuple(source_cidr="10.0.0.1/32", destination_port=80, protocol=6)
    assert PacketTuples([wanted]).mask(packets).tolist() == [True, False, False, False]


def test_an_empty_tuple_takes_every_packet() -> None:
    packets = packets_of([packet(), b"\1"])
    assert PacketTuples([PacketTuple()]).mask(packets).tolist() == [True, True]


def test_every_address_of_a_version_is_none_of_the_other() -> None:
    packets = packets_of([packet(), packet("fd00::1", "fd00::2"), packet()[:12] + bytes(40)])
    for cidr, expected in (("0.0.0.0/0", [True, False, False]), ("::/0", [False, True, False])):
        chosen = PacketTuples([PacketTuple(source_cidr=cidr)])
        assert chosen.mask(packets).tolist() == expected


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"source_cidr": "10.0.0.0/33"}, "tuples[0].source_cidr: '10.0.0.0/33' is no CIDR prefix"),
        ({"destination_cidr": "web"}, "tuples[0].destination_cidr"),
        ({"source_cidr": "fe80::1%eth0"}, "it has a zone"),
        ({"source_cidr": "::ffff:10.0.0.0/104"}, "is of IPv4 addresses; write them as such"),
        (
            {"source_cidr": "10.0.0.0/8", "destination_cidr": "::/0"},
            "tuples[0].destination_cidr: '::/0' is not of the IP version of source_cidr",
        ),
        ({"source_port": 65_536}, "tuples[0].source_port: 65536 is no port number"),
        ({"protocol": 256}, "tuples[0].protocol: 256 is no IANA protocol number"),
        ({"protocol": 1, "destination_port": 7}, "tuples[0].destination_port: 7 is given for"),
    ],
)
def test_a_value_that_breaks_its_rule_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        PacketTuples([PacketTuple(**fields)])
    assert text in str(caught.value)
