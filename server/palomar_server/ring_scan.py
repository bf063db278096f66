"""One look at all flows that a ring holds, in steps that leave the loop to others in between.

The writer goes on meanwhile. Rows are copied first, and count only if the ring still holds them
afterwards: what was overwritten under the reader's eyes is counted instead of believed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import flow_scope_pb2
from palomar_server.table import Kind, take
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import numpy as np
    from numpy.typing import NDArray

    from palomar_server.flow_scope import Scope
    from palomar_server.ring import Ring
    from palomar_server.table import Mask, Rows
    from palomar_server.view import FlowSource

STEP_S = 0.002
"""Steps are made as long as take about this time, the work of whoever asks for them included: what
streams may have to wait for a query."""
STEP_ROWS_FIRST = 1_024
_STEP_ROWS_MIN = 64
_STEP_ROWS_MAX = 16_384
_GROWTH_MAX = 2.0
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """The flows of one step."""

    rows: Rows
    """Copies."""
    sequences: NDArray[np.int64]
    """Their numbers in the ring, shape (n,)."""


class RingScan:
    """Goes once over what a ring holds, oldest first, up to what is newest at the start.

    Args:
        ring: the events.
        scope: which flows are wanted.
        flows: builds protobuf flows for filters that need them.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        ring: Ring,
        scope: Scope,
        flows: FlowSource,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._ring = ring
        self._scope = scope
        self._flows = flows
        self._clock = clock
        self._looked_at = 0
        self._overwritten = 0
        self._unread = 0
        self._records: dict[int, flow_pb2.Flow | None] = {}
        """Messages that were read in this step: several properties may come from one."""
        self._losses: Counter[int] = Counter()
        self._from_start = ring.oldest == 0

    async def steps(self) -> AsyncGenerator[Found, None]:
        """The flows of the scope; some steps have none."""
        position, end = self._ring.oldest, self._ring.next
        rows_max = STEP_ROWS_FIRST
        while position < end:
            started = self._clock()
            self._records.clear()
            oldest = self._ring.oldest
            if oldest > position:
                self._overwritten += min(oldest, end) - position
                position = oldest
                continue
            # The span that wraps around at the end of the ring's memory is left for the next step.
            stop = position + min(rows_max, self._scope.rows_at_once)
            first, rows = next(self._ring.spans(position, min(end, stop)))
            yield self._look(first, rows)
            position = first + len(rows)
            took = self._clock() - started
            growth = min(_GROWTH_MAX, STEP_S / took) if took > 0 else _GROWTH_MAX
            rows_max = int(min(_STEP_ROWS_MAX, max(_STEP_ROWS_MIN, rows_max * growth)))
            await asyncio.sleep(0)

    def _look(self, first: int, rows: Rows) -> Found:
        view = View(rows, first, self._ring.message, self._flows)
        places = self._scope.mask(view).nonzero()[0]
        lost = rows["kind"] == Kind.LOST
        lost &= self._scope.in_time(rows)
        chosen = take(rows, places)
        losses = self._loss_messages(first, lost)
        torn = min(max(self._ring.oldest - first, 0), len(rows))
        if torn:
            self._overwritten += torn
            whole = places >= torn
            places, chosen = places[whole], take(chosen, whole)
        self._looked_at += len(rows) - torn
        for place, content in losses:
            if place >= torn and content:
                event = flow_pb2.LostEvent.FromString(content)
                self._losses[event.source] += event.num_events_lost
        return Found(chosen, places + first)

    def _loss_messages(self, first: int, lost: Mask) -> list[tuple[int, bytes]]:
        return [(place, self._ring.message(first + place)) for place in lost.nonzero()[0].tolist()]

    def record(self, sequence: int) -> flow_pb2.Flow | None:
        """What a row's message has beside its columns; None if it is gone, which is counted."""
        if sequence not in self._records:
            content = self._ring.message(sequence)
            self._unread += not content
            self._records[sequence] = flow_pb2.Flow.FromString(content) if content else None
        return self._records[sequence]

    def coverage(self) -> flow_scope_pb2.Coverage:
        """How far the figures can be trusted, once all steps were taken."""
        coverage = flow_scope_pb2.Coverage(
            whole=self._from_start and not self._overwritten,
            looked_at=self._looked_at,
            overwritten=self._overwritten,
            unread=self._unread,
            losses=[
                flow_scope_pb2.Coverage.Loss(
                    source=flow_pb2.LostEventSource.ValueType(source), events=events
                )
                for source, events in sorted(self._losses.items())
            ],
        )
        if len(self._ring):
            oldest_ns = self._time_ns(self._ring.oldest)
            coverage.oldest.FromNanoseconds(oldest_ns)
            coverage.newest.FromNanoseconds(self._time_ns(self._ring.next - 1))
            since_ns = self._scope.since_ns
            coverage.whole |= (
                since_ns is not None and oldest_ns <= since_ns and not self._overwritten
            )
        return coverage

    def _time_ns(self, sequence: int) -> int:
        # A row that is overwritten just now has the time of either event: both are about as old.
        _, rows = next(self._ring.spans(sequence, sequence + 1))
        return int(rows["time_ns"][0])
