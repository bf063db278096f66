"""Choosing the flows that help most to understand one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.explain.window import apart_ns
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from palomar_server.explain.evidence import Evidence
    from palomar_server.explain.subject import Subject
    from palomar_server.view import FlowSource

_ERRORS_FIRST = 3
"""ICMP errors that are worth more than a neighbour."""


def related_flows(
    subject: Subject,
    evidence: Evidence,
    count_max: int,
    flows: FlowSource,
    message: Callable[[int], bytes],
) -> tuple[list[explanation_pb2.RelatedFlow], bool]:
    """Related flows by position, and whether there are more.

    The other events of the packet come first, then ICMP errors, then drops, then whatever is
    nearest.

    Args:
        subject: the flow that is explained.
        evidence: what is known of its connection.
        count_max: how many at most.
        flows: makes messages of rows.
        message: gives the messages of rows.
    """
    relations = evidence.relations
    which = (relations != 0).nonzero()[0]
    chosen = np.sort(_by_worth(which, relations, subject, evidence)[:count_max])
    related = []
    for index in chosen.tolist():
        row, sequence = evidence.rows[index], int(evidence.sequences[index])
        content = message(sequence) if row["message"] else b""
        if row["kind"] != Kind.FLOW or (row["message"] and not content):
            continue
        related.append(
            explanation_pb2.RelatedFlow(
                relation=explanation_pb2.FlowRelation.ValueType(int(relations[index])),
                flow=flows.flow(row, sequence, content=content),
                sequence=sequence,
            )
        )
    return related, len(which) > len(chosen) or evidence.truncated


def _by_worth(
    which: NDArray[np.intp],
    relations: NDArray[np.uint8],
    subject: Subject,
    evidence: Evidence,
) -> NDArray[np.intp]:
    """Order rows by how much they tell."""
    if subject.sequence is None:
        apart = apart_ns(evidence.rows["time_ns"][which], subject.time_ns)
    else:
        apart = np.abs(evidence.sequences[which] - subject.sequence).astype(np.uint64)
    nearest = which[apart.argsort(kind="stable")]
    relation = relations[nearest]
    same_packet = relation == explanation_pb2.FLOW_RELATION_SAME_PACKET
    error = relation == explanation_pb2.FLOW_RELATION_ICMP_ERROR
    # A router may say the same a hundred times.
    error &= error.cumsum() <= _ERRORS_FIRST
    place = np.select([same_packet, error, evidence.dropped[nearest]], [0, 1, 2], 3)
    ordered: NDArray[np.intp] = nearest[place.argsort(kind="stable")]
    return ordered
