"""The rare blocks of pcapng, and the options of all (draft-ietf-opsawg-pcapng).

Everything is in this machine's byte order, which the section header tells readers.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
INTERFACE_STATISTICS = 5
ENHANCED_PACKET = 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D

OPT_END = 0
OPT_COMMENT = 1
SHB_HARDWARE = 2
SHB_OS = 3
SHB_USER_APPLICATION = 4
IF_NAME = 2
IF_TSRESOL = 9
ISB_STARTTIME = 2
ISB_ENDTIME = 3
ISB_FILTERACCEPT = 6
ISB_OSDROP = 7
ISB_USRDELIV = 8

TEXT_BYTES_MAX = 65_532
"""Of an option: its length is 16 bits wide, and this is a multiple of four."""
_VERSION = (1, 0)
_LENGTH_UNKNOWN = -1
_NANOSECONDS = 9


def text_option(code: int, text: str, bytes_max: int = TEXT_BYTES_MAX) -> bytes:
    """A text; cut between two characters if it is longer than `bytes_max`. Empty for no text."""
    encoded = text.encode(errors="replace")
    if len(encoded) > bytes_max:
        encoded = encoded[:bytes_max].decode(errors="ignore").encode()
    return _option(code, encoded) if encoded else b""


def number_option(code: int, number: int) -> bytes:
    """A number of 64 bits."""
    return _option(code, struct.pack("=Q", number))


def time_option(code: int, time_ns: int) -> bytes:
    """A time: the upper half first, whatever the byte order."""
    return _option(code, _time(time_ns))


def ended(options: bytes) -> bytes:
    """Options with their end mark; empty for none."""
    return options + struct.pack("=HH", OPT_END, 0) if options else b""


def section_header(options: Iterable[bytes]) -> bytes:
    """What a file begins with."""
    head = struct.pack("=LHHq", BYTE_ORDER_MAGIC, *_VERSION, _LENGTH_UNKNOWN)
    return _block(SECTION_HEADER, head, options)


def interface_description(name: str, linktype: int, snaplen_bytes: int) -> bytes:
    """An interface, whose number is how many of these stand before it. Times are nanoseconds.

    Args:
        name: empty if unknown.
        linktype: of tcpdump.org's list.
        snaplen_bytes: 0 for no limit.
    """
    options = text_option(IF_NAME, name), _option(IF_TSRESOL, bytes([_NANOSECONDS]))
    return _block(INTERFACE_DESCRIPTION, struct.pack("=HHL", linktype, 0, snaplen_bytes), options)


def interface_statistics(number: int, time_ns: int, options: Iterable[bytes]) -> bytes:
    """Counts of the interface with that number, as they were at that time."""
    return _block(INTERFACE_STATISTICS, struct.pack("=L", number) + _time(time_ns), options)


def _time(time_ns: int) -> bytes:
    return struct.pack("=LL", time_ns >> 32, time_ns & 0xFFFF_FFFF)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, head: bytes, options: Iterable[bytes]) -> bytes:
    content = head + ended(b"".join(options))
    length = len(content) + 12
    return struct.pack("=LL", kind, length) + content + struct.pack("=L", length)
