from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.batch import Loss, LossKind, PayloadBatch
from palomar_server import event_frame
from palomar_server.event_frame import (
    FRAME,
    FrameError,
    FrameKind,
    decode_batch,
    decode_context,
    decode_losses,
    encode_batch,
    encode_context,
    parts_that_fit,
)

LOSSES = st.lists(
    st.builds(
        Loss,
        kind=st.sampled_from(LossKind),
        cpu=st.integers(0, 0xFFFF),
        events=st.integers(1, 2**63 - 1),
        first_ns=st.integers(0, 2**63 - 1),
    ),
    max_size=4,
).map(tuple)

VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3)


@st.composite
def batches(draw: st.DrawFn) -> PayloadBatch:
    """Batches whose payloads lie anywhere in the buffer, in any order, with or without gaps."""
    buffer = np.frombuffer(draw(st.binary(max_size=200)), np.uint8)
    spans = draw(
        st.lists(st.tuples(st.integers(0, len(buffer)), st.integers(0, len(buffer))), max_size=9)
    )
    if draw(st.booleans()):
        spans.sort()
    offsets = np.array([min(span) for span in spans], np.int64)
    lengths = np.array([max(span) - min(span) for span in spans], np.int64)
    if draw(st.booleans()):
        lengths = np.minimum(lengths, 7)
    return PayloadBatch(
        buffer=buffer,
        offsets=offsets,
        lengths=lengths,
        cpus=np.array([draw(st.integers(0, 0xFFFF)) for _ in spans], np.uint16),
        received_ns=draw(st.integers(0, 2**63 - 1)),
        losses=draw(LOSSES),
    )


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    frames = []
    while data:
        kind, length = FRAME.unpack_from(data)
        frames.append((kind, data[FRAME.size : FRAME.size + length]))
        data = data[FRAME.size + length :]
    return frames


def assert_same(found: PayloadBatch, expected: PayloadBatch) -> None:
    assert [found.payload(i) for i in range(len(found))] == [
        expected.payload(i) for i in range(len(expected))
    ]
    assert found.cpus.tolist() == expected.cpus.tolist()
    assert found.received_ns == expected.received_ns
    assert found.losses == expected.losses
    arrays = found.buffer, found.offsets, found.lengths, found.cpus
    assert [str(array.dtype) for array in arrays] == ["uint8", "int64", "int64", "uint16"]


@given(batches())
def test_a_batch_comes_out_as_it_went_in(batch: PayloadBatch) -> None:
    *loss_frames, (kind, body) = frames_of(b"".join(encode_batch(batch)))
    losses = tuple(loss for _, body in loss_frames for loss in decode_losses(body))
    assert kind == FrameKind.BATCH
    assert_same(decode_batch(body, losses), batch)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_a_context_comes_out_as_it_went_in(context: dict[str, Any]) -> None:
    [(kind, body)] = frames_of(b"".join(encode_context(context)))
    assert kind == FrameKind.CONTEXT
    assert decode_context(body) == context


def test_names_that_are_not_unicode_survive() -> None:
    [(_, body)] = frames_of(b"".join(encode_context({"name": "\udcff"})))
    assert decode_context(body) == {"name": "\udcff"}


@given(st.binary(max_size=100))
def test_any_bytes_give_a_value_or_a_frame_error(body: bytes) -> None:
    for decode in (decode_batch, decode_losses, decode_context):
        try:
            decode(body)
        except FrameError:
            continue


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=60),
)
def test_heads_that_contradict_the_body_are_errors(
    received_ns: int, count: int, payload_bytes: int, rest: bytes
) -> None:
    try:
        batch = decode_batch(struct.pack("<QII", received_ns, count, payload_bytes) + rest)
    except FrameError:
        return
    assert len(batch) == count
    assert batch.lengths.sum() == payload_bytes == len(batch.buffer)


def test_lengths_that_do_not_sum_up_are_an_error() -> None:
    body = struct.pack("<QIIIH", 1, 1, 4, 3, 0) + b"abcd"
    with pytest.raises(FrameError, match="do not sum up to 4 bytes"):
        decode_batch(body)


def test_too_many_events_are_an_error_before_they_are_allocated() -> None:
    body = struct.pack("<QII", 1, event_frame.BATCH_EVENTS_MAX + 1, 0)
    with pytest.raises(FrameError, match="exceeds the maximum"):
        decode_batch(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"7",
        b'["perf_ring"]',
        b'[{"kind":"perf_ring","cpu":0}]',
        b'[{"kind":"perf_ring","cpu":0,"events":0}]',
        b'[{"kind":"perf_ring","cpu":true,"events":1}]',
        b'[{"kind":"perf_ring","cpu":-1,"events":1}]',
        b'[{"kind":"sunspots","cpu":0,"events":1}]',
        b'[{"kind":[],"cpu":0,"events":1}]',
        b'[{"kind":"perf_ring","cpu":0,"events":1,"first_ns":-1}]',
        b"[[]]",
        b"\xff\xfe[\0]\0",
    ],
)
def test_losses_of_another_form_are_an_error(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode_losses(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b"", b"\xff", b"[" * 100_000])
def test_a_context_that_is_no_object_is_an_error(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode_context(body)


def batch_of(count: int, length: int) -> PayloadBatch:
    """Payloads that share their bytes, so that a large batch needs little memory."""
    return PayloadBatch(
        buffer=np.zeros(length, np.uint8),
        offsets=np.zeros(count, np.int64),
        lengths=np.full(count, length, np.int64),
        cpus=np.zeros(count, np.uint16),
        received_ns=1,
        losses=(Loss(LossKind.PERF_RING, 0, 1),),
    )


@pytest.mark.parametrize(
    "batch",
    [batch_of(0, 0), batch_of(3, 10), batch_of(70, 1 << 20), batch_of((1 << 20) + 5, 0)],
    ids=["empty", "small", "many bytes", "many events"],
)
def test_parts_fit_a_frame_and_are_complete(batch: PayloadBatch) -> None:
    parts = list(parts_that_fit(batch))
    assert sum(map(len, parts)) == len(batch)
    assert [len(part.losses) for part in parts] == [1] + [0] * (len(parts) - 1)
    for part in parts:
        assert len(part) <= event_frame.BATCH_EVENTS_MAX
        assert part.lengths.sum() + 6 * len(part) + 16 <= event_frame.FRAME_BYTES_MAX


def test_a_payload_too_long_for_any_frame_is_refused() -> None:
    batch = batch_of(2, event_frame.FRAME_BYTES_MAX)
    with pytest.raises(ValueError, match="fits no frame"):
        list(parts_that_fit(batch))


def test_a_context_too_long_for_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="write it in parts"):
        encode_context({"a": "x" * event_frame.FRAME_BYTES_MAX})
