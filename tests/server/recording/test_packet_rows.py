"""Recorded packets become the rows that observed ones are."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.packet_batch import pack_rules
from palomar_server.decode.decoder import Decoder
from palomar_server.recording.packet_heads import HeadReader, PacketHeads
from palomar_server.recording.packet_rows import ROWS_AT_ONCE, PacketRows
from palomar_server.recording.testing import dropped, recorded
from palomar_server.table import Protocol
from palomar_server.testing import START_NS, Core, packet, transport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FRAMES = (
    packet(),
    packet("fd00::1", "fd00::2", Protocol.UDP),
    packet(protocol=Protocol.ICMP),
    packet(body=transport() + bytes(60_000)),
    packet()[:20],
    b"\xff" * 12 + b"\x08\x06" + bytes(28),
    b"",
)


def heads_of(payloads: Sequence[bytes]) -> PacketHeads:
    rules = pack_rules([[0]] * len(payloads))
    return HeadReader(dict, lambda: 0).read(PayloadBatch.of(payloads, received_ns=0), rules)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(FRAMES), st.booleans(), st.integers(0, 9)), max_size=20),
    st.data(),
)
def test_rows_are_what_the_decoder_makes_of_whole_packets(
    made: list[tuple[bytes, bool, int]], data: st.DataObject
) -> None:
    core = Core()
    payloads = [
        (dropped if is_drop else recorded)(frame, time_ns=START_NS + after)
        for frame, is_drop, after in made
    ]
    heads = heads_of(payloads)
    which = [index for index in range(len(heads)) if data.draw(st.booleans())]
    rows = PacketRows(core.surroundings, core.encoder, contextlib.nullcontext)
    view = rows.decode(heads, np.array(which, np.intp))
    whole = Decoder(core.surroundings).decode(PayloadBatch.of(payloads, received_ns=0)).rows
    assert view.rows.tobytes() == whole[which].tobytes()
    assert not view.in_ring


def test_many_packets_are_decoded_in_pieces_between_which_the_agent_goes_on() -> None:
    entered = 0

    @contextlib.contextmanager
    def apart() -> Iterator[None]:
        nonlocal entered
        entered += 1
        yield

    core = Core()
    count = 2 * ROWS_AT_ONCE + 1
    heads = heads_of([recorded(packet(), time_ns=START_NS + index) for index in range(count)])
    view = PacketRows(core.surroundings, core.encoder, apart).decode(heads, slice(None))
    assert entered == 3
    assert view.column("time_ns").tolist() == heads.times_ns.tolist()
