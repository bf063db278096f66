"""What record.c and rules.h make of packets, fed through BPF_PROG_TEST_RUN."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from palomar_bpf.capture_rule import CaptureRule, PacketPoint
from palomar_bpf.packet_batch import split_rules
from palomar_bpf.payload import (
    EXT_VERSION,
    EXTENSION,
    TRACE_HEAD,
    ConnectionState,
    MessageType,
    ObservationPoint,
    TraceReason,
)
from palomar_bpf.reader import PerfReader
from palomar_bpf.rule_maps import RuleMaps
from palomar_bpf.rule_tables import make_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # The fixtures' own module; conftest cannot be imported by name.
    Bench = Any

pytestmark = pytest.mark.live

TCP, UDP, ICMP, ICMPV6, SCTP, ESP, FRAGMENT, DSTOPTS = 6, 17, 1, 58, 132, 50, 44, 60
SYN, ACK = 0x02, 0x10
LOOPBACK = 1
"""The one interface every namespace has."""


@dataclass(frozen=True)
class Sample:
    """A frame and what rules may ask of it; None: it has no such thing."""

    frame: bytes
    source: str | None = None
    destination: str | None = None
    protocol: int | None = None
    ports: tuple[int, int] | None = None


def ethernet(ethertype: int, payload: bytes) -> bytes:
    return bytes(12) + struct.pack("!H", ethertype) + payload


def ipv4(source: str, destination: str, protocol: int, payload: bytes, frag: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, frag, 64, protocol, 0)
    packet = head + socket.inet_aton(source) + socket.inet_aton(destination) + payload
    return ethernet(0x0800, packet)


def ipv6(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    head = struct.pack("!IHBB", 0x60000000, len(payload), protocol, 64)
    addresses = ip_address(source).packed + ip_address(destination).packed
    return ethernet(0x86DD, head + addresses + payload)


def segment(source: int, destination: int, flags: int = ACK) -> bytes:
    return struct.pack("!HHIIBBHHH", source, destination, 1, 1, 0x50, flags, 512, 0, 0)


def datagram(source: int, destination: int) -> bytes:
    return struct.pack("!HHHH", source, destination, 8, 0)


A, B, C = "10.1.2.3", "10.1.9.9", "192.0.2.7"
A6, B6 = "2001:db8:1::1", "2001:db8:2::2"
SAMPLES = {
    "tcp": Sample(ipv4(A, B, TCP, segment(4000, 80)), A, B, TCP, (4000, 80)),
    "tcp-back": Sample(ipv4(B, A, TCP, segment(80, 4000)), B, A, TCP, (80, 4000)),
    "udp": Sample(ipv4(C, B, UDP, datagram(53, 4000)), C, B, UDP, (53, 4000)),
    "sctp": Sample(ipv4(A, C, SCTP, datagram(53, 80) + bytes(12)), A, C, SCTP, (53, 80)),
    "tcp6": Sample(ipv6(A6, B6, TCP, segment(4000, 80)), A6, B6, TCP, (4000, 80)),
    "udp6": Sample(ipv6(B6, A6, UDP, datagram(53, 80)), B6, A6, UDP, (53, 80)),
    "to-nowhere6": Sample(ipv6(A6, "::", UDP, datagram(53, 80)), A6, "::", UDP, (53, 80)),
    "tcp6-extended": Sample(
        ipv6(A6, B6, DSTOPTS, bytes([TCP, 0, 1, 4, 0, 0, 0, 0]) + segment(4000, 80)),
        *(A6, B6, TCP, (4000, 80)),
    ),
    # An echo's identifier 80 is no port.
    "ping": Sample(ipv4(A, B, ICMP, struct.pack("!BBHHH", 8, 0, 0, 80, 80)), A, B, ICMP),
    "ping6": Sample(ipv6(A6, B6, ICMPV6, struct.pack("!BBHHH", 128, 0, 0, 80, 1)), A6, B6, ICMPV6),
    "esp": Sample(ipv4(A, B, ESP, bytes(40)), A, B, ESP),
    "first-fragment": Sample(ipv4(A, B, UDP, datagram(53, 80), frag=0x2000), A, B, UDP, (53, 80)),
    "later-fragment": Sample(ipv4(A, B, UDP, datagram(53, 80), frag=100), A, B, UDP),
    "later-fragment6": Sample(
        ipv6(A6, B6, FRAGMENT, struct.pack("!BBHI", UDP, 0, 800, 7) + datagram(53, 80)),
        *(A6, B6, UDP),
    ),
    "tcp-cut": Sample(ipv4(A, B, TCP, b"\0"), A, B, TCP),
    "ip-broken": Sample(ethernet(0x0800, b"\x55" + bytes(30))),
    "arp": Sample(ethernet(0x0806, bytes(28))),
}

N = ip_network
RULES = {
    0: CaptureRule(),
    1: CaptureRule(sources=(N("10.0.0.0/8"),)),
    2: CaptureRule(sources=(N("10.1.2.0/24"),)),
    3: CaptureRule(sources=(N("10.1.2.3/32"), N("192.0.2.0/25"))),
    4: CaptureRule(sources=(N("10.1.2.3/32"),), destinations=(N("10.1.9.9/32"),)),
    5: CaptureRule(sources=(N("0.0.0.0/0"),)),
    6: CaptureRule(sources=(N("::/0"),)),
    7: CaptureRule(destinations=(N("2001:db8:2::/48"),)),
    8: CaptureRule(destinations=(N("2001:db8:2::2/128"), N("10.1.9.9/32")), protocols=(TCP,)),
    9: CaptureRule(sources=(N("::ffff:10.1.2.3/128"),)),
    63: CaptureRule(source_ports=(53,)),
    64: CaptureRule(destination_ports=(80, 443)),
    65: CaptureRule(source_ports=(4000,), destination_ports=(80,)),
    66: CaptureRule(destination_ports=(80,), protocols=(UDP,)),
    127: CaptureRule(protocols=(ICMP, ICMPV6)),
    128: CaptureRule(protocols=(ESP, SCTP)),
    129: CaptureRule(protocols=(0,)),
    190: CaptureRule(ifindexes=(2, 3)),
    191: CaptureRule(ifindexes=(2, LOOPBACK)),
    192: CaptureRule(ifindexes=(LOOPBACK,), protocols=(TCP,), sources=(N("10.0.0.0/8"),)),
    193: CaptureRule(points=frozenset({PacketPoint.EGRESS})),
    194: CaptureRule(points=frozenset({PacketPoint.INGRESS}), protocols=(TCP,)),
    195: CaptureRule(points=frozenset({PacketPoint.DROP})),
    255: CaptureRule(sources=(N("10.1.0.0/16"), N("10.1.2.3/32")), source_ports=(4000, 53)),
}


def has(networks: tuple[Any, ...], address: str | None) -> bool:
    if not networks:
        return True
    return address is not None and any(
        ip_address(address) in network
        for network in networks
        if network.version == ip_address(address).version
    )


def takes(rule: CaptureRule, sample: Sample, point: PacketPoint) -> bool:
    """What `CaptureRule` says of itself."""
    source_port, destination_port = sample.ports or (None, None)
    return (
        point in rule.points
        and has(rule.sources, sample.source)
        and has(rule.destinations, sample.destination)
        and (not rule.source_ports or source_port in rule.source_ports)
        and (not rule.destination_ports or destination_port in rule.destination_ports)
        and (not rule.protocols or sample.protocol in rule.protocols)
        and (not rule.ifindexes or LOOPBACK in rule.ifindexes)
    )


class Seen(NamedTuple):
    """What was sent when a packet passed."""

    head: Any
    extension: Any
    packet: bytes
    rules: set[int]


class Recorder:
    """The record programs with rules of the test's, and what they send."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.maps = RuleMaps(bench.programs.maps)
        self.reader = PerfReader(bench.programs.maps["recorded"], pages_per_cpu=64)

    def activate(self, rules: dict[int, CaptureRule], snaplen_bytes: int = 65_000) -> None:
        enabled = sum(1 << number for number in rules)
        tables = make_tables(rules.items())
        self.maps.write(tables, enabled=enabled, snaplen_bytes=snaplen_bytes)

    def see(self, frame: bytes, *, egress: bool = False) -> Seen | None:
        """Let a packet pass; None: nothing was sent."""
        assert self.bench.run(frame, egress=egress, record=True) == -1
        samples = self.reader.read(0)
        if samples is None:
            return None
        batch = split_rules(samples)
        assert len(batch) == 1
        raw = batch.payloads.payload(0)
        head = np.frombuffer(raw[:32], TRACE_HEAD)[0]
        extension = np.frombuffer(raw[32:104], EXTENSION)[0]
        packet = raw[104 : 104 + int(head["len_cap"])]
        rules = {rule for rule in range(256) if batch.matching(rule)[0]}
        return Seen(head, extension, packet, rules)

    def states(self, frame: bytes, *, egress: bool = False) -> tuple[int, int] | None:
        """Trace reason and connection state of what is sent."""
        seen = self.see(frame, egress=egress)
        return seen and (int(seen.head["reason"]), int(seen.extension["connection_state"]))


@pytest.fixture(scope="module")
def loaded(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(connections_max=1024)


@pytest.fixture
def recorder(loaded: Bench) -> Iterator[Recorder]:
    made = Recorder(loaded)
    yield made
    made.activate({})
    made.reader.close()


def test_rules_match_what_they_say_and_nothing_else(recorder: Recorder) -> None:
    recorder.activate(RULES)
    for name, sample in SAMPLES.items():
        for point in (PacketPoint.INGRESS, PacketPoint.EGRESS):
            seen = recorder.see(sample.frame, egress=point is PacketPoint.EGRESS)
            assert seen is not None
            assert seen.rules == {r for r, rule in RULES.items() if takes(rule, sample, point)}, (
                name
            )
            assert seen.packet == sample.frame


@pytest.mark.parametrize("number", sorted(RULES))
def test_a_rule_alone_matches_the_same(recorder: Recorder, number: int) -> None:
    recorder.activate({number: RULES[number]})
    for name, sample in SAMPLES.items():
        seen = recorder.see(sample.frame)
        taken = takes(RULES[number], sample, PacketPoint.INGRESS)
        assert (seen is not None) == taken, name
        assert seen is None or seen.rules == {number}


def test_rules_that_were_taken_away_leave_nothing(recorder: Recorder) -> None:
    recorder.activate(RULES)
    recorder.activate({7: CaptureRule(sources=(N("10.1.0.0/16"),))})
    recorder.activate(
        {7: CaptureRule(sources=(N("10.1.2.0/24"),)), 8: CaptureRule(protocols=(UDP,))}
    )
    for sample in SAMPLES.values():
        seen = recorder.see(sample.frame)
        wanted = {7} if sample.source == A else set()
        wanted |= {8} if sample.protocol == UDP else set()
        assert (set() if seen is None else seen.rules) == wanted


def test_a_message_is_one_that_the_decoder_knows(recorder: Recorder, host_netns: int) -> None:
    recorder.activate({0: CaptureRule()}, snaplen_bytes=40)
    frame = SAMPLES["udp6"].frame
    seen = recorder.see(frame, egress=True)
    assert seen is not None
    head, extension = seen.head, seen.extension
    assert seen.packet == frame[:40]
    assert (head["type"], head["ext_version"]) == (MessageType.TRACE, EXT_VERSION)
    assert head["subtype"] == ObservationPoint.TO_NETWORK
    assert (head["len_orig"], head["len_cap"], head["flags"]) == (len(frame), 40, 1)
    assert (extension["ethertype"], extension["netns"]) == (0x86DD, host_netns)
    assert (extension["packets"], extension["bytes"]) == (1, len(frame))


NEW = (TraceReason.NEW, ConnectionState.NEW)
ESTABLISHED = (TraceReason.ESTABLISHED, ConnectionState.ESTABLISHED)
REPLY = (TraceReason.REPLY, ConnectionState.REPLY)
UNKNOWN = (TraceReason.UNKNOWN, ConnectionState.UNKNOWN)


def test_connections_are_as_the_trace_program_says(recorder: Recorder) -> None:
    recorder.activate({0: CaptureRule()})
    there, back = ipv4(A, C, UDP, datagram(5000, 53)), ipv4(C, A, UDP, datagram(53, 5000))
    for frame, state in ((there, NEW), (there, ESTABLISHED), (back, REPLY), (there, ESTABLISHED)):
        recorder.bench.run(frame)
        assert recorder.states(frame) == state
    opening, answer = segment(5001, 80, SYN), segment(80, 5001, SYN | ACK)
    for frame, state in (
        (ipv4(A, C, TCP, opening), NEW),
        (ipv4(C, A, TCP, answer), REPLY),
        (ipv4(A, C, TCP, segment(5001, 80)), ESTABLISHED),
    ):
        recorder.bench.run(frame)
        assert recorder.states(frame) == state


def test_recording_changes_nothing_about_connections(recorder: Recorder) -> None:
    recorder.activate({0: CaptureRule()})
    there, back = ipv4(A, C, UDP, datagram(5002, 53)), ipv4(C, A, UDP, datagram(53, 5002))
    # Without the trace program each packet is the first of its connection.
    assert recorder.states(there) == NEW
    assert recorder.states(back) == NEW
    assert recorder.states(ipv4(A, C, TCP, segment(5002, 80))) == UNKNOWN
    recorder.bench.events()
    event = recorder.bench.see(there)
    assert event is not None
    assert event.extension["packets"] == 1


def test_losses_are_counted_for_each_rule_that_matched(recorder: Recorder) -> None:
    recorder.activate({0: CaptureRule(), 64: CaptureRule(protocols=(UDP,)), 255: CaptureRule()}, 50)
    before = [recorder.maps.lost(rule) for rule in (0, 1, 64, 255)]
    recorder.reader.close()
    recorder.bench.run(SAMPLES["tcp"].frame, record=True, times=3)
    recorder.bench.run(SAMPLES["udp"].frame, record=True, times=2)
    after = [recorder.maps.lost(rule) for rule in (0, 1, 64, 255)]
    udp_bytes = len(SAMPLES["udp"].frame)
    assert udp_bytes < 50 < len(SAMPLES["tcp"].frame)
    everything = (5, 3 * 50 + 2 * udp_bytes)
    assert [(new[0] - old[0], new[1] - old[1]) for old, new in zip(before, after, strict=True)] == [
        everything,
        (0, 0),
        (2, 2 * udp_bytes),
        everything,
    ]


def test_a_loss_counts_once_for_rules_that_belong_together(recorder: Recorder) -> None:
    numbers = (3, 70, 71, 255)
    recorder.activate(dict.fromkeys(numbers, CaptureRule()) | {70: CaptureRule(protocols=(TCP,))})
    recorder.reader.close()

    def lost(name: str, *groups: tuple[int, ...]) -> list[int]:
        before = [recorder.maps.lost(rule)[0] for rule in numbers]
        recorder.maps.count_together(groups)
        recorder.bench.run(SAMPLES[name].frame, record=True, times=2)
        after = [recorder.maps.lost(rule)[0] for rule in numbers]
        return [new - old for old, new in zip(before, after, strict=True)]

    assert lost("tcp") == [2, 2, 2, 2]
    assert lost("tcp", (255, 70, 71)) == [2, 2, 0, 0]
    assert lost("udp", (255, 70, 71)) == [2, 0, 2, 0]
    assert lost("tcp", (3, 255), (70, 71)) == [2, 2, 0, 0]
    assert lost("udp") == [2, 0, 2, 2]


def test_the_networks_of_a_thousand_pods_are_told_apart(recorder: Recorder) -> None:
    pods = [ipaddress.ip_address("10.4.0.0") + number for number in range(0, 2000, 2)]
    recorder.activate({1: CaptureRule(destinations=tuple(N(pod) for pod in pods))})
    for number in (0, 1, 998, 999, 1998, 1999, 2000):
        address = str(ipaddress.ip_address("10.4.0.0") + number)
        seen = recorder.see(ipv4(A, address, UDP, datagram(1, 2)))
        assert (seen is not None) == (number % 2 == 0 and number < 2000), address
