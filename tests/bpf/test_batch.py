"""The batch that sources hand over."""

from __future__ import annotations

import numpy as np

from palomar_bpf.batch import Loss, LossKind, PayloadBatch


def test_payload_is_cut_out_of_the_buffer_whatever_lies_between() -> None:
    batch = PayloadBatch(
        np.frombuffer(b"..first....second", np.uint8),
        np.array([2, 11]),
        np.array([5, 6]),
        np.array([0, 1], np.uint16),
        0,
    )
    assert len(batch) == 2
    assert [batch.payload(0), batch.payload(1)] == [b"first", b"second"]
    assert batch.losses == ()


def test_batch_of_single_payloads_holds_them_in_order() -> None:
    losses = (Loss(LossKind.PERF_RING, 1, 5),)
    batch = PayloadBatch.of([b"one", b"", b"three"], received_ns=7, cpus=[1, 2, 0], losses=losses)
    assert [batch.payload(row) for row in range(3)] == [b"one", b"", b"three"]
    assert batch.cpus.tolist() == [1, 2, 0]
    assert (batch.received_ns, batch.losses) == (7, losses)
    empty = PayloadBatch.of((), received_ns=7)
    assert len(empty) == len(empty.buffer) == 0
    assert [column.dtype for column in (empty.offsets, empty.cpus)] == [np.int64, np.uint16]
