"""Packets of namespaces made for it, recorded in this kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from palomar_bpf.attachment import RawTracepoint
from palomar_bpf.capture import CaptureSettings, LiveCapture
from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX, CaptureRule, PacketPoint
from palomar_bpf.errors import BpfError, CaptureError
from palomar_bpf.links import Link
from palomar_bpf.packet_capture import PacketCapture
from palomar_bpf.payload import DROP_HEAD, EXTENSION, TRACE_HEAD, MessageType
from palomar_bpf.record_hooks import RecordHooks
from palomar_bpf.testbed import Testbed
from palomar_bpf.testing import FakeTc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_bpf.attachment import Attachment
    from palomar_bpf.testbed import Pod

pytestmark = pytest.mark.live

PORT, CLOSED_PORT = 8080, 9
UDP = 17
INGRESS = frozenset({PacketPoint.INGRESS})
DROP = frozenset({PacketPoint.DROP})
WHOLE = PACKET_SNAPLEN_BYTES_MAX
MAPS = (
    *("recorded", "record_plans", "record_losses", "record_siblings"),
    *("rule_numbers", "rule_networks"),
)

SEND = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for number in range(int(sys.argv[3])):
        if len(sys.argv) > 4 and number % 10 == 0:
            time.sleep(0.001)
        sock.sendto(number.to_bytes(4, "big"), (sys.argv[1], int(sys.argv[2])))
"""

SEND_FRAMES = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind(("eth0", 0))
    for frame in sys.argv[1:]:
        sock.send(bytes.fromhex(frame))
"""

SEND_MUCH = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
    sock.sendall(bytes(1 << 21))
"""

TAKE_MUCH = """
import socket, sys
with socket.create_server(("", int(sys.argv[1]))) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    while connection.recv(1 << 20):
        pass
"""


@pytest.fixture(scope="module")
def testbed(live: None) -> Iterator[Testbed]:
    with Testbed([f"pt-packets-{letter}-{os.getpid()}" for letter in "ab"]) as made:
        # Nobody answers, and the drop has a reason of its own.
        made.pods[1].drop_port(CLOSED_PORT)
        yield made


@pytest.fixture(scope="module")
def capture(testbed: Testbed) -> Iterator[LiveCapture]:
    with LiveCapture(CaptureSettings(interfaces=(testbed.interface_glob,))) as opened:
        yield opened


@pytest.fixture
def tiny(testbed: Testbed) -> Iterator[PacketCapture]:
    """A capture with the smallest rings and the older hooks, which nothing may be left of."""
    settings = CaptureSettings(
        interfaces=(testbed.interface_glob,), record_pages_per_cpu=1, attach_method="clsact"
    )
    with LiveCapture(settings) as opened:
        yield opened.packets
    for pod in testbed.pods:
        command = ["tc", "qdisc", "show", "dev", pod.interface]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert "clsact" not in shown


@pytest.fixture
def packets(capture: LiveCapture) -> Iterator[PacketCapture]:
    yield capture.packets
    capture.packets.set_rules({}, 0)
    list(everything(capture.packets))


def everything(packets: PacketCapture) -> Iterator[tuple[Any, Any, bytes, set[int]]]:
    """Head, extension, packet bytes and rules of all packets that are there."""
    while (batch := packets.read(0)) is not None:
        bits = np.unpackbits(batch.rules.view(np.uint8), axis=1, bitorder="little")
        for row in range(len(batch)):
            raw = batch.payloads.payload(row)
            layout = TRACE_HEAD if raw[0] == MessageType.TRACE else DROP_HEAD
            start = layout.itemsize + EXTENSION.itemsize
            head = np.frombuffer(raw, layout, 1)[0]
            extension = np.frombuffer(raw, EXTENSION, 1, layout.itemsize)[0]
            packet = raw[start : start + int(head["len_cap"])]
            rules = set(np.flatnonzero(bits[row]).tolist())
            yield head, extension, packet, rules


def send(pod: Pod, to: Pod, count: int, *how: str) -> None:
    """Numbered datagrams to where nobody gets them; "slowly", or as fast as one process can."""
    pod.run(sys.executable, "-c", SEND, to.ipv4, str(CLOSED_PORT), str(count), *how)


def numbers(packets: PacketCapture, rule: int) -> list[int]:
    """Of the datagrams that matched a rule."""
    found: list[int] = []
    at = TRACE_HEAD.itemsize + EXTENSION.itemsize + 14 + 20 + 8
    while (batch := packets.read(0)) is not None:
        rows = np.flatnonzero(batch.matching(rule)).tolist()
        raw = map(batch.payloads.payload, rows)
        found.extend(int.from_bytes(message[at : at + 4], "big") for message in raw)
    return found


def to_closed(pod: Pod, points: frozenset[PacketPoint] = INGRESS) -> CaptureRule:
    return CaptureRule(
        destinations=(ip_network(pod.ipv4),), destination_ports=(CLOSED_PORT,), points=points
    )


def test_rules_get_their_packets_until_they_go(testbed: Testbed, packets: PacketCapture) -> None:
    near, far = testbed.pods
    everywhere = to_closed(far, frozenset(PacketPoint))
    packets.set_rules({0: to_closed(far), 200: everywhere, 3: to_closed(near)}, WHOLE)
    assert set(packets.interfaces) == {near.interface, far.interface}
    send(near, far, 100)
    packets.set_rules({0: to_closed(far)}, WHOLE)
    found = list(everything(packets))
    assert [rules for *_, rules in found].count({0, 200}) == 100  # into near's veth
    assert [rules for *_, rules in found].count({200}) == 200  # out of far's, and dropped
    send(near, far, 100)
    packets.set_rules({}, 0)
    assert numbers(packets, 0) == list(range(100))


def tagged(tags: str) -> bytes:
    """A frame of a type of its own behind some VLAN tags."""
    return bytes.fromhex("ffffffffffff" + "020000000001" + tags + "88b5") + b"palomar" + bytes(50)


@pytest.mark.parametrize("snaplen_bytes", [WHOLE, 40])
def test_vlan_tags_are_where_they_were_on_the_wire(
    testbed: Testbed, packets: PacketCapture, snaplen_bytes: int
) -> None:
    near, far = testbed.pods
    frames = [tagged(tags) for tags in ("81000005", "8100e000", "88a80007810000c8", "")]
    packets.set_rules({0: CaptureRule(points=frozenset({*PacketPoint} - DROP))}, snaplen_bytes)
    near.run(sys.executable, "-c", SEND_FRAMES, *[frame.hex() for frame in frames])
    packets.set_rules({}, 0)
    indices = {pod: socket.if_nametoindex(pod.interface) for pod in (near, far)}
    found = [
        (int(head["ifindex"]), int(head["len_orig"]), packet)
        for head, _, packet, _ in everything(packets)
        if b"palomar" in packet
    ]
    # The kernel takes off the outermost tag as a packet comes in; that is not cut, then.
    cut = [one[: snaplen_bytes + 4] for one in frames[:3]] + [frames[3][:snaplen_bytes]]
    expected = [(len(frame), packet) for frame, packet in zip(frames, cut, strict=True)]
    assert [tuple(rest) for ifindex, *rest in found if ifindex == indices[near]] == expected
    assert {ifindex for ifindex, *_ in found} == set(indices.values())


DROP_TAGGED = (
    "table netdev palomar {\n"
    "  chain tagged {\n"
    "    type filter hook ingress device eth0 priority 0;\n"
    "    vlan id 5 drop\n"
    "  }\n"
    "}\n"
)


def test_a_dropped_packet_keeps_its_tag(testbed: Testbed, packets: PacketCapture) -> None:
    near, far = testbed.pods
    addresses = b"".join(ip_network(pod.ipv4).network_address.packed for pod in (near, far))
    datagram = bytes.fromhex("00070007000c0000") + b"wxyz"
    head = bytes.fromhex("45000020000100004011") + bytes(2)
    frame = bytes.fromhex("ffffffffffff020000000001810000050800") + head + addresses + datagram
    far.run("nft", "-f", "-", stdin=DROP_TAGGED)
    packets.set_rules({0: CaptureRule(points=DROP)}, WHOLE)
    near.run(sys.executable, "-c", SEND_FRAMES, frame.hex())
    packets.set_rules({}, 0)
    far.run("nft", "delete", "table", "netdev", "palomar")
    found = [(head, packet) for head, _, packet, _ in everything(packets) if b"wxyz" in packet]
    assert [packet for _, packet in found] == [frame]
    assert [int(head["len_orig"]) for head, _ in found] == [len(frame)]


def test_a_rule_that_stays_misses_nothing_while_others_come_and_go(
    testbed: Testbed, packets: PacketCapture
) -> None:
    near, far = testbed.pods
    packets.set_rules({1: to_closed(far)}, WHOLE)
    sender = threading.Thread(target=send, args=(near, far, 5000, "slowly"))
    sender.start()
    found: list[int] = []
    others = [ip_network(far.ipv4), ip_network("198.18.0.0/15"), ip_network(near.ipv4)]
    step = 0
    while sender.is_alive():
        step += 1
        sources, destinations = others[step % 3 : step % 3 + 1], others[: step % 4]
        other = CaptureRule(sources=tuple(sources), destinations=tuple(destinations))
        packets.set_rules({1: to_closed(far), 6 + step % 250: other, 5: other}, WHOLE)
        found += numbers(packets, 1)
    sender.join()
    packets.set_rules({}, 0)
    found += numbers(packets, 1)
    assert step > 2
    assert sorted(found) == list(range(5000))


def test_a_packet_of_many_segments_comes_whole(testbed: Testbed, packets: PacketCapture) -> None:
    near, far = testbed.pods
    rule = CaptureRule(destinations=(ip_network(far.ipv4),), points=INGRESS)
    packets.set_rules({0: rule}, WHOLE)
    command = far.command(sys.executable, "-c", TAKE_MUCH, str(PORT))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as taker:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
        near.run(sys.executable, "-c", SEND_MUCH, far.ipv4, str(PORT))
    heads = [(int(head["len_orig"]), packet) for head, _, packet, _ in everything(packets)]
    longest, packet = max(heads)
    assert longest == len(packet) > 30_000
    assert packet[-1000:] == bytes(1000)


def test_a_dropped_packet_comes_with_its_reason(
    testbed: Testbed, capture: LiveCapture, packets: PacketCapture
) -> None:
    near, far = testbed.pods
    packets.set_rules({9: to_closed(far, DROP)}, 46)
    assert packets.interfaces == {}
    send(near, far, 3)
    found = list(everything(packets))
    assert [int.from_bytes(packet[42:46], "big") for _, _, packet, _ in found] == [0, 1, 2]
    head, extension, packet, rules = found[0]
    assert head["type"] == MessageType.DROP
    assert head["len_orig"] == head["len_cap"] == len(packet) == 46
    assert rules == {9}
    assert capture.reasons[int(extension["drop_reason"])] == "NETFILTER_DROP"
    packets.set_rules({9: to_closed(far, DROP)}, 30)
    send(near, far, 1)
    [(head, _, packet, _)] = everything(packets)
    assert (head["len_orig"], head["len_cap"], len(packet)) == (46, 30, 30)


def test_only_interfaces_that_rules_ask_for_get_the_programs(
    testbed: Testbed, packets: PacketCapture
) -> None:
    near, far = testbed.pods
    index = socket.if_nametoindex(far.interface)
    packets.set_rules({0: CaptureRule(ifindexes=(index,))}, 100)
    assert packets.interfaces == {far.interface: "tcx"}
    near.traffic("ping", far.ipv4)
    seen = {int(head["ifindex"]) for head, *_ in everything(packets) if head["type"] == 4}
    assert seen == {index}


def test_an_interface_that_comes_later_gets_the_programs(
    testbed: Testbed, packets: PacketCapture
) -> None:
    packets.set_rules({0: CaptureRule(points=INGRESS)}, 100)
    late = testbed.add_pod(f"pt-packets-late-{os.getpid()}")
    deadline_s = time.monotonic() + 5
    while late.interface not in packets.interfaces and time.monotonic() < deadline_s:
        time.sleep(0.01)
    index = socket.if_nametoindex(late.interface)
    list(everything(packets))
    assert late.traffic("ping", testbed.pods[0].ipv4) == "ok"
    assert index in {int(head["ifindex"]) for head, *_ in everything(packets)}
    testbed.remove_pod(late.name)
    testbed.pods.remove(late)
    while late.interface in packets.interfaces and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert late.interface not in packets.interfaces


def test_what_a_full_ring_loses_is_counted_for_each_rule(
    testbed: Testbed, tiny: PacketCapture
) -> None:
    near, far = testbed.pods
    tiny.set_rules({0: to_closed(far), 77: to_closed(far), 5: to_closed(near)}, 46)
    assert set(tiny.interfaces.values()) == {"clsact"}
    send(near, far, 2000)
    received = len(numbers(tiny, 77))
    lost = tiny.lost()
    assert lost[77] == lost[0] == (2000 - received, 46 * (2000 - received))
    assert lost[5] == (0, 0)
    assert 0 < received < 2000
    # From a rule's own begin on, though its number had another before.
    tiny.set_rules({0: to_closed(far)}, 46)
    tiny.set_rules({0: to_closed(far), 77: to_closed(far)}, 46)
    assert tiny.lost() == {0: lost[0], 5: (0, 0), 77: (0, 0)}
    with pytest.raises(ValueError, match="snaplen_bytes is 1793, must be 1 to 1792"):
        tiny.set_rules({0: CaptureRule()}, 1793)


def rings() -> int:
    """How many perf rings this process has mapped."""
    return Path("/proc/self/maps").read_text().count("anon_inode:[perf_event]")


def test_nothing_is_left_without_rules(testbed: Testbed, packets: PacketCapture) -> None:
    near, far = testbed.pods
    before = rings()
    packets.set_rules({0: CaptureRule()}, 100)
    assert set(packets.interfaces.values()) == {"tcx"}
    assert rings() > before
    near.traffic("ping", far.ipv4)
    packets.set_rules({}, 0)
    assert packets.interfaces == {}
    # What was recorded is still there to read, and then the rings go.
    assert len(list(everything(packets))) >= 4
    assert rings() == before
    near.traffic("ping", far.ipv4)
    assert packets.read(0.01) is None


def test_a_recording_goes_on_while_observation_is_paused(
    testbed: Testbed, capture: LiveCapture, packets: PacketCapture
) -> None:
    near, far = testbed.pods
    packets.set_rules({0: to_closed(far)}, 100)
    capture.pause()
    send(near, far, 5)
    capture.resume()
    send(near, far, 5)
    assert numbers(packets, 0) == [*range(5), *range(5)]


def test_reading_ends_when_it_is_woken(packets: PacketCapture) -> None:
    for rules in ({}, {0: CaptureRule(protocols=(253,))}):
        packets.set_rules(rules, 100)
        threading.Timer(0.05, packets.wake).start()
        assert packets.read(5) is None


def test_the_last_rule_to_go_frees_the_rings_of_one_who_waits(packets: PacketCapture) -> None:
    before = rings()
    packets.set_rules({0: CaptureRule(protocols=(253,))}, 100)
    reader = threading.Thread(target=packets.read, args=(None,))
    reader.start()
    packets.set_rules({}, 0)
    reader.join(5)
    assert not reader.is_alive()
    assert rings() == before


def test_what_cannot_be_is_refused_and_the_rules_hold_on(
    testbed: Testbed, packets: PacketCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = testbed.pods
    packets.set_rules({0: to_closed(far)}, 100)
    for number in (-1, 256):
        with pytest.raises(ValueError, match=f"rule number is {number}"):
            packets.set_rules({number: CaptureRule()}, 100)
    for snaplen_bytes in (0, WHOLE + 1):
        with pytest.raises(ValueError, match=f"snaplen_bytes is {snaplen_bytes}"):
            packets.set_rules({0: CaptureRule()}, snaplen_bytes)

    def refuse(_: object) -> None:
        raise BpfError(1, "made up")

    with monkeypatch.context() as patch:
        patch.setattr(RawTracepoint, "attach", refuse)
        with pytest.raises(CaptureError, match="made up"):
            packets.set_rules({1: CaptureRule()}, 100)
    send(near, far, 5)
    assert numbers(packets, 0) == list(range(5))


def test_losses_are_told_while_interfaces_are_attached_to() -> None:
    attaching, may_go_on = threading.Event(), threading.Event()

    def attach(link: Link) -> Attachment:
        attaching.set()
        assert may_go_on.wait(10)
        return FakeTc().attach(link)

    hooks = RecordHooks(attach)
    hooks.want(None)
    maps = dict.fromkeys(MAPS, -1)
    packets = PacketCapture(maps, hooks=hooks, drops=None, pages_per_cpu=8, coalesce_max_s=0.01)
    link = Link(2, "eth0", None, None, None, up=True, ethernet=True)
    following = threading.Thread(target=packets.follow, args=({2: link},))
    following.start()
    assert attaching.wait(10)
    asking = threading.Thread(target=packets.lost, daemon=True)
    asking.start()
    asking.join(5)
    assert not asking.is_alive()
    may_go_on.set()
    following.join()
