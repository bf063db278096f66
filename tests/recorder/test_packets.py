from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from palomar_recorder.testing import START_NS, packets_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_recorder.packets import Packets


def contents(packets: Packets) -> list[bytes]:
    ends = packets.offsets + packets.captured_bytes
    pairs = zip(packets.offsets.tolist(), ends.tolist(), strict=True)
    return [packets.buffer[start:end].tobytes() for start, end in pairs]


@pytest.mark.parametrize(
    "which", [slice(1, None), np.array([1, 2]), np.array([False, True, True])], ids=str
)
def test_some_packets_are_taken_with_all_that_is_known_of_them(
    which: slice | NDArray[np.intp] | NDArray[np.bool_],
) -> None:
    packets = packets_of([b"a", b"bb", b"ccc"], original_bytes=[10, 20, 30])
    taken = packets.take(which)
    assert len(taken) == 2
    assert contents(taken) == [b"bb", b"ccc"]
    assert taken.original_bytes.tolist() == [20, 30]
    assert taken.times_ns.tolist() == [START_NS + 1_000, START_NS + 2_000]
    assert taken.interface_table == packets.interface_table
    assert np.shares_memory(taken.buffer, packets.buffer)


def test_cut_packets_keep_their_original_length() -> None:
    packets = packets_of([b"a", b"bb", b"ccc"])
    cut = packets.cut(2)
    assert contents(cut) == [b"a", b"bb", b"cc"]
    assert cut.original_bytes.tolist() == [1, 2, 3]
    assert contents(packets) == [b"a", b"bb", b"ccc"]


@pytest.mark.parametrize("which", [[], [1], [0, 2]])
def test_compacted_packets_are_the_same_in_a_buffer_of_their_own(which: list[int]) -> None:
    packets = packets_of([b"a", b"bb", b"ccc"]).take(np.array(which, np.intp))
    compacted = packets.compacted()
    assert contents(compacted) == contents(packets)
    assert len(compacted.buffer) == packets.captured_bytes.sum()
    assert compacted.times_ns.tolist() == packets.times_ns.tolist()
