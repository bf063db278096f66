from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.payload import MessageType
from palomar_server.decode.arrange import Arrangement, arrange
from palomar_server.decode.gather import Scratch
from palomar_server.decode.malformed import Malformed
from palomar_server.testing import batch_of, drop_payload, flow_rows, trace_payload

TRACE, DROP = trace_payload(b"packet"), drop_payload(b"packet")
AGENT = bytes([MessageType.AGENT]) * 5
PAYLOADS = st.lists(st.sampled_from([TRACE, DROP, AGENT, b"", b"\xff"]), min_size=1, max_size=30)


def arranged(*payloads: bytes) -> Arrangement:
    batch = batch_of(payloads)
    return arrange(batch, Scratch().padded(batch.buffer))


def test_payloads_of_one_kind_stay_where_they_are() -> None:
    found = arranged(TRACE, TRACE, TRACE)
    assert found.order is None
    assert [(layout.kind, where) for layout, where in found.groups] == [
        (MessageType.TRACE, slice(0, 3))
    ]
    assert found.rare == slice(3, 3)
    assert [found.index(position) for position in range(3)] == [0, 1, 2]


@given(PAYLOADS)
def test_payloads_of_a_kind_lie_side_by_side_as_they_came(payloads: list[bytes]) -> None:
    found = arranged(*payloads)
    seen = []
    for layout, where in found.groups:
        indices = [found.index(position) for position in range(where.start, where.stop)]
        assert indices == sorted(indices)
        assert {payloads[index][0] for index in indices} == {layout.kind}
        seen += indices
    seen += [found.index(position) for position in range(found.rare.start, found.rare.stop)]
    bad = found.malformed.nonzero()[0].tolist()
    # The rare ones stand behind those of the columns, the malformed behind all.
    assert bad == list(range(found.rare.stop, len(payloads)))
    seen += [found.index(position) for position in bad]
    assert sorted(seen) == list(range(len(payloads)))
    lengths = [len(payloads[found.index(position)]) for position in range(len(payloads))]
    assert found.lengths.tolist() == lengths


@given(PAYLOADS, st.data())
def test_rows_are_put_back_by_time_then_as_they_came(
    payloads: list[bytes], data: st.DataObject
) -> None:
    count = len(payloads)
    times = data.draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
    kept = data.draw(st.none() | st.lists(st.booleans(), min_size=count, max_size=count))
    found = arranged(*payloads)
    came = [found.index(position) for position in range(count)]
    rows = flow_rows(count, time_ns=[times[index] for index in came], bytes=came)
    positions = None if kept is None else np.array(kept, np.bool_).nonzero()[0]
    left = rows if positions is None else rows[positions]
    back = found.put_back(left, positions)
    expected = sorted(left["bytes"].tolist(), key=lambda index: (times[index], index))
    assert back["bytes"].tolist() == expected


@pytest.mark.parametrize("payloads", [(TRACE, DROP), (DROP, TRACE, TRACE)])
def test_rows_that_were_moved_are_copied(payloads: tuple[bytes, ...]) -> None:
    found = arranged(*payloads)
    rows = flow_rows(len(payloads), time_ns=1)
    assert not np.shares_memory(found.put_back(rows, None), rows)


def test_faults_move_with_their_payload() -> None:
    found = arranged(b"", DROP, b"\xff", TRACE)
    faults = {found.index(position): int(found.malformed[position]) for position in range(4)}
    assert faults == {0: Malformed.EMPTY, 1: 0, 2: Malformed.UNKNOWN_TYPE, 3: 0}
