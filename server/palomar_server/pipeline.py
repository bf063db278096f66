"""The way of every event: monitor hooks, decoding, flow hooks, event hooks, ring, wake-up.

Works on whole batches and does no input or output of its own; the agent's thread calls it, and so
do tests and benchmarks.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.batch import LossKind
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import loss_pb2
from palomar_server.decode.decoder import Decoder
from palomar_server.hooks import FlowBatch, is_flow
from palomar_server.table import FLOW, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from palomar_bpf.batch import Loss, PayloadBatch
    from palomar_server.decode.malformed import Malformed
    from palomar_server.encode import FlowEncoder
    from palomar_server.hooks import Hooks
    from palomar_server.ring import Ring
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows

_LOST_SOURCE = {
    LossKind.PERF_RING: flow_pb2.PERF_EVENT_RING_BUFFER,
    # An open enumeration: Hubble has no name for this stage.
    LossKind.RATE_LIMIT: flow_pb2.LostEventSource.ValueType(loss_pb2.KERNEL_RATE_LIMIT),
}


class Pipeline:
    """Takes batches in order and leaves their events in the ring. For one thread.

    Args:
        surroundings: gives meaning to what payloads refer to.
        hooks: the chains to run.
        encoder: for hooks that want protobuf.
        ring: where events end up.
        notify: called after each batch that wrote to the ring.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        hooks: Hooks,
        encoder: FlowEncoder,
        ring: Ring,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._decoder = Decoder(surroundings)
        self._hooks = hooks
        self._encoder = encoder
        self._ring = ring
        self._notify = notify
        self._looked_ns = 0
        self.lost: Counter[LossKind] = Counter()
        """Events lost before they got here, by stage."""
        self.malformed: Counter[tuple[int, Malformed]] = Counter()
        """Payloads that could not be decoded, by (message type, reason)."""

    def consume(self, batch: PayloadBatch) -> None:
        """Take one batch through all stages."""
        if len(self._hooks.monitor_event):
            batch = self._hooks.monitor_event.run(batch)
        decoded = self._decoder.decode(batch)
        self.malformed.update(decoded.malformed)
        rows = decoded.rows
        if len(self._hooks.decoded_flow) and len(rows):
            rows = self._hooks.decoded_flow.run(FlowBatch(rows, self._encoder)).rows
        rows, messages = self._with_losses(rows, batch.losses, batch.received_ns)
        if len(self._hooks.decoded_event) and len(rows):
            rows, messages = self._run_event_hooks(rows, messages)
        if len(rows):
            self._ring.append(rows, messages)
            self._notify()

    def _with_losses(
        self, rows: Rows, losses: Sequence[Loss], at_ns: int
    ) -> tuple[Rows, dict[int, bytes]]:
        """Put a row for each loss in front, with its message by index.

        What was lost was lost between the batch before this one and now.
        """
        if not losses:
            self._looked_ns = at_ns
            return rows, {}
        notices = np.zeros(len(losses), FLOW)
        notices["kind"] = Kind.LOST
        notices["time_ns"] = at_ns
        messages = {}
        for index, loss in enumerate(losses):
            self.lost[loss.kind] += loss.events
            event = flow_pb2.LostEvent(source=_LOST_SOURCE[loss.kind], num_events_lost=loss.events)
            event.cpu.value = loss.cpu
            event.first.FromNanoseconds(self._looked_ns or at_ns)
            event.last.FromNanoseconds(at_ns)
            messages[index] = event.SerializeToString()
        self._looked_ns = at_ns
        return np.concatenate((notices, rows)), messages

    def _run_event_hooks(
        self, rows: Rows, messages: dict[int, bytes]
    ) -> tuple[Rows, dict[int, bytes]]:
        left = self._hooks.decoded_event.run(FlowBatch(rows, self._encoder)).rows
        if len(left) == len(rows) or not messages:
            return left, messages
        # Losses stand in front and keep their order; which of them a hook stopped shows in the time
        # and kind columns only, so loss notices are not for hooks to stop.
        notices = rows[~is_flow(rows)]
        return np.concatenate((notices, left[is_flow(left)])), messages
