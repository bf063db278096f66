"""What one stream of flows is given: portions of a reading, past the hooks, and their responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.hooks import DeliveryBatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from palomar_server.encode import FlowEncoder, ResponseEncoder
    from palomar_server.hooks import FlowStream, Hooks
    from palomar_server.reading import Portion, Reading


class FlowDelivery:
    """Hands out flows to one stream of GetFlows or GetFlowBatches.

    Args:
        reading: where they come from.
        responses: makes responses of them, with the fields that the stream wants.
        flows: makes flows of them, and notices of losses.
        hooks: those on deliveries are run.
        stream: what they are told of the stream.
    """

    def __init__(
        self,
        reading: Reading,
        responses: ResponseEncoder,
        flows: FlowEncoder,
        hooks: Hooks,
        stream: FlowStream,
    ) -> None:
        self.reading = reading
        self._responses = responses
        self._flows = flows
        self._hooks = hooks.flow_delivery
        self._stream = stream

    async def portions(self) -> AsyncGenerator[Portion, None]:
        """See `Reading.portions`; rows that a hook stops are left out, and were counted."""
        async for portion in self.reading.portions():
            yield self.passed(portion)

    def passed(self, portion: Portion) -> Portion:
        """What the hooks leave of a portion."""
        if not len(self._hooks) or not portion.sequences:
            return portion
        # A hook that changed them would change what other streams get.
        portion.rows.setflags(write=False)
        batch = DeliveryBatch(
            portion.rows, self._flows, portion.messages, portion.sequences, self._stream
        )
        left = self._hooks.run(batch).sequences
        if len(left) == len(portion.sequences):
            return portion
        return portion.only(np.isin(portion.sequences, left))

    def responses(self, portion: Portion) -> list[bytes]:
        """Serialised GetFlowsResponse messages: what was lost, then a row each.

        Those of the rows are made once for all streams that share the portion.
        """
        encoded = self.encoded(portion)
        if not portion.lost.events:
            return encoded
        lost = portion.lost
        return [self._flows.lost_response(lost.message(), lost.last_ns), *encoded]

    def encoded(self, portion: Portion, *, wrapped: bool = False) -> list[bytes]:
        """Serialised GetFlowsResponse messages, one for each row of the portion.

        Args:
            portion: what a reading gave.
            wrapped: see `ResponseEncoder.encode_batch`.
        """
        return portion.once(
            (self._responses, wrapped),
            lambda: self._responses.encode_batch(
                portion.rows, portion.sequences, portion.messages, wrapped=wrapped
            ),
        )
