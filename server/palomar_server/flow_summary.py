"""The text of a flow's `Summary`: the transport header in a few words, as Hubble writes it.

ICMP and IGMP names are those that gopacket gives the types and codes of RFC 792, RFC 4443, RFC 4861
and RFC 3376.
"""

from __future__ import annotations

from functools import lru_cache

from palomar_server.table import Protocol

TCP_FLAGS = (
    ("SYN", 0x002),
    ("ACK", 0x010),
    ("RST", 0x004),
    ("FIN", 0x001),
    ("PSH", 0x008),
    ("URG", 0x020),
    ("ECE", 0x040),
    ("CWR", 0x080),
    ("NS", 0x100),
)
"""Name and bit of the nine TCP flags, in the order in which a summary lists them."""

_ICMPV4_CODES: dict[int, tuple[str, dict[int, str]]] = {
    0: ("EchoReply", {}),
    3: (
        "DestinationUnreachable",
        {
            0: "Net",
            1: "Host",
            2: "Protocol",
            3: "Port",
            4: "FragmentationNeeded",
            5: "SourceRoutingFailed",
            6: "NetUnknown",
            7: "HostUnknown",
            8: "SourceIsolated",
            9: "NetAdminProhibited",
            10: "HostAdminProhibited",
            11: "NetTOS",
            12: "HostTOS",
            13: "CommAdminProhibited",
            14: "HostPrecedence",
            15: "PrecedenceCutoff",
        },
    ),
    4: ("SourceQuench", {}),
    5: ("Redirect", {0: "Net", 1: "Host", 2: "TOS+Net", 3: "TOS+Host"}),
    8: ("EchoRequest", {}),
    9: ("RouterAdvertisement", {}),
    10: ("RouterSolicitation", {}),
    11: ("TimeExceeded", {0: "TTLExceeded", 1: "FragmentReassemblyTimeExceeded"}),
    12: ("ParameterProblem", {0: "PointerIndicatesError", 1: "MissingOption", 2: "BadLength"}),
    13: ("TimestampRequest", {}),
    14: ("TimestampReply", {}),
    15: ("InfoRequest", {}),
    16: ("InfoReply", {}),
    17: ("AddressMaskRequest", {}),
    18: ("AddressMaskReply", {}),
}
_ICMPV6_CODES: dict[int, tuple[str, dict[int, str]]] = {
    1: (
        "DestinationUnreachable",
        {
            0: "NoRouteToDst",
            1: "AdminProhibited",
            2: "BeyondScopeOfSrc",
            3: "AddressUnreachable",
            4: "PortUnreachable",
            5: "SrcAddressFailedPolicy",
            6: "RejectRouteToDst",
        },
    ),
    2: ("PacketTooBig", {}),
    3: ("TimeExceeded", {0: "HopLimitExceeded", 1: "FragmentReassemblyTimeExceeded"}),
    4: (
        "ParameterProblem",
        {0: "ErroneousHeaderField", 1: "UnrecognizedNextHeader", 2: "UnrecognizedIPv6Option"},
    ),
    128: ("EchoRequest", {}),
    129: ("EchoReply", {}),
    133: ("RouterSolicitation", {}),
    134: ("RouterAdvertisement", {}),
    135: ("NeighborSolicitation", {}),
    136: ("NeighborAdvertisement", {}),
    137: ("Redirect", {}),
}

_IGMP_TYPES = {
    0x11: "IGMP Membership Query",
    0x12: "IGMPv1 Membership Report",
    0x16: "IGMPv2 Membership Report",
    0x17: "Leave Group",
    0x22: "IGMPv3 Membership Report",
}


@lru_cache(maxsize=1024)
def tcp_summary(flags: int) -> str:
    """Such as `TCP Flags: SYN, ACK`."""
    return "TCP Flags: " + ", ".join(name for name, bit in TCP_FLAGS if flags & bit)


@lru_cache(maxsize=1024)
def icmp_summary(protocol: int, icmp_type: int, code: int, mtu: int = 0) -> str:
    """Such as `ICMPv4 DestinationUnreachable(Port)`; unknown types as numbers.

    Args:
        protocol: ICMP or ICMPv6.
        icmp_type: of the message.
        code: likewise.
        mtu: what the message says that the next link takes, in bytes. It is appended, as in
            `ICMPv6 PacketTooBig, MTU 1400`, where Hubble leaves it out; 0 is none.
    """
    text = _icmp_name(protocol, icmp_type, code)
    return f"{text}, MTU {mtu}" if mtu else text


def _icmp_name(protocol: int, icmp_type: int, code: int) -> str:
    family, types = (
        ("ICMPv4", _ICMPV4_CODES) if protocol == Protocol.ICMP else ("ICMPv6", _ICMPV6_CODES)
    )
    if icmp_type not in types:
        return f"{family} {icmp_type}({code})"
    name, codes = types[icmp_type]
    if not codes and code == 0:
        return f"{family} {name}"
    return f"{family} {name}({codes.get(code, f'Code: {code}')})"


def igmp_summary(igmp_type: int) -> str:
    """Such as `IGMP IGMPv2 Membership Report`; nothing behind the space for unknown types."""
    return f"IGMP {_IGMP_TYPES.get(igmp_type, '')}"
