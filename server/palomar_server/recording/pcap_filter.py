"""Filter expressions in the language of tcpdump, pcap-filter(7), applied to batches of packets.

libpcap compiles them, for each link type apart, and `classic_bpf` runs them. libpcap would look up
names of hosts and networks, by DNS and for as long as that takes; so expressions with such names
are refused before it sees them.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import numpy as np

from palomar_recorder.packets import LINKTYPE_ETHERNET, LINKTYPE_RAW
from palomar_server.errors import InvalidRequest
from palomar_server.recording.classic_bpf import check_program, run
from palomar_server.recording.pcap_library import ExpressionError, compile_expression

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_recorder.packets import Packets
    from palomar_server.table import Mask

EXPRESSION_CHARACTERS_MAX = 1_024
"""Some 50 addresses: the compiler's time grows with the square, and is half a second then."""
_DLTS = {LINKTYPE_ETHERNET: 1, LINKTYPE_RAW: 12}
"""libpcap's own numbers of link types, which differ from those in files."""

_TOKEN = re.compile(r"\\[^\s!()]+|[A-Za-z0-9:$_.-]+|[^\s]")
_NUMBER = re.compile(r"\$[0-9A-Fa-f]+|0[xX][0-9A-Fa-f]+|[0-9]+(?:\.[0-9]+){0,3}")
_MAC = re.compile(
    r"[0-9A-Fa-f]{1,2}(?:[:.-][0-9A-Fa-f]{1,2}){5}|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}"
)
_RANGE = re.compile(r"[0-9]+-[0-9]+")
_NAMED = frozenset({"port", "portrange", "proto", "protochain"})
"""Behind these a name is that of a service or protocol, which files of the node tell."""
_TYPES = _NAMED | {"host", "net", "gateway"}
_NEUTRAL_WORDS = """
    and or not mask less greater len length broadcast multicast
    tcpflags tcp-fin tcp-syn tcp-rst tcp-push tcp-ack tcp-urg tcp-ece tcp-cwr
    icmptype icmpcode icmp-echoreply icmp-unreach icmp-sourcequench icmp-redirect icmp-echo
    icmp-routeradvert icmp-routersolicit icmp-timxceed icmp-paramprob icmp-tstamp
    icmp-tstampreply icmp-ireq icmp-ireqreply icmp-maskreq icmp-maskreply
    icmp6type icmp6code icmp6-echo icmp6-echoreply icmp6-multicastlistenerquery
    icmp6-multicastlistenerreportv1 icmp6-multicastlistenerreportv2
    icmp6-multicastlistenerdone icmp6-routersolicit icmp6-routeradvert icmp6-neighborsolicit
    icmp6-neighboradvert icmp6-redirect icmp6-destinationunreach icmp6-destinationunreachable
    icmp6-packettoobig icmp6-timeexceeded icmp6-parameterproblem icmp6-routerrenum
    icmp6-nodeinformationquery icmp6-nodeinformationresponse icmp6-ineighbordiscoverysolicit
    icmp6-ineighbordiscoveryadvert icmp6-homeagentdiscoveryrequest icmp6-homeagentdiscoveryreply
    icmp6-mobileprefixsolicit icmp6-mobileprefixadvert icmp6-certpathsolicit icmp6-certpathadvert
    icmp6-multicastrouteradvert icmp6-multicastroutersolicit icmp6-multicastrouterterm
    l1 l2 iih lsp snp csnp psnp
"""
_QUALIFIER_WORDS = """
    src dst ether link fddi tr wlan arp rarp ip ip6 tcp udp sctp icmp icmp6 igmp
    igrp pim vrrp carp ah esp atalk aarp decnet lat moprc mopdl iso clnp esis isis stp ipx netbeui
    vlan mpls pppoed pppoes geneve vxlan llc
"""
_DIRECTIONS = frozenset({"inbound", "outbound"})
"""libpcap compiles them to what only a socket of the kernel knows, and nothing would match."""
_NEUTRAL = frozenset(_NEUTRAL_WORDS.split())
_QUALIFIERS = frozenset(_QUALIFIER_WORDS.split())
"""Behind these a name is that of a host, unless a type follows."""


class PcapExpression:
    """An expression.

    Args:
        text: as one writes it for tcpdump, but for names of hosts and networks.
        field: its place in the request, for errors.

    Raises:
        InvalidRequest: libpcap does not understand it, with its words; or it would have to loop
            over a packet's headers.
        NotReady: there is no libpcap.
    """

    def __init__(self, text: str, field: str = "pcap_filter") -> None:
        self.text = text
        _check_text(text, field)
        self._programs: dict[int, NDArray[np.void]] = {}
        for linktype, dlt in _DLTS.items():
            try:
                program = compile_expression(text, dlt)
            except ExpressionError as error:
                if linktype == LINKTYPE_ETHERNET:
                    raise InvalidRequest(field, text, f"does not compile: {error}") from None
                # What asks for Ethernet addresses selects nothing where there are none.
                continue
            try:
                check_program(program)
            except ValueError as error:
                rule = f"cannot be run here: {error}; do without protochain"
                raise InvalidRequest(field, text, rule) from None
            self._programs[linktype] = program

    def mask(self, packets: Packets) -> Mask:
        """Which packets it selects, shape (n,)."""
        linktypes = np.array([one.linktype for one in packets.interface_table], np.int64)
        distinct = set(linktypes.tolist())
        if len(distinct) == 1 and (program := self._programs.get(distinct.pop())) is not None:
            return run(program, packets)
        mask: Mask = np.zeros(len(packets), np.bool_)
        of_packet = linktypes[packets.interfaces]
        for linktype, program in self._programs.items():
            which = (of_packet == linktype).nonzero()[0]
            if len(which):
                mask[which] = run(program, packets.take(which))
        return mask


def _check_text(text: str, field: str) -> None:
    if len(text) > EXPRESSION_CHARACTERS_MAX:
        raise InvalidRequest(field, text, f"is over {EXPRESSION_CHARACTERS_MAX} characters long")
    if not text.isascii() or not text.replace("\n", " ").replace("\t", " ").isprintable():
        raise InvalidRequest(field, text, "has characters that no expression has")
    # Names count as what the type before them says: `port http or domain` are both ports.
    kind = ""
    for token in _TOKEN.findall(text):
        if token in _DIRECTIONS:
            rule = f"has {token!r}, which packets do not tell; filter by traffic_direction instead"
            raise InvalidRequest(field, text, rule)
        if token in _TYPES:
            kind = token
        elif token in _QUALIFIERS:
            kind = ""
        elif token[0].isalnum() or token[0] in "\\$_":
            for word in [token] if _is_address(token) else token.split(":"):
                _check_word(word, kind, text, field)


def _check_word(word: str, kind: str, text: str, field: str) -> None:
    if not word or word in _NEUTRAL or word in _QUALIFIERS or word in _TYPES or _is_address(word):
        return
    if kind not in _NAMED:
        rule = (
            f"has {word!r}, which is no word of the language; names of hosts and networks are "
            "not looked up; write addresses"
        )
        raise InvalidRequest(field, text, rule)


def _is_address(word: str) -> bool:
    if any(one.fullmatch(word) for one in (_NUMBER, _MAC, _RANGE)):
        return True
    try:
        ipaddress.IPv6Address(word)
    except ValueError:
        return False
    return True
