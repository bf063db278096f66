"""The batch that sources hand over."""

from __future__ import annotations

import numpy as np

from palomar_bpf.batch import PayloadBatch


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
