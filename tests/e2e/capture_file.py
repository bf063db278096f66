"""Reads capture files as simply as possible, to look at them with other eyes than the writer's.

Formats: the pcap file format (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), little
endian, as far as palomar writes them.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PCAP_NANOSECONDS, PCAP_MICROSECONDS = 0xA1B23C4D, 0xA1B2C3D4
SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
OPTION_COMMENT, OPTION_NAME = 1, 2
ETHERNET = 1
ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
TCP, UDP = 6, 17


@dataclass(frozen=True)
class Captured:
    """One packet of a file."""

    time_ns: int
    data: bytes
    original_bytes: int
    interface: str = ""
    comment: str = ""
    linktype: int = ETHERNET

    @property
    def ip(self) -> bytes:
        """From the IP header on; empty for other packets."""
        if self.linktype != ETHERNET:
            return self.data
        known = int.from_bytes(self.data[12:14], "big") in {ETHERTYPE_IPV4, ETHERTYPE_IPV6}
        return self.data[14:] if known else b""

    @property
    def transport(self) -> tuple[int, bytes]:
        """Protocol number, and the bytes from its header on; no options or extensions."""
        ip = self.ip
        if not ip:
            return -1, b""
        if ip[0] >> 4 == 4:
            length = int.from_bytes(ip[2:4], "big")
            return ip[9], ip[4 * (ip[0] & 15) : length or None]
        return ip[6], ip[40:]

    @property
    def ports(self) -> tuple[int, int]:
        """Source and destination port of TCP and UDP; (0, 0) otherwise."""
        protocol, rest = self.transport
        if protocol not in {TCP, UDP}:
            return 0, 0
        source, destination = struct.unpack(">HH", rest[:4])
        return source, destination


def read_capture(path: Path) -> list[Captured]:
    """As `parse_capture`, of a file."""
    return parse_capture(path.read_bytes())


def parse_capture(raw: bytes) -> list[Captured]:
    """All packets of a pcap or pcapng file; fails if its end is not that of a packet or block."""
    (magic,) = struct.unpack_from("<I", raw)
    return list(_pcap(raw) if magic != SECTION else _pcapng(raw))


def _pcap(raw: bytes) -> Iterator[Captured]:
    magic, _, _, _, _, _, linktype = struct.unpack_from("<IHHiIII", raw)
    assert magic in {PCAP_NANOSECONDS, PCAP_MICROSECONDS}
    unit_ns = 1 if magic == PCAP_NANOSECONDS else 1000
    position = 24
    while position < len(raw):
        second, fraction, captured, original = struct.unpack_from("<IIII", raw, position)
        position += 16
        data = raw[position : position + captured]
        assert len(data) == captured, "the last packet is cut"
        position += captured
        yield Captured(
            second * 1_000_000_000 + fraction * unit_ns, data, original, linktype=linktype
        )


def _pcapng(raw: bytes) -> Iterator[Captured]:
    interfaces: list[tuple[str, int]] = []
    position = 0
    while position < len(raw):
        kind, length = struct.unpack_from("<II", raw, position)
        block = raw[position : position + length]
        assert len(block) == length, "the last block is cut"
        assert struct.unpack_from("<I", block, length - 4) == (length,)
        position += length
        if kind == INTERFACE:
            (linktype,) = struct.unpack_from("<H", block, 8)
            interfaces.append((_options(block[16:-4]).get(OPTION_NAME, b"").decode(), linktype))
        elif kind == PACKET:
            index, high, low, captured, original = struct.unpack_from("<IIIII", block, 8)
            padded = (captured + 3) // 4 * 4
            options = _options(block[28 + padded : -4])
            name, linktype = interfaces[index]
            yield Captured(
                high << 32 | low,
                block[28 : 28 + captured],
                original,
                name,
                options.get(OPTION_COMMENT, b"").decode(),
                linktype,
            )


def _options(raw: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(raw):
        code, length = struct.unpack_from("<HH", raw, position)
        found[code] = raw[position + 4 : position + 4 + length]
        position += 4 + (length + 3) // 4 * 4
    return found


def wireshark(tool: str, *arguments: str, stdin: bytes | None = None) -> str:
    """Run a tool of Wireshark's, which must say nothing on standard error."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: `make setup` brings it")
    done = subprocess.run([tool, *arguments], input=stdin, capture_output=True, check=True)
    complaints = [
        line
        for line in done.stderr.decode().splitlines()
        if "Running as user" not in line and line.strip()
    ]
    assert complaints == []
    return done.stdout.decode()
