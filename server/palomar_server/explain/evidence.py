"""What the ring holds about a connection, sorted by how it is related to one of its packets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.explain.window import apart_ns
from palomar_server.flow_summary import TCP_FLAGS
from palomar_server.table import FLOW, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.explain.subject import Subject
    from palomar_server.explain.window import Window
    from palomar_server.table import Mask, Rows

SAME_PACKET_NS = 500_000_000
"""How far apart two events of one packet may be: a batch's time of receipt is all that Cilium's
have. Less than the second after which a SYN is sent again (RFC 6298 section 2)."""
_DECIDING = (int(MessageType.DROP), int(MessageType.POLICY_VERDICT))
_DROPPED = int(flow_pb2.DROPPED)


@dataclass(frozen=True, slots=True)
class Evidence:
    """n rows about a connection, by sequence."""

    rows: Rows
    sequences: NDArray[np.int64]
    forward: Mask
    """Packets in the direction of the subject."""
    reverse: Mask
    quoted: Mask
    """ICMP errors about packets of the connection."""
    itself: Mask
    """The subject, where it is there; it is of its direction too."""
    after: Mask
    """What came after the subject."""
    same_packet: Mask
    """The other events of the subject's packet: a verdict on it, its drop."""
    truncated: bool
    """Whether there were more rows."""

    @property
    def relations(self) -> NDArray[np.uint8]:
        """palomar.v1.FlowRelation of each row; 0 for the subject itself."""
        relation = np.zeros(len(self.rows), np.uint8)
        relation[self.forward] = explanation_pb2.FLOW_RELATION_BEFORE
        relation[self.reverse] = explanation_pb2.FLOW_RELATION_REVERSE_BEFORE
        # Each "after" is the number behind its "before".
        relation += (self.after & (relation != 0)).astype(np.uint8)
        relation[self.same_packet] = explanation_pb2.FLOW_RELATION_SAME_PACKET
        relation[self.quoted] = explanation_pb2.FLOW_RELATION_ICMP_ERROR
        relation[self.itself] = explanation_pb2.FLOW_RELATION_UNSPECIFIED
        return relation

    @property
    def dropped(self) -> Mask:
        """Which rows are of dropped packets."""
        mask: Mask = self.rows["verdict"] == _DROPPED
        return mask


NOTHING = Evidence(
    rows=np.zeros(0, FLOW),
    sequences=np.zeros(0, np.int64),
    forward=np.zeros(0, np.bool_),
    reverse=np.zeros(0, np.bool_),
    quoted=np.zeros(0, np.bool_),
    itself=np.zeros(0, np.bool_),
    after=np.zeros(0, np.bool_),
    same_packet=np.zeros(0, np.bool_),
    truncated=False,
)
"""For flows without addresses."""


def gather_evidence(window: Window, subject: Subject, rows_max: int) -> Evidence:
    """Find what tells of a flow's connection.

    Args:
        window: where to look.
        subject: the flow.
        rows_max: rows to look at: the newest of more.
    """
    connection = subject.connection
    if connection is None:
        return NOTHING
    rows, numbers, truncated = window.newest(
        lambda rows: connection.forward(rows) | connection.reverse(rows) | connection.quoted(rows),
        rows_max,
    )
    sequences = np.array(numbers, np.int64)
    if subject.sequence is None:
        itself = np.zeros(len(rows), np.bool_)
        after = rows["time_ns"] > np.uint64(subject.time_ns)
    else:
        itself = sequences == subject.sequence
        after = sequences > subject.sequence
    evidence = Evidence(
        rows=rows,
        sequences=sequences,
        forward=connection.forward(rows),
        reverse=connection.reverse(rows),
        quoted=connection.quoted(rows),
        itself=itself,
        after=after,
        same_packet=np.zeros(len(rows), np.bool_),
        truncated=truncated,
    )
    _mark_packet(evidence, subject)
    return evidence


def _mark_packet(evidence: Evidence, subject: Subject) -> None:
    """Note the nearest event of each other kind that decided over the subject's packet."""
    flow, rows = subject.flow, evidence.rows
    kind = flow.event_type.type
    if kind not in _DECIDING or flow.verdict != _DROPPED:
        return
    candidates = evidence.forward & evidence.dropped & (rows["kind"] == Kind.FLOW)
    candidates &= np.isin(rows["event_type"], [one for one in _DECIDING if one != kind])
    candidates &= rows["tcp_flags"] == tcp_flags(flow)
    apart = apart_ns(rows["time_ns"], subject.time_ns)
    candidates &= apart <= SAME_PACKET_NS
    which = candidates.nonzero()[0]
    if which.size:
        evidence.same_packet[which[apart[which].argmin()]] = True


def tcp_flags(flow: flow_pb2.Flow) -> int:
    """The TCP flags of a flow as the column has them; 0 for other protocols."""
    flags = flow.l4.TCP.flags
    return sum(bit for name, bit in TCP_FLAGS if getattr(flags, name))
