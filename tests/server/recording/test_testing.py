"""The fake source takes what the kernel's programs take, and loses what they lose."""

from __future__ import annotations

import threading
from ipaddress import ip_network

import pytest

from palomar_bpf.capture_rule import CaptureRule, PacketPoint
from palomar_bpf.errors import CaptureError
from palomar_bpf.payload import DROP_FLAG_IPV6, DROP_FLAG_L3_DEVICE, ObservationPoint
from palomar_server.recording.testing import (
    FakePacketSource,
    batch_of_packets,
    cut_payload,
    dropped,
    head_bytes,
    matches,
    recorded,
)
from palomar_server.table import Protocol
from palomar_server.testing import packet, trace_payload, transport

TCP = recorded(packet("10.0.0.1", "10.0.1.1", body=transport(Protocol.TCP, 1_000, 80)), ifindex=3)
UDP6 = recorded(
    packet("fd00::1", "fd00::2", 0, bytes([17, 0]) + bytes(6) + transport(Protocol.UDP, 1_000, 53)),
    point=ObservationPoint.FROM_ENDPOINT,
)
ARP = recorded(b"\xff" * 12 + b"\x08\x06" + bytes(28))
DROPPED = dropped(packet("10.0.0.1", "10.0.1.1", Protocol.ICMP), ifindex=9)
RAW = trace_payload(
    packet("fd00::1", "fd00::2", Protocol.TCP, ethernet=False),
    flags=DROP_FLAG_L3_DEVICE | DROP_FLAG_IPV6,
    extension={},
)
EVERYTHING = (TCP, UDP6, ARP, DROPPED, RAW)
IP = (TCP, UDP6, DROPPED, RAW)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (CaptureRule(), EVERYTHING),
        (CaptureRule(sources=(ip_network("10.0.0.0/24"),)), (TCP, DROPPED)),
        (CaptureRule(destinations=(ip_network("fd00::/16"),)), (UDP6, RAW)),
        (CaptureRule(sources=(ip_network("0.0.0.0/0"), ip_network("::/0"))), IP),
        (CaptureRule(source_ports=(1_000,)), (TCP, UDP6)),
        (CaptureRule(destination_ports=(53, 54)), (UDP6,)),
        (CaptureRule(protocols=(Protocol.ICMP, Protocol.UDP)), (UDP6, DROPPED)),
        (CaptureRule(ifindexes=(3, 9), points=frozenset({PacketPoint.DROP})), (DROPPED,)),
        (CaptureRule(points=frozenset({PacketPoint.INGRESS})), (UDP6,)),
        (CaptureRule(points=frozenset({PacketPoint.EGRESS})), (TCP, ARP, RAW)),
    ],
)
def test_packets_match_what_rules_say(rule: CaptureRule, expected: tuple[bytes, ...]) -> None:
    assert tuple(one for one in EVERYTHING if matches(rule, one)) == expected


def test_fragments_but_the_first_have_no_ports() -> None:
    later = bytearray(packet())
    later[14 + 7] = 9
    rule = CaptureRule(destination_ports=(80,))
    assert matches(rule, recorded(packet()))
    assert not matches(rule, recorded(bytes(later)))


def test_packets_come_with_the_numbers_of_their_rules_and_cut() -> None:
    source = FakePacketSource()
    source.set_rules({5: CaptureRule(), 70: CaptureRule(ifindexes=(3,))}, 60)
    assert source.push(TCP, ARP) == 2
    batch = source.read(0)
    assert batch is not None
    assert [batch.matching(number).tolist() for number in (5, 70)] == [[True, True], [True, False]]
    assert batch.payloads.payload(0) == cut_payload(TCP, 60)
    assert len(batch.payloads.payload(0)) == head_bytes(TCP) + min(60, len(TCP) - head_bytes(TCP))
    assert source.read(0) is None


def test_what_the_ring_has_no_room_for_is_lost_by_rule() -> None:
    source = FakePacketSource(capacity_bytes=len(TCP))
    source.set_rules({1: CaptureRule(), 2: CaptureRule(ifindexes=(9,))}, 1_000)
    assert source.push(TCP, TCP, DROPPED) == 1
    frame, other = (len(one) - head_bytes(one) for one in (TCP, DROPPED))
    assert source.lost() == {1: (2, frame + other), 2: (1, other)}
    source.lose(1, 10)
    assert source.lost()[2] == (2, other + 10)


def test_a_wake_up_ends_the_reading_under_way_or_the_next() -> None:
    source = FakePacketSource()
    source.wake()
    assert source.read(None) is None
    threading.Timer(0.01, source.wake).start()
    assert source.read(None) is None


def test_it_refuses_and_fails_as_it_is_told() -> None:
    source = FakePacketSource()
    source.refuse = CaptureError("no")
    with pytest.raises(CaptureError):
        source.set_rules({1: CaptureRule()}, 100)
    source.set_rules({1: CaptureRule()}, 100)
    with pytest.raises(ValueError, match="snaplen"):
        source.set_rules({1: CaptureRule()}, 0)
    source.fail = CaptureError("gone")
    with pytest.raises(CaptureError):
        source.read(0)


def test_batches_can_be_made_of_messages() -> None:
    batch = batch_of_packets([TCP, ARP], [[0], [1, 255]])
    assert [batch.matching(number).tolist() for number in (0, 1, 255)] == [
        [True, False],
        [False, True],
        [False, True],
    ]
