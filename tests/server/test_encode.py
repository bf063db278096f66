from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1 import flow_batches_pb2
from palomar_server import encode, flow_parts
from palomar_server.encode import MASKS_KEPT_MAX, FlowEncoder, ResponseEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.flow_mask import FlowMask
from palomar_server.table import FLOW, REPEATING_OFFSET, Protocol
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

from .random_rows import alike_rows, mask_paths, surroundings

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from palomar_server.flow_parts import Part
    from palomar_server.surroundings import Surroundings
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
NESTED = [
    *("source.pod_name", "source.labels", "IP.source", "l4.TCP.flags.SYN", "event_type.type"),
    # Of these most flows have none: the message on the way to the field is there in any case.
    *("l7.http.code", "trace_context.parent.trace_id", "file.name", "source_service.name"),
    *("tunnel.IP.source", "emitter.version", "time.nanos", "aggregate.ingress_flow_count"),
]
FULL = FlowEncoder(surroundings(), "default/node", ("zone=a",), run_id=1)
"""Of tables that know a few of everything; it keeps what it made of all examples."""


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


def responses_of(
    encoder: ResponseEncoder, rows: Rows, first: int = 0
) -> list[observer_pb2.GetFlowsResponse]:
    sequences = list(range(first, first + len(rows)))
    return parse_responses(encoder.encode_batch(rows, sequences, {}))


def test_the_bytes_are_those_of_the_message(core: Core) -> None:
    rows = core.rows()
    assert len(rows) == len(PAYLOADS)
    for _ in range(2):  # the second time from what was kept
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
        expected = FlowMask(mask).of(core.encoder.flow(rows[index], sequence=index))
        assert response.flow == expected
        assert response.time.ToNanoseconds() == rows["time_ns"][index]
        assert response.node_name == "default/node"


def test_what_a_message_says_of_itself_stays(core: Core) -> None:
    flow = flow_pb2.Flow(uuid="mine", node_name="other/node", Summary="s")
    flow.time.FromNanoseconds(5)
    rows = np.concatenate((flow_rows(1), flow_rows(1, message=1)))
    encoder = core.encoder.responses()
    _, found = parse_responses(encoder.encode_batch(rows, [1, 2], {2: flow.SerializeToString()}))
    assert found.flow == flow
    assert (found.node_name, found.time) == ("other/node", flow.time)
    masked = core.encoder.responses(FieldMask(paths=["Summary"]))
    _, found = parse_responses(masked.encode_batch(rows, [1, 2], {2: flow.SerializeToString()}))
    assert found.flow == flow_pb2.Flow(Summary="s")
    assert (found.node_name, found.time) == ("other/node", flow.time)


def test_a_message_without_node_and_time_gets_those_of_here(core: Core) -> None:
    content = flow_pb2.Flow(Summary="s").SerializeToString()
    rows = flow_rows(1, message=1)
    [found] = parse_responses(core.encoder.responses().encode_batch(rows, [3], {3: content}))
    assert found.flow == core.encoder.flow(rows[0], 3, content=content)
    assert (found.flow.node_name, found.flow.uuid) == ("default/node", core.encoder.uuid(3))


def test_an_empty_mask_is_no_mask(core: Core) -> None:
    assert core.encoder.responses(FieldMask()) is core.encoder.responses()


def test_streams_with_the_same_mask_share_what_is_kept(core: Core) -> None:
    first = core.encoder.responses(FieldMask(paths=["uuid", "time"]))
    assert core.encoder.responses(FieldMask(paths=["time", "uuid", "time"])) is first
    assert core.encoder.responses(FieldMask(paths=["time"])) is not first
    del first
    assert list(core.encoder._masked) == []


@given(alike_rows(), mask_paths() | st.just([]))
def test_under_any_mask_the_bytes_are_those_of_the_message(rows: Rows, paths: list[str]) -> None:
    mask = FieldMask(paths=paths)
    for index, response in enumerate(responses_of(FULL.responses(mask), rows)):
        whole = FULL.flow(rows[index], sequence=index)
        assert response.flow == (FlowMask(mask).of(whole) if paths else whole)


def builds(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts from now on how often each field of some parts is built."""
    built: Counter[str] = Counter()

    def counting(part: Part) -> Part:
        def build(flow: flow_pb2.Flow, fields: Any, surroundings: Surroundings) -> None:
            built.update(part.fields)
            part.build(flow, fields, surroundings)

        return replace(part, build=build, write=None)

    # Parts that are the same object everywhere stay so.
    for name in ("_SOURCE", "_DESTINATION", "_NETWORK", "_HEADER", "_MANNER"):
        part = getattr(flow_parts, name)
        changed = counting(part)
        monkeypatch.setattr(flow_parts, name, changed)
        parts = tuple(changed if one is part else one for one in flow_parts.PARTS)
        monkeypatch.setattr(flow_parts, "PARTS", parts)
    return built


def test_each_part_is_built_once_for_equal_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    built = builds(monkeypatch)
    encoder = Core().encoder.responses()
    # One connection: its packets differ in nothing that a flow has but time and uuid.
    rows = flow_rows(50, bytes=range(50), tgid=range(50), source_port=40_000)
    for _ in range(2):
        found = responses_of(encoder, rows)
    assert len({response.flow.uuid for response in found}) == 50
    assert built["source"] == built["IP"] == built["verdict"] == 1
    # Another port is another header: what the packet's ends and manner are stays.
    rows["source_port"] = range(50)
    assert [one.flow.l4.TCP.source_port for one in responses_of(encoder, rows)] == [*range(50)]
    assert built["source"] == built["IP"] == built["verdict"] == 1
    rows["source_identity"] = 7
    responses_of(encoder, rows)
    assert (built["source"], built["destination"], built["verdict"]) == (2, 1, 1)


def test_parts_kept_for_a_mask_are_bounded_and_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_parts, "MASKED_KEPT_MAX", 4)
    monkeypatch.setattr(encode, "MASKED_PIECES_MAX", 6)
    core = Core()
    encoder = core.encoder.responses(FieldMask(paths=["l4"]))
    # Some of a batch are kept already, and make room for others of it; and a batch is larger than
    # what may be kept.
    for ports in ([1, 2, 3, 4], [1, 5, 2, 6, 7], [*range(50), *range(50)], [1, 1, 49, 48]):
        found = responses_of(encoder, flow_rows(len(ports), source_port=ports))
        assert [one.flow.l4.TCP.source_port for one in found] == ports
        assert len(encoder._pieces[False]) <= 6


def test_responses_of_a_batch_are_fields_of_it(core: Core) -> None:
    content = flow_pb2.Flow(Summary="s").SerializeToString()
    rows = np.concatenate(
        (core.rows(), flow_rows(1, message=1), lost_row(START_NS, 2), flow_rows(1))
    )
    count = len(rows)
    messages = {count - 3: content, count - 2: lost_message(3)}
    for paths in ([], ["uuid", "IP.source"]):
        encoder = core.encoder.responses(FieldMask(paths=paths))
        for _ in range(2):  # the second time from what was kept
            plain = encoder.encode_batch(rows, [*range(count)], messages)
            wrapped = encoder.encode_batch(rows, [*range(count)], messages, wrapped=True)
            batch = flow_batches_pb2.FlowBatch.FromString(b"".join(wrapped))
            assert list(batch.responses) == parse_responses(plain)


def test_rows_that_differ_in_time_and_sequence_only_share_what_is_kept() -> None:
    encoder = Core().encoder.responses()
    varying = [name for name in FLOW.names or () if FLOW.fields[name][1] < REPEATING_OFFSET]  # type: ignore[index]
    values = {name: range(3) for name in varying if name not in ("message", "reserved")}
    responses_of(encoder, flow_rows(3, **values))
    assert len(encoder._pieces[False]) == 1
    responses_of(encoder, flow_rows(3, ip_trace_option=range(3)))
    assert len(encoder._pieces[False]) == 3


def test_parts_are_built_anew_when_a_row_gets_another_meaning() -> None:
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
    found = parse_responses(encoder.encode_batch(rows, [7, 8, 9], {8: lost_message(3)}))
    assert [one.HasField("lost_events") for one in found] == [False, True, False]
    lost = found[1]
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


def test_only_for_few_masks_anything_is_kept() -> None:
    encoder = Core().encoder
    names = [field.name for field in flow_pb2.Flow.DESCRIPTOR.fields]
    kept = [encoder.responses(FieldMask(paths=[name])) for name in names[:MASKS_KEPT_MAX]]
    rows = flow_rows(3, source_port=[1, 2, 3])
    last = encoder.responses(FieldMask(paths=["source", "l4"]))
    for _ in range(2):
        found = responses_of(last, rows)
        assert [one.flow.l4.TCP.source_port for one in found] == [1, 2, 3]
    assert not any(last._pieces.values())
    assert len(kept) == MASKS_KEPT_MAX
