"""The way of every event: monitor hooks, decoding, flow hooks, event hooks, ring, wake-up.

Works on whole batches and does no input or output of its own. The agent calls it, one of its
threads at a time; so do tests and benchmarks.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.batch import LossKind
from palomar_server.decode.decoder import Decoder
from palomar_server.hooks import FlowBatch
from palomar_server.loss_notice import SOURCES, lost_event
from palomar_server.table import FLOW, Kind, by_time, joined, take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from palomar_bpf.batch import Loss, PayloadBatch
    from palomar_server.decode.malformed import Malformed
    from palomar_server.decode.options import DecodeOptions
    from palomar_server.encode import FlowEncoder
    from palomar_server.hooks import Hooks
    from palomar_server.ring import Ring
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows


class Pipeline:
    """Takes batches in order and leaves their events in the ring. For one thread at a time.

    Args:
        surroundings: gives meaning to what payloads refer to.
        hooks: the chains to run.
        encoder: for hooks that want protobuf.
        ring: where events end up.
        notify: called after each batch that wrote to the ring.
        options: what users chose of decoding.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        hooks: Hooks,
        encoder: FlowEncoder,
        ring: Ring,
        notify: Callable[[], None] = lambda: None,
        *,
        options: DecodeOptions | None = None,
    ) -> None:
        self._decoder = Decoder(surroundings, options)
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
        rows, messages = decoded.rows, decoded.messages
        if len(self._hooks.decoded_flow) and len(rows):
            rows = self._run_flow_hooks(rows, messages)
        if batch.losses:
            rows = joined(self._notices(batch.losses, batch.received_ns, messages), rows)
        self._looked_ns = batch.received_ns
        if len(self._hooks.decoded_event) and len(rows):
            rows = self._hooks.decoded_event.run(FlowBatch(rows, self._encoder, messages)).rows
        if len(rows):
            self._ring.append(rows, messages)
            self._notify()

    def _run_flow_hooks(self, rows: Rows, messages: list[bytes]) -> Rows:
        """Run OnDecodedFlow; events that are no flows pass it by."""
        hooks = self._hooks.decoded_flow
        if not messages or (flows := rows["kind"] == Kind.FLOW).all():
            return hooks.run(FlowBatch(rows, self._encoder, messages)).rows
        if not flows.any():
            return rows
        left = hooks.run(FlowBatch(take(rows, flows), self._encoder, messages)).rows
        return by_time(joined(take(rows, ~flows), left))

    def _notices(self, losses: Sequence[Loss], at_ns: int, messages: list[bytes]) -> Rows:
        """A row for each loss, whose message is put behind the others.

        What was lost was lost between the batch before this one and now.
        """
        notices = np.zeros(len(losses), FLOW)
        notices["kind"] = Kind.LOST
        notices["time_ns"] = at_ns
        for index, loss in enumerate(losses):
            self.lost[loss.kind] += loss.events
            event = lost_event(
                SOURCES[loss.kind],
                loss.events,
                cpu=None if loss.kind is LossKind.SOURCE_GAP else loss.cpu,
                first_ns=loss.first_ns or self._looked_ns or at_ns,
                last_ns=at_ns,
            )
            messages.append(event.SerializeToString())
            notices["message"][index] = len(messages)
        return notices
