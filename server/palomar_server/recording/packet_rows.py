"""Recorded packets as rows of the flow table, for those questions that heads do not answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.decode.decoder import Decoder
from palomar_server.recording.packet_cells import batch_of_cells, cut_cells
from palomar_server.recording.packet_heads import HEAD_BYTES_MAX
from palomar_server.table import FLOW, joined
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from palomar_server.decode.options import DecodeOptions
    from palomar_server.recording.packet_heads import PacketHeads
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows
    from palomar_server.view import FlowSource

DECODED_BYTES = 256
"""Of a packet: all headers of nearly all, also of packets inside of packets."""
ROWS_AT_ONCE = 4_096
"""Decoded while the agent waits: some 4 ms."""


class PacketRows:
    """Decodes packets beside the agent. For one thread.

    Args:
        surroundings: gives meaning to what payloads refer to; the agent's.
        flows: builds protobuf flows.
        apart: keeps the agent from changing the surroundings for as long as it is entered.
        options: what users chose of decoding.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        flows: FlowSource,
        apart: Callable[[], AbstractContextManager[object]],
        options: DecodeOptions | None = None,
    ) -> None:
        self._decoder = Decoder(surroundings, options)
        self._flows = flows
        self._apart = apart

    def decode(self, heads: PacketHeads, which: NDArray[np.intp] | slice) -> View:
        """The flows of some packets.

        Args:
            heads: the packets.
            which: their indexes, rising.

        Returns:
            As many rows, in the same order.

        Raises:
            RuntimeError: the decoder refused a packet, which it does with none of palomar's own.
        """
        payloads = heads.payloads[which]
        lengths = heads.starts[which] - payloads + heads.captured_bytes[which]
        pieces: list[Rows] = []
        for start in range(0, len(payloads), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            cut = lengths[piece]
            cell_bytes = min(int(cut.max()), HEAD_BYTES_MAX + DECODED_BYTES)
            cells = cut_cells(heads.buffer, payloads[piece], cell_bytes)
            batch = batch_of_cells(cells, cut, time.time_ns())
            with self._apart():
                rows = self._decoder.decode(batch).rows
            # The agent may wait for its turn, and would not get it from who asks again at once.
            time.sleep(0)
            if len(rows) != len(cut):
                raise RuntimeError(f"{len(cut)} recorded packets decoded to {len(rows)} flows")
            pieces.append(rows)
        rows = joined(*pieces) if pieces else np.zeros(0, FLOW)
        return View(rows, 0, _no_message, self._flows, in_ring=False)


def _no_message(_number: int, /) -> bytes:
    return b""
