from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_recorder.packets import LINKTYPE_ETHERNET
from palomar_server.errors import InvalidRequest
from palomar_server.recording.pcap_filter import EXPRESSION_CHARACTERS_MAX, PcapExpression
from palomar_server.recording.pcap_library import ExpressionError, compile_expression
from palomar_server.table import Protocol
from palomar_server.testing import packet
from tests.server.recording.pcap_reference import accepts
from tests.server.recording.random_packets import frames, packets_of

if TYPE_CHECKING:
    from pathlib import Path

EXPRESSIONS = (
    "",
    "tcp",
    "udp or icmp or icmp6",
    "port 80",
    "port http or domain",
    "tcp src port 53 and dst portrange 50-90",
    "host 10.0.0.1 and not dst host 192.0.2.1",
    "net 10.0.0.0/8 or ip6 net fd00::/8",
    "src net 10.0.0.0 mask 255.255.255.0",
    "ip6 host fd00::1",
    "ether src 02:00:00:00:00:01",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "ip[6:2] & 0x1fff != 0",
    "ip proto \\tcp or ip6 proto 17",
    "len >= 60 and less 80",
    "vlan 5 and ip",
    "vlan and vlan and tcp",
    "ip multicast or ether multicast",
    "(ip[0] & 0xf) * 4 + 20 < ip[2:2]",
    "arp or proto 132",
    "icmp6[icmp6type] == icmp6-routerrenum or icmp6[0] = icmp6-mobileprefixadvert or l1 or iih",
    "ether proto 0x0800 and ip[8] == 64",
    "udp[4:2] / 2 = 4 or tcp[0:2] % 7 = 1 or ip[8] << 2 > 255",
)
_DLT_RAW = 12


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(EXPRESSIONS), st.lists(frames(), min_size=1, max_size=8))
def test_it_selects_what_libpcap_selects(text: str, made: list[tuple[bytes, bool]]) -> None:
    contents, raw = [one for one, _ in made], [is_raw for _, is_raw in made]
    chosen = PcapExpression(text).mask(packets_of(contents, raw=raw)).tolist()
    expected = []
    for content, is_raw in made:
        try:
            program = compile_expression(text, _DLT_RAW if is_raw else LINKTYPE_ETHERNET)
        except ExpressionError:
            assert is_raw
            expected.append(False)
        else:
            expected.append(accepts(program, content, len(content)))
    assert chosen == expected


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
@pytest.mark.parametrize("text", ["tcp port 80", "icmp or ip6", "not host 192.0.2.2", "greater 60"])
def test_it_selects_what_tcpdump_selects(text: str, tmp_path: Path) -> None:
    made = [
        packet(),
        packet("fd00::1", "fd00::2", Protocol.UDP),
        packet(protocol=Protocol.ICMP),
        packet("192.0.2.9", "192.0.2.10"),
    ]
    file, chosen = tmp_path / "all.pcap", tmp_path / "chosen.pcap"
    records = b"".join(
        struct.pack("=IIII", at, 0, len(one), len(one)) + one for at, one in enumerate(made)
    )
    head = struct.pack("=IHHIIII", 0xA1B2_C3D4, 2, 4, 0, 0, 65_535, LINKTYPE_ETHERNET)
    file.write_bytes(head + records)
    subprocess.run(
        ["tcpdump", "-r", file, "-w", chosen, text], check=True, capture_output=True, timeout=30
    )
    content, at, seconds = chosen.read_bytes(), 24, []
    while at < len(content):
        second, _, size, _ = struct.unpack_from("=IIII", content, at)
        seconds.append(second)
        at += 16 + size
    assert PcapExpression(text).mask(packets_of(made)).nonzero()[0].tolist() == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("example.org", "host example.org", "net loopback", "cafe", "host cafe", "tcp http"),
        *("src foo", "port http or udp domain", "not (port 80 or host a.b)", "host \\tcp"),
        *("ether host router", "gateway router", "host 1and1.example", "host foo:bar"),
        *("dst host x-y", "1.2.3.4.5", "on eth0"),
    ],
)
def test_names_that_would_be_looked_up_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"not looked up; write addresses"):
        PcapExpression(text)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_addresses_and_names_of_ports_and_protocols_are_taken(text: str) -> None:
    PcapExpression(text)


def test_what_does_not_compile_is_refused_with_the_librarys_words() -> None:
    with pytest.raises(InvalidRequest) as caught:
        PcapExpression("tcp port")
    assert str(caught.value).startswith("pcap_filter: 'tcp port' does not compile: ")
    assert "syntax error" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["x" * (EXPRESSION_CHARACTERS_MAX + 1), "tcp\0", "tcp \N{BULLET}", "tcp\x1b[2J"]
)
def test_text_that_is_no_expression_is_not_compiled(text: str) -> None:
    with pytest.raises(InvalidRequest):
        PcapExpression(text)


def test_one_that_takes_too_many_instructions_is_refused() -> None:
    PcapExpression("port " + " or ".join(str(at) for at in range(60)))
    with pytest.raises(InvalidRequest, match=r"over 4096; shorten it, or use filters or tuples"):
        PcapExpression("port " + " or ".join(str(at) for at in range(80)))


def test_loops_over_headers_are_not_supported() -> None:
    with pytest.raises(InvalidRequest, match="do without protochain"):
        PcapExpression("ip6 protochain 17")


@pytest.mark.parametrize("text", ["inbound", "tcp and not outbound"])
def test_directions_that_no_packet_tells_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="traffic_direction"):
        PcapExpression(text)
