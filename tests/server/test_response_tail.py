from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.flow_mask import FlowMask
from palomar_server.protobuf_bytes import varint
from palomar_server.response_tail import ResponseTail
from palomar_server.testing import Core

ENCODER = Core().encoder
NODE = flow_pb2.Flow(node_name="default/node").SerializeToString()


def parsed(tail: ResponseTail, content: bytes) -> observer_pb2.GetFlowsResponse:
    return observer_pb2.GetFlowsResponse.FromString(b"\x0a" + varint(tail.flow_bytes) + content)


@given(st.lists(st.integers(0, (1 << 62) - 1), min_size=1), st.integers(0, (1 << 64) - 1))
def test_a_tail_has_time_uuid_and_node(sequences: list[int], time_ns: int) -> None:
    tail = ResponseTail(ENCODER.uuid_prefix, NODE, ENCODER.node_field(), None)
    times = np.full(len(sequences), time_ns, np.uint64)
    for sequence, content in zip(sequences, tail.of(times, sequences), strict=True):
        response = parsed(tail, content)
        assert response.flow.node_name == "default/node"
        assert response.flow.uuid == ENCODER.uuid(sequence)
        assert response.flow.time == response.time
        assert response.time.ToNanoseconds() == time_ns
        assert response.node_name == "default/node"


@pytest.mark.parametrize(
    "paths", [["uuid"], ["time"], ["time.seconds"], ["time.nanos"], ["uuid", "time"], ["l4"]]
)
def test_a_mask_leaves_the_flows_own_out_but_not_the_responses(paths: list[str]) -> None:
    mask = FlowMask(FieldMask(paths=paths))
    tail = ResponseTail(ENCODER.uuid_prefix, b"", ENCODER.node_field(), mask)
    response = parsed(tail, tail.of(np.array([5_000_000_007], np.uint64), [9])[0])
    whole = flow_pb2.Flow(uuid=ENCODER.uuid(9), time=response.time)
    assert response.flow == mask.of(whole)
    assert response.time.ToNanoseconds() == 5_000_000_007
    assert response.node_name == "default/node"
