from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.batch import Loss, LossKind, PayloadBatch
from palomar_proto.monitor.payload import LOST, OPENING, SAMPLE, Payload, PayloadDecoder
from palomar_server.monitor_stream import (
    PIECE_BYTES_MAX,
    PIECE_EVENTS_MAX,
    Piece,
    StreamEncoder,
    loss_piece,
    told_losses,
)


def decoded(pieces: list[Piece]) -> list[Payload]:
    return PayloadDecoder().feed(OPENING + b"".join(piece.data for piece in pieces))


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 65535)), max_size=600),
)
def test_payloads_come_out_as_they_went_in(events: list[tuple[bytes, int]]) -> None:
    batch = PayloadBatch.of(
        [data for data, _ in events], received_ns=1, cpus=[cpu for _, cpu in events]
    )
    pieces = list(StreamEncoder().pieces(batch))
    assert decoded(pieces) == [Payload(data, cpu, 0, SAMPLE) for data, cpu in events]
    assert [cpu for piece in pieces for cpu in piece.cpus] == [cpu for _, cpu in events]
    assert all(len(piece.cpus) <= PIECE_EVENTS_MAX for piece in pieces)


def test_bytes_between_the_payloads_stay_out() -> None:
    batch = PayloadBatch(
        np.frombuffer(b"..one....two.", np.uint8),
        np.array([2, 9]),
        np.array([3, 3]),
        np.array([0, 1], np.uint16),
        1,
    )
    sent = decoded(list(StreamEncoder().pieces(batch)))
    assert [payload.data for payload in sent] == [b"one", b"two"]


def test_pieces_of_large_payloads_end_early() -> None:
    batch = PayloadBatch.of([bytes(60_000)] * 10 + [bytes(PIECE_BYTES_MAX * 2)], received_ns=1)
    pieces = list(StreamEncoder().pieces(batch))
    assert [len(piece.cpus) for piece in pieces] == [4, 4, 2, 1]


def test_losses_come_first_by_cpu() -> None:
    losses = (
        Loss(LossKind.PERF_RING, 3, 5),
        Loss(LossKind.RATE_LIMIT, 3, 2),
        Loss(LossKind.PERF_RING, 1, 1),
    )
    batch = PayloadBatch.of([b"x"], received_ns=1, losses=losses)
    pieces = list(StreamEncoder().pieces(batch))
    assert decoded(pieces) == [
        Payload(b"", 1, 1, LOST),
        Payload(b"", 3, 7, LOST),
        Payload(b"x", 0, 0, SAMPLE),
    ]


def test_gap_of_a_source_is_no_number() -> None:
    assert not told_losses((Loss(LossKind.SOURCE_GAP, 0, 1),))


def test_who_misses_a_piece_misses_its_events_and_what_it_tells() -> None:
    assert Piece(b"", [1, 1, 2]).missed() == Counter({1: 2, 2: 1})
    assert loss_piece({4: 9}).missed() == Counter({4: 9})


def test_remembered_heads_are_bounded() -> None:
    encoder = StreamEncoder()
    for start in range(0, 20_000, 100):
        batch = PayloadBatch.of([b"x"] * 100, received_ns=1, cpus=range(start, start + 100))
        list(encoder.pieces(batch))
    assert len(encoder._around) < 5_000
