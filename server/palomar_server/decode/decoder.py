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
    from numpy.typing import NDArray

    from palomar_bpf.batch import PayloadBatch
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows

# Looked up once: an enumeration member costs as much as a column operation on a small batch.
_IP = np.uint8(Flag.IP)
_TRACE = int(MessageType.TRACE)
_REASON_UNKNOWN = int(flow_pb2.TRACE_REASON_UNKNOWN)
_INGRESS, _EGRESS = np.uint8(flow_pb2.INGRESS), np.uint8(flow_pb2.EGRESS)


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
        self._surroundings.at(batch.received_ns)
        buffer = padded(batch.buffer)
        malformed = np.zeros(len(batch), np.uint8)
        spans = decode_heads(batch, buffer, rows, malformed, self._surroundings)
        decode_packets(buffer, spans, rows, malformed)
        if np.count_nonzero(malformed):
            bad = malformed.nonzero()[0]
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
        count = len(rows)
        # Both sides in one look-up: on a small batch the number of operations is what counts.
        found = endpoints.rows_at(
            np.concatenate((rows["source_hi"], rows["destination_hi"])),
            np.concatenate((rows["source_lo"], rows["destination_lo"])),
            np.concatenate((rows["time_ns"], rows["time_ns"])),
        )
        known = endpoints.identities[found]
        has_ip = rows["flags"] & _IP != 0
        if np.count_nonzero(has_ip) != count:
            both = np.concatenate((has_ip, has_ip))
            found *= both
            known *= both
        rows["source_endpoint"], rows["destination_endpoint"] = found[:count], found[count:]
        for column, identity in (
            ("source_identity", known[:count]),
            ("destination_identity", known[count:]),
        ):
            # The event's own identity wins: it is what the datapath decided by.
            given = rows[column]
            if np.count_nonzero(given):
                identity = np.where(given == 0, identity, given)  # noqa: PLW2901 - the same, mended
            rows[column] = identity
        self._direct(rows, endpoints.ids[found[:count]])

    def _direct(self, rows: Rows, source_ids: NDArray[np.uint16]) -> None:
        """Set the direction of the connection, as the endpoint where the event was seen has it.

        A packet whose source is that endpoint goes out; if it is a reply, the connection came in.
        """
        local = rows["local_endpoint_id"]
        # Drops have no reply flag: theirs is the direction of the packet. A trace that cannot say
        # who opened the connection cannot say its direction either.
        known = local != 0
        known &= (rows["event_type"] != _TRACE) | (rows["trace_reason"] != _REASON_UNKNOWN)
        incoming = (source_ids == local) == (rows["is_reply"] == 1)
        rows["direction"] = np.where(incoming, _INGRESS, _EGRESS) * known


def _by_time(rows: Rows) -> Rows:
    """Order by time; the CPUs' rings were read one after the other."""
    times = rows["time_ns"]
    if not np.count_nonzero(times[1:] < times[:-1]):
        return rows
    return take(rows, np.argsort(times, kind="stable"))
