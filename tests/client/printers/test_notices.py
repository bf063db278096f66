from typing import Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from palomar.printers import notices
from palomar.printers.time_format import time_formatter
from palomar_proto.flow.flow_pb2 import LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.relay import relay_pb2
from palomar_proto.relay.relay_pb2 import NodeStatusEvent

FORMAT = time_formatter("RFC3339")


@pytest.mark.parametrize(
    ("number", "name"),
    [(3, "HUBBLE_RING_BUFFER"), (1000, "KERNEL_RATE_LIMIT"), (1001, "DECODER"),
     (0, "UNKNOWN_LOST_EVENT_SOURCE"), (77, "77")],
)  # fmt: skip
def test_stages_of_loss_have_names(number: int, name: str) -> None:
    assert notices.loss_source(LostEvent(source=cast("Any", number))) == name


def test_span_of_a_loss_needs_both_ends() -> None:
    lost = LostEvent(first=Timestamp(seconds=1))
    assert notices.loss_span(lost, FORMAT) == ""
    lost.last.seconds = 2
    span = " (first: 1970-01-01T00:00:01Z, last: 1970-01-01T00:00:02Z)"
    assert notices.loss_span(lost, FORMAT) == span


def test_node_names_are_counted_beyond_a_line() -> None:
    names = [f"west/worker-{number:02d}" for number in range(12)]
    shown = notices.node_names(NodeStatusEvent(node_names=names))
    assert shown == "west/worker-00, west/worker-01, west/worker-02 (and 9 more)"
    assert notices.node_names(NodeStatusEvent(node_names=["x" * 90, "y"])).endswith(" (and 1 more)")


@pytest.mark.parametrize(
    ("state", "text"),
    [(1, "Receiving flows from 1 nodes: a"), (2, "1 nodes are unavailable: a"),
     (3, "1 nodes removed from cluster: a"), (4, 'Error "\\x1b[2J" on 1 nodes: a'),
     (9, "unknown node state 9 of 1 nodes: a")],
)  # fmt: skip
def test_node_states_are_told_in_a_line(state: int, text: str) -> None:
    status = NodeStatusEvent(state_change=cast("Any", state), node_names=["a"], message="\x1b[2J")
    line = notices.node_status_line(GetFlowsResponse(node_status=status, node_name="r"), FORMAT)
    assert line == f"N/A [r]: {text}\n"


def test_only_missing_flows_are_trouble() -> None:
    trouble = {relay_pb2.NODE_UNAVAILABLE, relay_pb2.NODE_ERROR}
    for state in relay_pb2.NodeState.values():
        status = NodeStatusEvent(state_change=state)
        assert notices.is_trouble(status) is (state in trouble)


def test_states_without_words_are_put_as_hubble_does_where_asked() -> None:
    status = NodeStatusEvent(state_change=cast("Any", 9), node_names=["a", "b"], message='x"')
    line = notices.node_status_line(GetFlowsResponse(node_status=status), FORMAT, strict=True)
    shown = 'state_change:9 node_names:"a" node_names:"b" message:"x\\""'
    assert line.endswith(f": unknown node status event: {shown}\n")
