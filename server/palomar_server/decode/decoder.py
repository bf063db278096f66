"""From a payload batch to rows of the flow table: the path every event takes, by columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_server.decode.arrange import arrange
from palomar_server.decode.enrich import enrich, without_pod
from palomar_server.decode.gather import Scratch
from palomar_server.decode.heads import decode_heads
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.options import DecodeOptions
from palomar_server.decode.packet import decode_packets
from palomar_server.decode.rare import RareDecoder
from palomar_server.table import FLOW, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_bpf.batch import PayloadBatch
    from palomar_server.decode.arrange import Arrangement
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

_TRACE_SOCK = int(MessageType.TRACE_SOCK)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of a batch."""

    rows: Rows
    """The well-formed events, ordered by time."""
    messages: list[bytes]
    """Serialised content of the rows whose column `message` says so."""
    malformed: Counter[tuple[int, Malformed]]
    """(first byte of the payload, reason) of the others."""


class Decoder:
    """Decodes and enriches batches. Belongs to the agent's thread.

    Args:
        surroundings: gives meaning to what payloads refer to.
        options: what users chose.
    """

    def __init__(self, surroundings: Surroundings, options: DecodeOptions | None = None) -> None:
        self._surroundings = surroundings
        self._options = options or DecodeOptions()
        self._rare = RareDecoder(surroundings, self._options)
        self._scratch = Scratch()

    def decode(self, batch: PayloadBatch) -> Decoded:
        """Decode one batch; never raises because of what is in a payload.

        Args:
            batch: payloads of any kind, in any state.

        Returns:
            Rows for the well-formed ones, counts for the rest.
        """
        messages: list[bytes] = []
        counts: Counter[tuple[int, Malformed]] = Counter()
        if not len(batch):
            return Decoded(np.zeros(0, FLOW), messages, counts)
        self._surroundings.at(batch.received_ns)
        buffer = self._scratch.padded(batch.buffer)
        arrangement = arrange(batch, buffer)
        rows = self._blank_rows(arrangement)
        malformed = arrangement.malformed
        spans = decode_heads(arrangement, buffer, rows, batch.received_ns, self._surroundings)
        decode_packets(buffer, spans, rows, malformed)
        if arrangement.rare.start != arrangement.rare.stop:
            messages = self._decode_rare(batch, arrangement, rows)
        # Those bring their own meaning, and stand behind the others.
        plain, ours = slice(0, arrangement.rare.start), spans.ours
        left: NDArray[np.intp] | None = None
        if np.count_nonzero(malformed):
            counts = _count(arrangement, buffer)
            left = (malformed == 0).nonzero()[0]
            rows = take(rows, left)
            plain = slice(0, int(np.count_nonzero(left < plain.stop)))
            ours = None if ours is None else ours[left]
        enrich(rows[plain], self._surroundings, None if ours is None else ours[plain])
        if self._options.ip_tracing_option_type:
            traced = rows["ip_trace_id"] != 0
            rows["ip_trace_option"] = traced * np.uint8(self._options.ip_tracing_option_type)
        if self._options.skip_unknown_cgroup_ids and _has_sockets(arrangement):
            kept = self._known_cgroups(rows[plain], len(rows))
            left = kept.nonzero()[0] if left is None else left[kept]
            rows = take(rows, kept)
        return Decoded(arrangement.put_back(rows, left), messages, counts)

    def _blank_rows(self, arrangement: Arrangement) -> Rows:
        count = len(arrangement.starts)
        if arrangement.order is None:
            return np.zeros(count, FLOW)
        # They are copied when they are put back in order.
        memory = self._scratch.take("rows", count * FLOW.itemsize)
        memory.fill(0)
        return memory.view(FLOW)

    def _decode_rare(
        self, batch: PayloadBatch, arrangement: Arrangement, rows: Rows
    ) -> list[bytes]:
        """Decode the kinds that come seldom, one by one, and return their messages."""
        messages: list[bytes] = []
        for position in range(arrangement.rare.start, arrangement.rare.stop):
            index = arrangement.index(position)
            fault, message = self._rare.decode(
                batch.payload(index), int(batch.cpus[index]), batch.received_ns, rows[position]
            )
            arrangement.malformed[position] = fault
            if not fault:
                messages.append(message)
                rows["message"][position] = len(messages)
        return messages

    @staticmethod
    def _known_cgroups(plain: Rows, count: int) -> Mask:
        """Which rows to keep of `count`, the first of which are `plain`."""
        kept = np.ones(count, np.bool_)
        kept[: len(plain)] = ~without_pod(plain)
        return kept


def _has_sockets(arrangement: Arrangement) -> bool:
    return any(layout.kind == _TRACE_SOCK for layout, _ in arrangement.groups)


def _count(arrangement: Arrangement, buffer: NDArray[np.uint8]) -> Counter[tuple[int, Malformed]]:
    bad = arrangement.malformed.nonzero()[0]
    kinds = np.where(arrangement.lengths[bad] > 0, buffer[arrangement.starts[bad]], 0)
    keys = kinds.astype(np.int64) << 8 | arrangement.malformed[bad]
    pairs, numbers = np.unique(keys, return_counts=True)
    return Counter(
        {
            (pair >> 8, Malformed(pair & 0xFF)): number
            for pair, number in zip(pairs.tolist(), numbers.tolist(), strict=True)
        }
    )
