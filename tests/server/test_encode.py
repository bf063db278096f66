from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server import encode
from palomar_server.encode import FlowEncoder, ResponseEncoder, timestamp, varint
from palomar_server.endpoints import EndpointTable
from palomar_server.table import FLOW, REPEATING_OFFSET, Kind, Protocol
from palomar_server.testing import (
    START_NS,
    Core,
    drop_payload,
    flow_rows,
    lost_message,
    lost_row,
    packet,
    parse_responses,
    trace_payload,
    transport,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from palomar_server.table import Rows

PAYLOADS = [
    *(
        trace_payload(packet(*ends, protocol, transport(protocol, port)), reason=port % 4)
        for ends in (("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2"))
        for protocol in set(Protocol) - {Protocol.VRRP}
        for port in (1, 2)
    ),
    trace_payload(b""),
    trace_payload(packet()[:14]),
    trace_payload(packet(), extension={"time_ns": 1_700_000_000_000_000_001}),
    drop_payload(packet(), extension={"drop_reason": 2, "location": 5, "interface": b"eth0"}),
    drop_payload(packet(), subtype=133),
]
PATHS = [field.name for field in flow_pb2.Flow.DESCRIPTOR.fields]
NESTED = ["source.pod_name", "source.labels", "IP.source", "l4.TCP.flags.SYN", "event_type.type"]


@pytest.fixture
def core() -> Core:
    core = Core()
    core.surroundings.apply(
        {
            "reasons": {"2": "NO_SOCKET"},
            "endpoints": {"web": {"at_ns": 0, "addresses": ["10.0.0.1"], "pod_name": "web-0"}},
        }
    )
    core.consume(*PAYLOADS)
    return core


def no_message(_: int) -> bytes:
    return b""


def responses_of(
    encoder: ResponseEncoder, rows: Rows, first: int = 0
) -> list[observer_pb2.GetFlowsResponse]:
    sequences = list(range(first, first + len(rows)))
    return parse_responses(content for _, content in encoder.encode(rows, sequences, no_message))


@given(st.integers(0, (1 << 64) - 1))
def test_times_are_protobuf_timestamps(time_ns: int) -> None:
    content = timestamp(time_ns)
    expected = Timestamp()
    expected.FromNanoseconds(time_ns)
    assert content[0] == len(content) - 1
    assert Timestamp.FromString(content[1:]) == expected


@pytest.mark.parametrize(
    ("number", "content"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")]
)
def test_numbers_are_base_128(number: int, content: bytes) -> None:
    assert varint(number) == content


def test_the_bytes_are_those_of_the_message(core: Core) -> None:
    rows = core.rows()
    assert len(rows) == len(PAYLOADS)
    for _ in range(2):  # the second time from fragments
        found = responses_of(core.encoder.responses(), rows, first=5)
        for index, response in enumerate(found):
            assert response.flow == core.encoder.flow(rows[index], sequence=5 + index)
            assert response.flow.time == response.time
            assert response.node_name == response.flow.node_name == "default/node"


@pytest.mark.parametrize(
    "paths", [*([path] for path in PATHS), *([path] for path in NESTED), ["uuid", "IP.source"]]
)
def test_a_mask_leaves_what_the_message_route_leaves(core: Core, paths: list[str]) -> None:
    mask, rows = FieldMask(paths=paths), core.rows()
    for index, response in enumerate(responses_of(core.encoder.responses(mask), rows)):
        expected = flow_pb2.Flow()
        mask.MergeMessage(core.encoder.flow(rows[index], sequence=index), expected)
        assert response.flow == expected
        assert response.time.ToNanoseconds() == rows["time_ns"][index]
        assert response.node_name == "default/node"


def test_a_mask_of_a_part_of_the_time_gives_all_of_it(core: Core) -> None:
    [response] = responses_of(
        core.encoder.responses(FieldMask(paths=["time.seconds"])), core.rows()[:1]
    )
    assert response.flow == flow_pb2.Flow(time=response.time)
    assert response.HasField("time")


def test_an_empty_mask_is_no_mask(core: Core) -> None:
    assert core.encoder.responses(FieldMask()) is core.encoder.responses()


def test_streams_with_the_same_mask_share_their_fragments(core: Core) -> None:
    first = core.encoder.responses(FieldMask(paths=["uuid", "time"]))
    assert core.encoder.responses(FieldMask(paths=["time", "uuid", "time"])) is first
    assert core.encoder.responses(FieldMask(paths=["time"])) is not first
    del first
    assert list(core.encoder._masked) == []


def test_a_connection_is_serialised_once(core: Core) -> None:
    encoder = core.encoder.responses()
    rows = flow_rows(50, bytes=range(50), tgid=range(50))
    assert len(responses_of(encoder, rows)) == 50
    assert len(encoder._fragments) == 1


@pytest.mark.parametrize("column", FLOW.names or ())
def test_every_column_that_repeats_tells_fragments_apart(core: Core, column: str) -> None:
    encoder = core.encoder.responses()
    rows = flow_rows(2)
    raw = rows.view(np.uint8).reshape(2, FLOW.itemsize)
    assert FLOW.fields is not None
    offset = FLOW.fields[column][1]
    # Row 1 is there in all the tables, and makes a loss notice of the kind.
    raw[1, offset] ^= 1
    responses_of(encoder, rows)
    assert len(encoder._fragments) == 1 + (offset >= REPEATING_OFFSET and column != "kind")


def test_fragments_are_bounded(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "MASKED_FRAGMENTS_MAX", 4)
    encoder = core.encoder.responses(FieldMask(paths=["l4"]))
    rows = flow_rows(50, source_port=range(50))
    for content, row in zip(encoder.encode(rows, list(range(50)), no_message), rows, strict=True):
        [response] = parse_responses([content[1]])
        assert response.flow.l4.TCP.source_port == row["source_port"]
        assert len(encoder._fragments) <= 4


def test_fragments_are_dropped_when_a_row_gets_another_meaning() -> None:
    core = Core(endpoints=EndpointTable(rows_max=1, grace_ns=0))
    web = {"at_ns": 0, "addresses": ["10.0.0.1"], "pod_name": "web-0"}
    core.surroundings.apply({"endpoints": {"web": web}})
    rows = flow_rows(1, source_endpoint=1)
    encoder = core.encoder.responses()
    assert responses_of(encoder, rows)[0].flow.source.pod_name == "web-0"
    core.surroundings.apply({"endpoints": {"web": {"removed_ns": 5}}})
    core.surroundings.apply({"endpoints": {"db": {**web, "pod_name": "db-0"}}}, oldest_ns=10)
    assert responses_of(encoder, rows)[0].flow.source.pod_name == "db-0"


def test_loss_notices_keep_their_message_and_their_place(core: Core) -> None:
    rows = np.concatenate((flow_rows(1), lost_row(START_NS + 5), flow_rows(1)))
    encoder = core.encoder.responses(FieldMask(paths=["uuid"]))
    found = list(encoder.encode(rows, [7, 8, 9], {8: lost_message(3)}.__getitem__))
    assert [kind for kind, _ in found] == [Kind.FLOW, Kind.LOST, Kind.FLOW]
    lost = parse_responses(content for _, content in found)[1]
    assert lost.lost_events.num_events_lost == 3
    assert lost.time.ToNanoseconds() == START_NS + 5
    assert lost.node_name == "default/node"


@pytest.mark.parametrize(
    ("response_type", "field"),
    [
        (observer_pb2.GetAgentEventsResponse, "agent_event"),
        (observer_pb2.GetDebugEventsResponse, "debug_event"),
    ],
)
def test_an_event_response_is_what_both_event_streams_send(
    core: Core, response_type: type[Message], field: str
) -> None:
    event = flow_pb2.AgentEvent(type=flow_pb2.POLICY_UPDATED).SerializeToString()
    response: Any = response_type.FromString(core.encoder.event_response(event, START_NS + 5))
    assert getattr(response, field).SerializeToString() == event
    assert response.time.ToNanoseconds() == START_NS + 5
    assert response.node_name == "default/node"


def encoder_of_run(run_id: int | None) -> FlowEncoder:
    return FlowEncoder(Core().surroundings, "default/node", run_id=run_id)


@given(st.integers(0, (1 << 60) - 1), st.integers(0, (1 << 62) - 1))
def test_uuids_are_those_of_rfc_9562_version_8(run_id: int, sequence: int) -> None:
    text = encoder_of_run(run_id).uuid(sequence)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    # Nothing of either number is lost, so no two are alike.
    assert parsed.int & ((1 << 62) - 1) == sequence
    assert (parsed.int >> 80) << 12 | parsed.int >> 64 & 0xFFF == run_id


def test_two_runs_have_no_uuid_in_common() -> None:
    assert encoder_of_run(None).uuid(0) != encoder_of_run(None).uuid(0)


def test_the_source_says_which_node_its_payloads_are_from(core: Core) -> None:
    rows = flow_rows(1)
    encoder = core.encoder.responses()
    before = responses_of(encoder, rows)[0].node_name
    core.surroundings.apply({"node_name": "other/node"})
    [response] = responses_of(encoder, rows)
    assert (response.node_name, response.flow.node_name) == ("other/node", "other/node")
    assert before != "other/node"
