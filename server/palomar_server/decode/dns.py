"""DNS in access logs: the query or answer as flow.DNS, and its summary.

Rules: Hubble's L7 parser. Names of types and codes are those of gopacket, which knows the ones of
RFC 1035 and a few more.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from palomar_proto.flow import flow_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

_TYPES = {
    1: "A",
    2: "NS",
    3: "MD",
    4: "MF",
    5: "CNAME",
    6: "SOA",
    7: "MB",
    8: "MG",
    9: "MR",
    10: "NULL",
    11: "WKS",
    12: "PTR",
    13: "HINFO",
    14: "MINFO",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    41: "OPT",
    64: "SVCB",
    65: "HTTPS",
    256: "URI",
}
_CODES = {
    1: "Format Error",
    2: "Server Failure ",
    3: "Non-Existent Domain",
    4: "Not Implemented",
    5: "Query Refused",
    6: "Name Exists when it should not",
    7: "RR Set Exists when it should not",
    8: "RR Set that should exist does not",
    9: "Server Not Authoritative for zone",
    10: "Name not contained in zone",
    16: "Bad OPT Version",
    17: "Key not recognized",
    18: "Signature out of time window",
    19: "Bad TKEY Mode",
    20: "Duplicate key name",
    21: "Algorithm not supported",
    22: "Bad Truncation",
    23: "Bad Cookie",
}
_UNKNOWN = "Unknown"
_CODE_BITS = 0xFF
"""The summary reads the code as the 8 bits that gopacket has for it."""
_RCODE_MASK = (1 << 32) - 1
_FROM_PROXY = "proxy"
_IPV4_BYTES, _IPV6_BYTES = 4, 16
_ESCAPES = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    '"': r"\"",
    "\\": r"\\",
}
_BYTE_END, _PLANE_END = 0x80, 0x10000


def dns_message(record: dict[str, Any], *, request: bool) -> flow_pb2.DNS:
    """Describe a query or answer.

    Args:
        record: the `DNS` of a log record.
        request: it is a query, which has no answer in it.
    """
    message = flow_pb2.DNS(
        query=record.get("Query", ""),
        observation_source=record.get("ObservationSource", ""),
        qtypes=_type_names(record.get("QTypes", ())),
    )
    if not request:
        message.ips.extend(_address_text(data) for data in record.get("IPs", ()))
        message.ttl = record.get("TTL", 0)
        message.cnames.extend(record.get("CNAMEs", ()))
        message.rcode = record.get("RCode", 0) & _RCODE_MASK
        message.rrtypes.extend(_type_names(record.get("AnswerTypes", ())))
    return message


def dns_summary(message: flow_pb2.DNS, flow_type: int) -> str:
    """Such as `DNS Query a.example. A`, or `DNS Answer "192.0.2.1" TTL: 30 (Proxy a.example. A)`.

    Args:
        message: as of `dns_message`.
        flow_type: flow.L7FlowType.
    """
    types = ",".join(message.qtypes)
    if flow_type == flow_pb2.REQUEST:
        return f"DNS Query {message.query} {types}"
    if flow_type != flow_pb2.RESPONSE:
        return ""
    source = "Proxy" if message.observation_source == _FROM_PROXY else "Query"
    what = f"TTL: {message.ttl} ({source} {message.query} {types})"
    return f"DNS Answer {_answer(message)} {what}"


def _answer(message: flow_pb2.DNS) -> str:
    code = message.rcode & _CODE_BITS
    if code:
        return f"RCode: {_CODES.get(code, _UNKNOWN)}"
    parts = []
    if message.ips:
        parts.append(_quoted(",".join(message.ips)))
    if message.cnames:
        parts.append(f"CNAMEs: {_quoted(','.join(message.cnames))}")
    return " ".join(parts)


def _type_names(numbers: Iterable[int]) -> list[str]:
    return [_TYPES.get(number, _UNKNOWN) for number in numbers]


def _address_text(data: bytes) -> str:
    """An address as Go's netip.Addr marshals it: 4 bytes, or 16 and perhaps the name of a zone."""
    if not data:
        return "invalid IP"
    if len(data) == _IPV4_BYTES:
        return str(ipaddress.IPv4Address(data))
    address = ipaddress.IPv6Address(data[:_IPV6_BYTES])
    mapped = address.ipv4_mapped
    text = str(address) if mapped is None else f"::ffff:{mapped}"
    zone = data[_IPV6_BYTES:].decode(errors="replace")
    return f"{text}%{zone}" if zone else text


def _quoted(text: str) -> str:
    """As Go quotes: what cannot be printed stands as an escape sequence."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    if number < _BYTE_END:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < _PLANE_END else f"\\U{number:08x}"
