from __future__ import annotations

import ipaddress
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_server.recording.packet_headers import PacketHeaders, read_headers
from palomar_server.table import Protocol
from palomar_server.testing import packet, transport
from tests.server.recording.random_packets import frames, packets_of

TAG = b"\x81\0\0\x05"
UDP = transport(Protocol.UDP, 53, 80)


def read(*contents: bytes, raw: bool = False) -> PacketHeaders:
    return read_headers(packets_of(contents, raw=[raw] * len(contents)))


def tagged(content: bytes, tags: int) -> bytes:
    return content[:12] + TAG * tags + content[12:]


def ipv6(following: int, payload: bytes) -> bytes:
    return packet("fd00::1", "fd00::2", following, payload)


def said(headers: PacketHeaders) -> tuple[int, str, str, int, bool, int, int]:
    source = int(headers.source_hi[0]) << 64 | int(headers.source_lo[0])
    destination = int(headers.destination_hi[0]) << 64 | int(headers.destination_lo[0])
    return (
        int(headers.version[0]),
        str(ipaddress.IPv6Address(source)),
        str(ipaddress.IPv6Address(destination)),
        int(headers.protocol[0]),
        bool(headers.has_ports[0]),
        int(headers.source_port[0]),
        int(headers.destination_port[0]),
    )


NOTHING = (0, "::", "::", 0, False, 0, 0)
OF_UDP = (6, "fd00::1", "fd00::2", 17, True, 53, 80)
LATER = (6, "fd00::1", "fd00::2", 17, False, 0, 0)


def test_addresses_of_ipv4_are_mapped() -> None:
    headers = read(packet("10.0.0.1", "10.0.0.2", Protocol.UDP, UDP))
    assert said(headers) == (4, "::ffff:a00:1", "::ffff:a00:2", 17, True, 53, 80)


def test_packets_without_ethernet_header_begin_with_ip() -> None:
    for ends in (("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")):
        headers = read(packet(*ends, Protocol.UDP, UDP, ethernet=False), raw=True)
        assert said(headers)[3:] == (17, True, 53, 80)


def test_two_vlan_tags_are_stepped_over_and_no_third() -> None:
    for tags, expected in ((1, OF_UDP), (2, OF_UDP), (3, NOTHING)):
        assert said(read(tagged(ipv6(17, UDP), tags))) == expected


def test_extension_headers_of_ipv6_are_stepped_over() -> None:
    options = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    for kind in (0, 43, 60, 135):
        assert said(read(ipv6(kind, options + UDP))) == OF_UDP
    # Its length counts words of four bytes, but for two.
    assert said(read(ipv6(51, bytes([17, 1]) + bytes(10) + UDP))) == OF_UDP
    assert said(read(ipv6(0, bytes([60, 0]) + bytes(6) + options + UDP))) == OF_UDP


def test_a_ninth_extension_header_is_not_looked_behind() -> None:
    options = bytes([60, 0, 1, 4, 0, 0, 0, 0])
    last = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    assert said(read(ipv6(60, options * 7 + last + UDP))) == OF_UDP
    assert said(read(ipv6(60, options * 8 + last + UDP)))[3:] == (60, False, 0, 0)


def test_only_the_first_fragment_has_ports() -> None:
    first, later = (struct.pack(">BBHI", 17, 0, offset << 3 | 1, 7) for offset in (0, 1))
    assert said(read(ipv6(44, first + UDP))) == OF_UDP
    assert said(read(ipv6(44, later + UDP))) == LATER
    content = bytearray(packet("10.0.0.1", "10.0.0.2", Protocol.UDP, UDP))
    content[20:22] = b"\x20\x01"
    assert said(read(bytes(content)))[3:] == (17, False, 0, 0)


def test_icmp_has_no_ports() -> None:
    headers = read(packet(protocol=Protocol.ICMP, body=transport(Protocol.ICMP)))
    assert said(headers)[3:] == (1, False, 0, 0)


def test_options_of_ipv4_are_stepped_over() -> None:
    content = bytearray(packet("10.0.0.1", "10.0.0.2", Protocol.UDP, b"\1\1\1\1" + UDP))
    content[14] = 0x46
    assert said(read(bytes(content)))[3:] == (17, True, 53, 80)


def test_what_is_not_ip_has_nothing() -> None:
    arp = packet()[:12] + b"\x08\x06" + bytes(28)
    for content in (arp, b"", b"\1", packet()[:33], packet()[:12], packet()[:14] + b"\x65" * 40):
        assert said(read(content)) == NOTHING
    assert said(read(b"\x05" * 60, raw=True)) == NOTHING


def test_a_packet_that_ends_before_its_ports_has_none() -> None:
    tcp, udp = packet(), packet(protocol=Protocol.UDP)
    for content, protocol, needed in ((tcp, 6, 14), (udp, 17, 4)):
        assert said(read(content[: 34 + needed - 1]))[3:] == (protocol, False, 0, 0)
        assert said(read(content[: 34 + needed]))[3:] == (protocol, True, 40_000, 80)


@settings(max_examples=40, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=12))
def test_many_packets_are_read_as_each_alone(made: list[tuple[bytes, bool]]) -> None:
    contents, raw = [one for one, _ in made], [is_raw for _, is_raw in made]
    together = read_headers(packets_of(contents, raw=raw))
    for at, (content, is_raw) in enumerate(made):
        alone = read(content, raw=is_raw)
        for column in PacketHeaders.__slots__:
            assert getattr(together, column)[at] == getattr(alone, column)[0]
