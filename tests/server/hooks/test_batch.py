from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.hooks import DeliveryBatch, FlowBatch, FlowStream
from palomar_server.peer import OWN
from palomar_server.table import Kind
from palomar_server.testing import Core, event_row, flow_rows, lost_message, lost_row

if TYPE_CHECKING:
    from typing import Any


class CountingEncoder:
    """Notes which flows it builds."""

    def __init__(self) -> None:
        self.built: list[tuple[int, int | None, bytes]] = []

    def flow(self, row: Any, sequence: int | None = None, *, content: bytes = b"") -> flow_pb2.Flow:
        self.built.append((int(row["source_port"]), sequence, content))
        return flow_pb2.Flow(uuid=str(row["source_port"]))


def test_no_flow_is_built_before_somebody_asks_and_none_twice() -> None:
    encoder = CountingEncoder()
    batch = FlowBatch(flow_rows(3, source_port=[1, 2, 3]), encoder)
    assert encoder.built == []
    assert batch.flow(1) is batch.flow(1)
    assert encoder.built == [(2, None, b"")]


def test_what_is_left_of_a_batch_shares_its_flows() -> None:
    encoder = CountingEncoder()
    batch = FlowBatch(flow_rows(4, source_port=[1, 2, 3, 4]), encoder)
    third = batch.flow(2)
    left = batch.take(np.array([False, True, True, True]))
    assert left.flow(1) is third
    assert left.take(np.array([False, True, True])).flow(0) is third
    assert (left.flow(0).uuid, batch.flow(1).uuid) == ("2", "2")
    assert [port for port, _, _ in encoder.built] == [3, 2]


def test_flows_are_built_anew_after_a_change_of_columns() -> None:
    batch = FlowBatch(flow_rows(1, source_port=1), Core().encoder)
    assert batch.flow(0).l4.TCP.source_port == 1
    batch.rows["source_port"] = 2
    batch.forget_flows()
    assert batch.flow(0).l4.TCP.source_port == 2


def test_a_row_has_its_message_wherever_it_went() -> None:
    messages = [lost_message(7), flow_pb2.AgentEvent().SerializeToString()]
    rows = np.concatenate((flow_rows(1), lost_row(), event_row(Kind.AGENT, message=2)))
    batch = FlowBatch(rows, Core().encoder, messages)
    assert [batch.content(index) for index in range(3)] == [b"", *messages]
    left = batch.take(np.array([False, True, False]))
    assert left.content(0) == messages[0]


def test_rows_that_are_no_flows_have_an_empty_one() -> None:
    batch = FlowBatch(lost_row(), Core().encoder, [lost_message()])
    assert batch.flow(0) == flow_pb2.Flow()


def test_flows_on_their_way_to_a_stream_have_their_numbers() -> None:
    encoder = CountingEncoder()
    stream = FlowStream(observer_pb2.GetFlowsRequest(number=5), OWN)
    rows = flow_rows(3, source_port=[1, 2, 3], message=[0, 1, 1])
    batch = DeliveryBatch(rows, encoder, {20: b"twenty"}, [10, 20, 30], stream)
    assert len(batch) == 3
    left = batch.take(np.array([False, True, True]))
    assert (left.sequences, left.stream) == ([20, 30], stream)
    assert left.content(0) == b"twenty"
    left.flow(0)
    assert encoder.built == [(2, 20, b"twenty")]
    # Its message has made room for others.
    assert left.flow(1) == flow_pb2.Flow()


def test_a_stream_can_be_remembered_without_being_kept() -> None:
    stream = FlowStream(observer_pb2.GetFlowsRequest(), OWN)
    known = weakref.WeakKeyDictionary({stream: 1})
    assert known[stream] == 1
    del stream
    gc.collect()
    assert len(known) == 0
