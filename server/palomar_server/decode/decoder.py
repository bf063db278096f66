"""From a payload batch to rows of the flow table: the path every event takes, by columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.decode.gather import padded
from palomar_server.decode.heads import decode_heads
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.packet import decode_packets
from palomar_server.table import FLOW, Flag, take

if TYPE_CHECKING:
    from palomar_bpf.batch import PayloadBatch
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of a batch."""

    rows: Rows
    """The well-formed events, ordered by time."""
    malformed: Counter[tuple[int, Malformed]]
    """(first byte of the payload, reason) of the others."""


class Decoder:
    """Decodes and enriches batches. Belongs to the agent's thread.

    Args:
        surroundings: gives meaning to what payloads refer to.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    def decode(self, batch: PayloadBatch) -> Decoded:
        """Decode one batch; never raises because of what is in a payload.

        Args:
            batch: payloads of any kind, in any state.

        Returns:
            Rows for the well-formed ones, counts for the rest.
        """
        rows = np.zeros(len(batch), FLOW)
        counts: Counter[tuple[int, Malformed]] = Counter()
        if not len(batch):
            return Decoded(rows, counts)
        buffer = padded(batch.buffer)
        malformed = np.zeros(len(batch), np.uint8)
        spans = decode_heads(batch, buffer, rows, malformed, self._surroundings)
        decode_packets(buffer, spans, rows, malformed)
        if malformed.any():
            bad = np.flatnonzero(malformed)
            kinds = np.where(batch.lengths[bad] > 0, buffer[batch.offsets[bad]], 0)
            counts.update(
                (kind, Malformed(reason))
                for kind, reason in zip(kinds.tolist(), malformed[bad].tolist(), strict=True)
            )
            rows = take(rows, malformed == 0)
        self._enrich(rows)
        return Decoded(_by_time(rows), counts)

    def _enrich(self, rows: Rows) -> None:
        """Find the endpoints of both addresses, and from them identities and direction."""
        endpoints = self._surroundings.endpoints
        has_ip = rows["flags"] & np.uint8(Flag.IP) != 0
        times = np.ascontiguousarray(rows["time_ns"])
        for side in ("source", "destination"):
            found = endpoints.rows_at(
                np.ascontiguousarray(rows[f"{side}_hi"]),
                np.ascontiguousarray(rows[f"{side}_lo"]),
                times,
            )
            found[~has_ip] = 0
            rows[f"{side}_endpoint"] = found
            # The event's own identity wins: it is what the datapath decided by.
            identity = rows[f"{side}_identity"]
            known = endpoints.identities[found]
            known[~has_ip] = 0
            rows[f"{side}_identity"] = np.where(identity == 0, known, identity)
        self._direct(rows)

    def _direct(self, rows: Rows) -> None:
        """Set the direction of the connection, as the endpoint where the event was seen has it.

        A packet whose source is that endpoint goes out; if it is a reply, the connection came in.
        """
        local = rows["local_endpoint_id"]
        from_local = self._surroundings.endpoints.ids[rows["source_endpoint"]] == local
        # Drops have no reply flag: theirs is the direction of the packet. A trace that cannot say
        # who opened the connection cannot say its direction either.
        unknown = local == 0
        unknown |= (rows["event_type"] == MessageType.TRACE) & (
            rows["trace_reason"] == flow_pb2.TRACE_REASON_UNKNOWN
        )
        outgoing = from_local != (rows["is_reply"] == 1)
        rows["direction"] = np.where(
            unknown,
            np.uint8(flow_pb2.TRAFFIC_DIRECTION_UNKNOWN),
            np.where(outgoing, np.uint8(flow_pb2.EGRESS), np.uint8(flow_pb2.INGRESS)),
        )


def _by_time(rows: Rows) -> Rows:
    """Order by time; the CPUs' rings were read one after the other."""
    times = rows["time_ns"]
    if len(rows) < 2 or (times[1:] >= times[:-1]).all():  # noqa: PLR2004 - one row is in order
        return rows
    return take(rows, np.argsort(times, kind="stable"))
