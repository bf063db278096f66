"""Packet tuples as people write them in, messages out: `SOURCE PORT DESTINATION PORT PROTOCOL`.

Words that are left out at the end, and `*`, `any`, `-` or `0`, stand for anything. Does no I/O.
"""

from ipaddress import ip_network
from typing import Final

from palomar.errors import InvalidRequest
from palomar_proto.palomar.v1.recordings_pb2 import PacketTuple

_ANY: Final = frozenset({"*", "any", "-", "0"})
_WORDS_MAX: Final = 5
_PORT_MAX: Final = 65_535
_PROTOCOL_MAX: Final = 255
_PROTOCOLS: Final = {
    # Assigned Internet Protocol Numbers, IANA.
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "icmp6": 58,
    "sctp": 132,
}


def parse_packet_tuple(text: str) -> PacketTuple:
    """Read a tuple such as `10.0.0.0/8 * 10.1.0.7 80 tcp`.

    Raises:
        InvalidRequest: A word means nothing, or there are too many or none.
    """
    words = text.split()
    if not 0 < len(words) <= _WORDS_MAX:
        raise InvalidRequest(
            f"tuple {text!r} has {len(words)} words; write it as SOURCE PORT DESTINATION PORT "
            "PROTOCOL, with * for any"
        )
    source, source_port, destination, destination_port, protocol = [
        *words,
        *["*"] * (_WORDS_MAX - len(words)),
    ]
    return PacketTuple(
        source_cidr=_network(source, text),
        source_port=_port(source_port, text),
        destination_cidr=_network(destination, text),
        destination_port=_port(destination_port, text),
        protocol=_protocol(protocol, text),
    )


def _network(word: str, text: str) -> str:
    if word.lower() in _ANY:
        return ""
    try:
        return str(ip_network(word, strict=False))
    except ValueError:
        raise InvalidRequest(
            f"{word!r} in tuple {text!r} is no address and no prefix; write it like 10.0.0.0/8, "
            "fd00::7 or *"
        ) from None


def _port(word: str, text: str) -> int:
    return 0 if word.lower() in _ANY else _number(word, text, "port", _PORT_MAX)


def _protocol(word: str, text: str) -> int:
    if word.lower() in _ANY:
        return 0
    known = _PROTOCOLS.get(word.lower())
    return known or _number(word, text, "protocol", _PROTOCOL_MAX)


def _number(word: str, text: str, kind: str, maximum: int) -> int:
    digits = word.isascii() and word.isdigit() and len(word) <= len(str(maximum))
    if not digits or not 0 < int(word) <= maximum:
        raise InvalidRequest(
            f"{word!r} in tuple {text!r} is no {kind}; it is between 1 and {maximum}, or *"
        )
    return int(word)
