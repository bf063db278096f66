from __future__ import annotations

import numpy as np

from palomar_server.decode.layers import NO_PROTOCOL, Layers, which_of
from palomar_server.decode.malformed import Malformed
from palomar_server.testing import flow_rows


def layers(count: int, ours: list[bool] | None = None) -> Layers:
    start = np.arange(count, dtype=np.int64) * 10
    return Layers(
        np.zeros(count * 10, np.uint8),
        flow_rows(count),
        np.zeros(count, np.uint8),
        start,
        start + 10,
        ours=None if ours is None else np.array(ours),
    )


def test_a_packet_starts_with_nothing_known() -> None:
    fresh = layers(2)
    assert fresh.protocol.tolist() == [NO_PROTOCOL] * 2
    assert (fresh.flags.tolist(), fresh.ethertype.tolist()) == ([0, 0], [0, 0])
    fresh.at += 4
    fresh.end -= 1
    # Where the capture ends does not move with the headers.
    assert fresh.stop.tolist() == [10, 20]


def test_packets_of_ours_are_not_held_to_the_rules_of_others() -> None:
    assert np.all(layers(2).foreign(slice(None)))
    mixed = layers(3, [True, False, True])
    assert np.array_equal(mixed.foreign(slice(None)), [False, True, False])
    assert np.array_equal(mixed.foreign(np.array([1, 2])), [True, False])


def test_faults_are_noted_where_they_are() -> None:
    some = layers(3)
    some.fault(np.array([0, 2]), np.array([0, Malformed.TCP_TOO_SHORT], np.uint8))
    assert some.malformed.tolist() == [0, 0, Malformed.TCP_TOO_SHORT]


def test_all_rows_are_a_slice() -> None:
    assert which_of(np.array([True, True])) == slice(None)
    which = which_of(np.array([False, True]))
    assert isinstance(which, np.ndarray)
    assert which.tolist() == [1]
