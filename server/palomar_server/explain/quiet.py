"""A connection that hangs although the packet in question was not dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.address import format_address
from palomar_server.explain.wording import destination_name, packet_name, port_text, source_name
from palomar_server.flow_summary import icmp_summary
from palomar_server.table import Protocol

if TYPE_CHECKING:
    from palomar_server.explain.evidence import Evidence
    from palomar_server.explain.subject import Subject

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_ICMP, _ICMPV6 = int(Protocol.ICMP), int(Protocol.ICMPV6)
_NO_LISTENER = explanation_pb2.DROP_CAUSE_NO_LISTENER
_FIREWALL = explanation_pb2.DROP_CAUSE_FIREWALL
_ROUTING = explanation_pb2.DROP_CAUSE_ROUTING
_PATH_MTU = explanation_pb2.DROP_CAUSE_PATH_MTU
_CAUSES = {
    (_ICMP, 3, 2): _NO_LISTENER,
    (_ICMP, 3, 3): _NO_LISTENER,
    (_ICMP, 3, 4): _PATH_MTU,
    (_ICMP, 3, 9): _FIREWALL,
    (_ICMP, 3, 10): _FIREWALL,
    (_ICMP, 3, 13): _FIREWALL,
    (_ICMPV6, 1, 1): _FIREWALL,
    (_ICMPV6, 1, 4): _NO_LISTENER,
    (_ICMPV6, 2, 0): _PATH_MTU,
}
"""By protocol, type and code of an ICMP error (RFC 792, RFC 1812, RFC 4443); others: routing."""
_MEANINGS = {
    _NO_LISTENER: "The other end is there, but nobody listens on that port.",
    _FIREWALL: "Something on the way, or the other end, is configured to refuse this traffic.",
    _ROUTING: "Somebody on the way could not pass the packet on.",
    _PATH_MTU: "A packet was larger than what a link on its way takes.",
}
_CHECKS = {
    _NO_LISTENER: (
        "What listens there, run where $destination is: ss -lntup 'sport = :$destination_port'",
        "Whether it listens on the right address, and not only on 127.0.0.1 or ::1",
    ),
    _FIREWALL: (
        "The rules of the host that refused it: nft list ruleset; iptables-save",
        "The policies that select it: kubectl get netpol -A",
    ),
    _ROUTING: (
        "The route that is taken, run where $source is: ip route get $destination",
        "Where the path ends: tracepath -n $destination",
    ),
    _PATH_MTU: ("Where on the path the size drops: tracepath -n $destination",),
}
_NO_ANSWER_CHECKS = (
    "Whether the packet reaches the other end: ask the server of the node where $destination is",
    "Whether it answers: ss -tin 'dst = $source', run where $destination is",
    "The route back, run there: ip route get $source",
)


@dataclass(frozen=True, slots=True)
class QuietFinding:
    """What the connection's other packets tell."""

    cause: explanation_pb2.DropCause.ValueType
    headline: str
    meaning: str
    checks: tuple[str, ...]


def explain_quiet(subject: Subject, evidence: Evidence) -> QuietFinding:
    """Tell what is wrong with a connection, nothing of which was dropped here.

    Args:
        subject: one of its packets.
        evidence: what the ring holds of it.
    """
    return _by_icmp(evidence) or _by_reset(subject, evidence) or _by_silence(subject, evidence)


def _by_icmp(evidence: Evidence) -> QuietFinding | None:
    which = evidence.quoted.nonzero()[0]
    if not which.size:
        return None
    row = evidence.rows[which[-1]]
    protocol, icmp_type, code = int(row["protocol"]), int(row["icmp_type"]), int(row["icmp_code"])
    cause = _CAUSES.get((protocol, icmp_type, code), _ROUTING)
    teller = format_address(int(row["source_hi"]), int(row["source_lo"]))
    told = format_address(int(row["destination_hi"]), int(row["destination_lo"]))
    summary = icmp_summary(protocol, icmp_type, code, int(row["icmp_mtu"]))
    return QuietFinding(
        cause,
        f"{teller} answered {told} with {summary}, about a packet of this connection.",
        _MEANINGS[cause],
        _CHECKS[cause],
    )


def _by_reset(subject: Subject, evidence: Evidence) -> QuietFinding | None:
    rows = evidence.rows
    resets = (rows["protocol"] == Protocol.TCP) & (rows["tcp_flags"] & _RST != 0)
    which = resets.nonzero()[0]
    if not which.size:
        return None
    last = int(which[-1])
    refuser, other = destination_name(subject.flow), source_name(subject.flow)
    if evidence.forward[last]:
        refuser, other = other, refuser
    # Of a connection that never opened only SYNs go the other way.
    against = evidence.forward if evidence.reverse[last] else evidence.reverse
    flags = rows["tcp_flags"][against]
    if not np.count_nonzero(flags & _ACK) and np.count_nonzero(flags & _SYN):
        return QuietFinding(
            _NO_LISTENER,
            f"{refuser} refused the connection of {other}: it answered with a reset.",
            _MEANINGS[_NO_LISTENER],
            _CHECKS[_NO_LISTENER],
        )
    return QuietFinding(
        explanation_pb2.DROP_CAUSE_CONNECTION_STATE,
        f"{refuser} reset its connection with {other}.",
        "A reset ends a connection at once: a program closed its socket with data unread, or "
        "ended, or a box on the way no longer knew the connection.",
        ("What the program there logged at that time", "Timeouts of load balancers on the way"),
    )


def _by_silence(subject: Subject, evidence: Evidence) -> QuietFinding:
    flow = subject.flow
    ends = f"from {source_name(flow)} to {destination_name(flow)}{port_text(flow)}"
    if np.count_nonzero(evidence.reverse):
        return QuietFinding(
            explanation_pb2.DROP_CAUSE_UNKNOWN,
            f"{packet_name(flow)} {ends} was not dropped, and nothing seen of its connection tells "
            "of trouble.",
            "Packets of both directions were seen, no drop, no reset and no ICMP error.",
            _NO_ANSWER_CHECKS,
        )
    return QuietFinding(
        explanation_pb2.DROP_CAUSE_UNKNOWN,
        f"{packet_name(flow)} {ends} was not dropped where it was seen, and no answer was seen.",
        "It was lost or dropped farther on, the other end does not answer, or the answers take a "
        "way that is not observed.",
        _NO_ANSWER_CHECKS,
    )
