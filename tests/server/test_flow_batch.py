from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch
from palomar_server.flow_batch import flows_behind, frame, joined, losses, pieces
from palomar_server.protobuf_bytes import field
from palomar_server.reading import Portion
from palomar_server.ring_loss import NOTHING, RingLoss
from palomar_server.testing import START_NS, flow_rows, lost_message, lost_row


def portion(first: int = 0, lost: RingLoss = NOTHING) -> Portion:
    """A flow, a notice of three lost events, and a flow."""
    rows = np.concatenate((flow_rows(), lost_row(), flow_rows()))
    sequences = [first, first + 1, first + 2]
    messages = {first + 1: lost_message(3)}
    return Portion(rows, sequences, messages, lost, first + 3, 0, complete=False)


@given(st.lists(st.text(max_size=300), max_size=50), st.integers(0, (1 << 64) - 51))
def test_framed_responses_are_a_batch(names: list[str], first: int) -> None:
    responses = [GetFlowsResponse(node_name=name) for name in names]
    sequences = list(range(first, first + len(names)))
    wrapped = [field(1, one.SerializeToString()) for one in responses]
    framed = frame(wrapped, sequences)
    assert FlowBatch.FromString(framed) == FlowBatch(responses=responses, sequences=sequences)


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 10), st.integers(1, 200))
def test_pieces_are_within_the_limits(sizes: list[int], responses_max: int, bytes_max: int) -> None:
    responses = [bytes(size) for size in sizes]
    found = [responses[one] for one in pieces(responses, responses_max, bytes_max)]
    assert found
    assert [one for piece in found for one in piece] == responses
    for piece in found:
        assert len(piece) <= responses_max
        assert len(piece) <= 1 or sum(map(len, piece)) <= bytes_max


def test_the_stream_s_own_loss_goes_with_the_first_rows() -> None:
    found = portion(lost=RingLoss(7, START_NS, START_NS + 1))
    told = [(one.source, one.num_events_lost) for one in losses(found, slice(0, 1))]
    assert told == [(flow_pb2.HUBBLE_RING_BUFFER, 7)]
    told = [(one.source, one.num_events_lost) for one in losses(found, slice(1, 3))]
    assert told == [(flow_pb2.PERF_EVENT_RING_BUFFER, 3)]
    assert losses(found, slice(2, 3)) == []


def test_a_sum_spans_the_times_of_its_notices() -> None:
    rows = np.concatenate((lost_row(START_NS + 5), lost_row(START_NS + 2)))
    messages = {0: lost_message(1), 1: lost_message(2)}
    (loss,) = losses(Portion(rows, [0, 1], messages, NOTHING, 2, 0, complete=True), slice(0, 2))
    assert loss.num_events_lost == 3
    assert loss.first.ToNanoseconds() == START_NS + 2
    assert loss.last.ToNanoseconds() == START_NS + 5
    assert not loss.HasField("cpu")


def test_portions_are_joined_in_their_order() -> None:
    whole = joined(portion(0, RingLoss(1, 10, 10)), portion(3, RingLoss(2, 20, 20)))
    assert whole.sequences == [0, 1, 2, 3, 4, 5]
    assert len(whole.rows) == 6
    assert set(whole.messages) == {1, 4}
    assert whole.lost == RingLoss(3, 10, 20)
    assert whole.position == 6
    assert joined(portion(), portion(3)).lost == NOTHING


def test_flows_behind_a_position_are_counted_without_notices() -> None:
    assert [flows_behind(portion(), sequence) for sequence in range(3)] == [1, 1, 0]
