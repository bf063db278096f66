"""What trace.c, connection.h and packet.h make of packets, fed through BPF_PROG_TEST_RUN."""

from __future__ import annotations

import fcntl
import ipaddress
import itertools
import os
import socket
import struct
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from palomar_bpf.bpf_call import link_create_tcx, map_lookup, map_update
from palomar_bpf.payload import (
    DROP_FLAG_IPV6,
    DROP_FLAG_L3_DEVICE,
    EXT_VERSION,
    EXTENSION_FLAG_L3,
    ConnectionState,
    MessageType,
    ObservationPoint,
    TraceReason,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # The fixtures' own module; conftest cannot be imported by name.
    Bench = Any

pytestmark = pytest.mark.live

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
TCP, UDP, ICMP, ICMPV6, SCTP = 6, 17, 1, 58, 132
A, B = "192.0.2.1", "192.0.2.2"
A6, B6 = "2001:db8::1", "2001:db8::2"
NEW = (TraceReason.NEW, ConnectionState.NEW)
ESTABLISHED = (TraceReason.ESTABLISHED, ConnectionState.ESTABLISHED)
REPLY = (TraceReason.REPLY, ConnectionState.REPLY)
UNKNOWN = (TraceReason.UNKNOWN, ConnectionState.UNKNOWN)

CONNECTION_BYTES = 16 + 4 * 40
"""Size of struct connection."""

_ports = itertools.count(20_000)


@pytest.fixture(scope="module")
def medium(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(connections_max=1024, aggregation_flags=FIN | SYN | RST)


@pytest.fixture(scope="module")
def every(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(connections_max=1024, aggregation="none")


@pytest.fixture
def port() -> int:
    """A port no other test here uses, so that each has a connection of its own."""
    return next(_ports)


def ethernet(payload: bytes, *types: int) -> bytes:
    """A frame; with several types, all but the last are VLAN tags'."""
    *tags, last = types
    tagged = b"".join(struct.pack("!HH", tag, 100) for tag in tags)
    return bytes(12) + tagged + struct.pack("!H", last) + payload


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    options: bytes = b"",
    frag: int = 0,
) -> bytes:
    words = 5 + len(options) // 4
    head = struct.pack(
        "!BBHHHBBH", 0x40 | words, 0, words * 4 + len(payload), 1, frag, 64, protocol, 0
    )
    return head + socket.inet_aton(source) + socket.inet_aton(destination) + options + payload


def ipv6(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    head = struct.pack("!IHBB", 0x60000000, len(payload), protocol, 64)
    return (
        head
        + ipaddress.ip_address(source).packed
        + ipaddress.ip_address(destination).packed
        + payload
    )


def ports(source: int, destination: int) -> bytes:
    return struct.pack("!HHHH", source, destination, 8, 0)


def segment(source: int, destination: int, flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", source, destination, 1, 1, 0x50, flags, 512, 0, 0)


def tcp(flags: int, port: int, *, back: bool = False) -> bytes:
    """A segment from A to port 80 of B, or `back`."""
    if back:
        return ethernet(ipv4(B, A, TCP, segment(80, port, flags)), 0x0800)
    return ethernet(ipv4(A, B, TCP, segment(port, 80, flags)), 0x0800)


def udp(port: int, *, back: bool = False) -> bytes:
    if back:
        return ethernet(ipv4(B, A, UDP, ports(53, port)), 0x0800)
    return ethernet(ipv4(A, B, UDP, ports(port, 53)), 0x0800)


def said(event: Any) -> tuple[TraceReason, ConnectionState]:
    assert event is not None
    state = ConnectionState(int(event.extension["connection_state"]))
    return TraceReason(int(event.head["reason"])), state


def test_event_carries_head_block_and_packet(every: Bench, port: int, host_netns: int) -> None:
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    frame = udp(port)
    event = every.see(frame)
    assert event.packet == frame
    head, extension = event.head, event.extension
    assert head["type"] == MessageType.TRACE
    assert head["subtype"] == ObservationPoint.FROM_NETWORK
    assert head["ext_version"] == EXT_VERSION
    assert (head["version"], head["source"], head["flags"]) == (0, 0, 0)
    assert (head["src_label"], head["dst_label"], head["dst_id"]) == (0, 0, 0)
    assert head["len_orig"] == head["len_cap"] == len(frame)
    assert head["ifindex"] == 1
    assert before_ns <= extension["time_ns"] <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert extension["netns"] == host_netns
    assert extension["ethertype"] == 0x0800
    assert (extension["packets"], extension["bytes"]) == (1, len(frame))
    assert (extension["flags"], extension["tgid"], extension["tid"]) == (0, 0, 0)
    assert (extension["location"], extension["drop_reason"]) == (0, 0)
    assert extension["interface"] == b""


def test_packet_is_cut_at_snaplen(every: Bench, port: int) -> None:
    frame = ethernet(ipv4(A, B, UDP, ports(port, 9) + bytes(range(200))), 0x0800)
    event = every.see(frame)
    assert event.head["len_orig"] == len(frame)
    assert event.head["len_cap"] == 128
    assert event.packet == frame[:128]


def test_interface_decides_observation_point_and_source(every: Bench, port: int) -> None:
    key = struct.pack("=I", 1)
    map_update(every.programs.maps["interfaces"], key, struct.pack("=HBx", 4711, 1))
    ingress, egress = every.see(udp(port)), every.see(udp(port), egress=True)
    assert ingress.head["subtype"] == ObservationPoint.FROM_ENDPOINT
    assert egress.head["subtype"] == ObservationPoint.TO_ENDPOINT
    assert ingress.head["source"] == egress.head["source"] == 4711
    map_update(every.programs.maps["interfaces"], key, struct.pack("=HBx", 0, 0))
    assert every.see(udp(port), egress=True).head["subtype"] == ObservationPoint.TO_NETWORK


def test_tcp_connection_from_syn_to_both_fins(every: Bench, port: int) -> None:
    assert said(every.see(tcp(SYN, port))) == NEW
    assert said(every.see(tcp(SYN | ACK, port, back=True))) == REPLY
    assert said(every.see(tcp(ACK, port))) == ESTABLISHED
    assert said(every.see(tcp(FIN | ACK, port, back=True))) == REPLY
    assert said(every.see(tcp(FIN | ACK, port))) == ESTABLISHED
    # The other side opens the next one from the same ports.
    assert said(every.see(tcp(SYN, port, back=True))) == NEW
    assert said(every.see(tcp(ACK, port))) == REPLY


def test_syn_after_reset_is_new_again(every: Bench, port: int) -> None:
    assert said(every.see(tcp(SYN, port))) == NEW
    assert said(every.see(tcp(RST | ACK, port, back=True))) == REPLY
    assert said(every.see(tcp(SYN, port))) == NEW


def test_tcp_in_mid_stream_is_unknown_until_a_syn(every: Bench, port: int) -> None:
    assert said(every.see(tcp(ACK, port))) == UNKNOWN
    assert said(every.see(tcp(PSH | ACK, port, back=True))) == UNKNOWN
    assert said(every.see(tcp(SYN, port, back=True))) == NEW
    assert said(every.see(tcp(ACK, port))) == REPLY


def test_syn_ack_seen_first_tells_the_opener(every: Bench, port: int) -> None:
    assert said(every.see(tcp(SYN | ACK, port, back=True))) == REPLY
    assert said(every.see(tcp(ACK, port))) == NEW
    assert said(every.see(tcp(ACK, port))) == ESTABLISHED


def test_first_sender_of_udp_is_the_opener(every: Bench, port: int) -> None:
    assert said(every.see(udp(port, back=True))) == NEW
    assert said(every.see(udp(port, back=True))) == ESTABLISHED
    assert said(every.see(udp(port))) == REPLY


def test_udp_is_new_again_after_a_minute_of_silence(every: Bench, port: int) -> None:
    def address(text: str) -> bytes:
        return bytes(10) + b"\xff\xff" + socket.inet_aton(text)

    assert said(every.see(udp(port))) == NEW
    ends = sorted(
        [(address(A), struct.pack("!H", port)), (address(B), struct.pack("!H", 53))],
        key=lambda end: struct.unpack("=QQ", end[0]),
    )
    (lower, lower_port), (higher, higher_port) = ends
    key = lower + higher + lower_port + higher_port + struct.pack("=IB7x", 1, UDP)
    table = every.programs.maps["connections"]
    value = map_lookup(table, key, CONNECTION_BYTES)
    assert value is not None
    (seen_ns,) = struct.unpack_from("=Q", value)
    map_update(table, key, struct.pack("=Q", seen_ns - 61 * 10**9) + value[8:])
    assert said(every.see(udp(port, back=True))) == NEW


@pytest.mark.parametrize(
    ("protocol", "request_type", "reply_type"), [(ICMP, 8, 0), (ICMPV6, 128, 129)]
)
def test_echo_request_opens_and_reply_answers(
    every: Bench, port: int, protocol: int, request_type: int, reply_type: int
) -> None:
    def echo(kind: int, *, back: bool) -> bytes:
        message = struct.pack("!BBHHH", kind, 0, 0, port, 1)
        if protocol == ICMP:
            return ethernet(ipv4(*((B, A) if back else (A, B)), ICMP, message), 0x0800)
        return ethernet(ipv6(*((B6, A6) if back else (A6, B6)), ICMPV6, message), 0x86DD)

    assert said(every.see(echo(request_type, back=False))) == NEW
    assert said(every.see(echo(reply_type, back=True))) == REPLY
    assert said(every.see(echo(request_type, back=False))) == ESTABLISHED


def test_ping_to_oneself_has_two_directions(every: Bench, port: int) -> None:
    def echo(kind: int) -> bytes:
        message = struct.pack("!BBHHH", kind, 0, 0, port, 1)
        return ethernet(ipv4(A, A, ICMP, message), 0x0800)

    assert said(every.see(echo(8))) == NEW
    assert said(every.see(echo(0))) == REPLY


@pytest.mark.parametrize(
    "packet",
    [
        ethernet(ipv4(A, B, ICMP, bytes([3, 3]) + bytes(36)), 0x0800),
        ethernet(ipv4(A, B, ICMP, bytes([11, 0]) + bytes(36)), 0x0800),
        ethernet(ipv6(A6, B6, ICMPV6, bytes([1, 4]) + bytes(54)), 0x86DD),
    ],
    ids=["unreachable", "time-exceeded", "unreachable-ipv6"],
)
def test_icmp_errors_are_related_and_always_reported(medium: Bench, packet: bytes) -> None:
    for _ in range(2):
        assert said(medium.see(packet)) == (TraceReason.RELATED, ConnectionState.UNKNOWN)


CHAIN = bytes([43, 0]) + bytes(6) + bytes([60, 1]) + bytes(14) + bytes([TCP, 0]) + bytes(6)
"""Bodies of hop-by-hop, routing and destination options, each naming what follows."""


@pytest.mark.parametrize(
    "wrap",
    [
        lambda p: ethernet(ipv4(A, B, TCP, p, options=bytes([1] * 12)), 0x0800),
        lambda p: ethernet(ipv4(A, B, TCP, p), 0x8100, 0x0800),
        lambda p: ethernet(ipv4(A, B, TCP, p), 0x88A8, 0x8100, 0x0800),
        lambda p: ethernet(ipv6(A6, B6, TCP, p), 0x86DD),
        lambda p: ethernet(ipv6(A6, B6, 0, CHAIN + p), 0x86DD),
        lambda p: ethernet(ipv6(A6, B6, 51, bytes([TCP, 4]) + bytes(22) + p), 0x86DD),
        lambda p: ethernet(ipv6(A6, B6, 44, bytes([TCP, 0, 0, 1]) + bytes(4) + p), 0x86DD),
    ],
    ids=["options", "vlan", "qinq", "ipv6", "extension-headers", "auth-header", "first-fragment"],
)
def test_tcp_is_found_behind(every: Bench, port: int, wrap: Callable[[bytes], bytes]) -> None:
    assert said(every.see(wrap(segment(port, 80, SYN)))) == NEW
    event = every.see(wrap(segment(port, 80, ACK)))
    assert said(event) == ESTABLISHED
    is_ipv6 = event.extension["ethertype"] == 0x86DD
    assert event.head["flags"] == (DROP_FLAG_IPV6 if is_ipv6 else 0)


def test_later_fragments_say_nothing_of_the_opener(every: Bench) -> None:
    v4 = ethernet(ipv4(A, B, UDP, bytes(64), frag=100), 0x0800)
    v6 = ethernet(ipv6(A6, B6, 44, bytes([UDP, 0, 1, 0]) + bytes(68)), 0x86DD)
    assert said(every.see(v4)) == UNKNOWN
    assert said(every.see(v6)) == UNKNOWN


@pytest.mark.parametrize(
    "packet",
    [
        ethernet(bytes(28), 0x0806),
        ethernet(ipv4(A, B, ICMP, b"\x08"), 0x0800),
        ethernet(b"\x55" + bytes(40), 0x0800),
        ethernet(ipv4(A, B, TCP, b"\0\1"), 0x0800),
        ethernet(ipv6(A6, B6, UDP, b"\0\1"), 0x86DD),
        ethernet(b"", 0x8100),
    ],
    ids=["arp", "cut-icmp", "version", "cut-tcp", "cut-udp", "cut-vlan"],
)
def test_what_is_no_sound_ip_packet_is_reported_without_aggregation_only(
    every: Bench, medium: Bench, packet: bytes
) -> None:
    padded = packet.ljust(14, b"\0")
    assert said(every.see(padded)) == UNKNOWN
    assert medium.see(padded) is None


def test_medium_reports_first_packets_and_new_flags(medium: Bench, port: int) -> None:
    assert said(medium.see(tcp(SYN, port))) == NEW
    assert medium.see(tcp(SYN, port)) is None
    assert said(medium.see(tcp(SYN | ACK, port, back=True))) == REPLY
    for _ in range(10):
        assert medium.see(tcp(ACK, port)) is None
        assert medium.see(tcp(PSH | ACK, port, back=True)) is None
    last = medium.see(tcp(FIN | ACK, port))
    assert said(last) == ESTABLISHED
    # The repeated SYN, ten ACKs and the FIN itself.
    assert (last.extension["packets"], last.extension["bytes"]) == (12, 12 * 54)
    assert medium.see(tcp(FIN | ACK, port)) is None
    assert said(medium.see(tcp(RST, port))) == ESTABLISHED


def test_each_hook_has_its_own_view(medium: Bench, port: int) -> None:
    assert said(medium.see(udp(port), egress=True)) == NEW
    assert said(medium.see(udp(port))) == NEW
    assert medium.see(udp(port), egress=True) is None
    assert medium.see(udp(port)) is None


def test_interval_makes_a_running_connection_report(
    make_bench: Callable[..., Bench], port: int
) -> None:
    bench = make_bench(connections_max=64, aggregation_interval_ns=10**9)
    assert said(bench.see(udp(port))) == NEW
    assert bench.see(udp(port)) is None
    time.sleep(1.1)
    event = bench.see(udp(port))
    assert said(event) == ESTABLISHED
    assert event.extension["packets"] == 2


def test_low_reports_every_packet_on_its_way_out(
    make_bench: Callable[..., Bench], port: int
) -> None:
    bench = make_bench(connections_max=64, aggregation="low")
    for _ in range(3):
        assert bench.see(udp(port), egress=True).extension["packets"] == 1
    assert said(bench.see(udp(port))) == NEW
    assert bench.see(udp(port)) is None


def test_events_without_a_reader_count_as_lost_and_their_traffic_is_kept(
    make_bench: Callable[..., Bench], port: int
) -> None:
    bench = make_bench(connections_max=64)
    bench.silent()
    assert bench.run(tcp(SYN, port)) == -1
    assert bench.counter(0) == {"emitted": 0, "lost": 1, "withheld": 0}
    type(bench).__init__(bench, bench.programs)  # A reader comes back.
    assert bench.see(tcp(FIN | ACK, port)).extension["packets"] == 2
    assert bench.counter(0) == {"emitted": 1, "lost": 1, "withheld": 0}


def test_two_cpus_at_once_neither_swap_the_sides_nor_report_what_never_was(
    make_bench: Callable[..., Bench], port: int
) -> None:
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        pytest.skip("one CPU only")
    bench = make_bench(connections_max=64, aggregation_interval_ns=2_000)
    there, back = udp(port), udp(port, back=True)
    assert said(bench.see(there)) == NEW
    rounds, times = 40, 2_000

    def work(cpu: int, packets: list[bytes]) -> None:
        os.sched_setaffinity(0, {cpu})  # of this thread
        for packet in itertools.islice(itertools.cycle(packets), rounds):
            bench.run(packet, times=times)

    # Both directions on two CPUs, and one direction on two CPUs.
    workers = [
        threading.Thread(target=work, args=(cpu, packets))
        for cpu, packets in zip(cpus, ([there], [back, there]), strict=True)
    ]
    for worker in workers:
        worker.start()
    events = []
    while any(worker.is_alive() for worker in workers):
        events += bench.events(0.01)
    events += bench.events()
    states = {(event.packet == back, *said(event)) for event in events}
    assert states == {(False, *ESTABLISHED), (True, *REPLY)}
    most = 2 * rounds * times
    assert all(1 <= event.extension["packets"] <= most for event in events)
    assert all(len(there) <= event.extension["bytes"] <= most * len(there) for event in events)


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Stay on one CPU, whose bucket and counters are then the only ones."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_bucket_withholds_what_exceeds_the_burst(
    make_bench: Callable[..., Bench], one_cpu: None
) -> None:
    bench = make_bench(
        connections_max=64, aggregation="none", trace_rate_per_cpu=1, trace_burst_per_cpu=3
    )
    for _ in range(50):
        bench.run(udp(9))
    counter = bench.counter(0)
    assert counter["emitted"] == len(bench.events())
    assert counter["emitted"] + counter["withheld"] == 50
    assert 3 <= counter["emitted"] < 40
    assert counter["lost"] == 0


def test_largest_snaplen_brings_whole_packets(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(connections_max=64, aggregation="none", snaplen_bytes=60_000)
    frame = ethernet(ipv4(A, B, UDP, ports(9, 9) + os.urandom(3000)), 0x0800)
    assert bench.see(frame).packet == frame


def test_tun_device_has_no_ethernet_header(every: Bench) -> None:
    name = f"pt-t{os.getpid() % 100_000}"
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    link = -1
    try:
        fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))
        subprocess.run(
            ["ip", "addr", "add", f"198.19.{os.getpid() % 256}.1/30", "dev", name], check=True
        )
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        link = link_create_tcx(
            every.programs.trace_egress_fd, socket.if_nametoindex(name), egress=True, before=True
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"palomar", (f"198.19.{os.getpid() % 256}.2", 9))
        mine = [event for event in every.events(1.0) if event.packet.endswith(b"palomar")]
        assert len(mine) == 1
        assert said(mine[0]) == NEW
        assert mine[0].packet[0] == 0x45
        assert mine[0].head["flags"] == DROP_FLAG_L3_DEVICE
        assert mine[0].extension["flags"] == EXTENSION_FLAG_L3
        assert mine[0].extension["ethertype"] == 0x0800
    finally:
        if link >= 0:
            os.close(link)
        os.close(tun)
