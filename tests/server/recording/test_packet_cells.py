"""Cells hold what is at their places, and zeros behind the buffer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.recording.packet_cells import batch_of_cells, cut_cells


@given(st.data(), st.binary(min_size=1, max_size=64), st.integers(1, 80))
def test_cells_are_what_slices_are(data: st.DataObject, content: bytes, size: int) -> None:
    starts = data.draw(st.lists(st.integers(0, len(content)), max_size=10))
    buffer = np.frombuffer(content, np.uint8)
    cells = cut_cells(buffer, np.array(starts, np.int64), size)
    assert cells.shape == (len(starts), size)
    for start, cell in zip(starts, cells, strict=True):
        assert cell.tobytes() == content[start : start + size].ljust(size, b"\0")


def test_a_batch_of_cells_has_each_payload_as_far_as_its_cell_goes() -> None:
    cells = np.arange(20, dtype=np.uint8).reshape(2, 10)
    batch = batch_of_cells(cells, np.array([4, 400]), 7)
    assert [batch.payload(0), batch.payload(1)] == [bytes(range(4)), bytes(range(10, 20))]
    assert batch.received_ns == 7
