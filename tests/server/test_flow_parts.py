from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server import flow_message, flow_parts
from palomar_server.encode import SAME_FIELDS
from palomar_server.endpoints import EndpointTable
from palomar_server.flow_mask import FlowMask
from palomar_server.flow_message import build_flow
from palomar_server.flow_parts import PARTS, FlowParts, KeptPart, Part
from palomar_server.surroundings import Surroundings
from palomar_server.table import FLOW, Flag, Protocol
from palomar_server.testing import flow_rows

from .random_rows import alike_rows, mask_paths, surroundings

if TYPE_CHECKING:
    from palomar_server.table import Rows

TABLES = surroundings()
WARM = FlowParts(TABLES)
"""Keeps what it made of all examples: a part that is kept by too little shows in some later one."""
OF_PARTS = frozenset[str]().union(*(part.fields for part in PARTS))


def parsed(parts: FlowParts, rows: Rows) -> list[flow_pb2.Flow]:
    return [flow_pb2.Flow.FromString(b"".join(made)) for made in parts.of(rows)]


def test_each_field_belongs_to_one_part_or_none() -> None:
    told = [*(name for part in PARTS for name in part.fields), *SAME_FIELDS, "time", "uuid"]
    assert sorted(told) == sorted(flow_pb2.Flow.DESCRIPTOR.fields_by_name)
    only_in_messages = {"l7", "trace_context", "extensions", "aggregate"}
    assert {"node_name", "node_labels", "emitter"} | only_in_messages == SAME_FIELDS


@given(alike_rows())
def test_joined_parts_are_the_flow(rows: Rows) -> None:
    for row, flow in zip(rows, parsed(WARM, rows), strict=True):
        assert flow == build_flow(row, TABLES)


@given(alike_rows())
def test_no_part_sets_a_field_of_another(rows: Rows) -> None:
    for part in PARTS:
        if "policy_log" in part.fields:
            rows = rows[rows["event_type"] == MessageType.POLICY_VERDICT]
        for content in KeptPart(part, TABLES).of(rows):
            flow = flow_pb2.Flow.FromString(content)
            assert {field.name for field, _ in flow.ListFields()} <= part.fields


@given(alike_rows(), mask_paths())
def test_a_mask_leaves_of_the_parts_what_it_leaves_of_the_flow(
    rows: Rows, paths: list[str]
) -> None:
    mask = FlowMask(FieldMask(paths=paths))
    parts, wanted = FlowParts(TABLES, mask), mask.among(OF_PARTS)
    for _ in range(2):  # the second time from what was kept
        for row, flow in zip(rows, parsed(parts, rows), strict=True):
            assert flow == wanted.of(build_flow(row, TABLES))


@pytest.mark.parametrize(
    ("path", "absent"),
    [
        ("file.name", "file"),
        ("source_service.name", "source_service"),
        ("tunnel.l4.UDP.source_port", "tunnel"),
        ("interface.index", "interface"),
    ],
)
def test_a_mask_has_the_messages_on_its_way_in_flows_without_them(path: str, absent: str) -> None:
    # Nobody knows a service here, and no packet was dropped.
    tables = Surroundings(EndpointTable())
    mask = FlowMask(FieldMask(paths=[path]))
    [flow] = parsed(FlowParts(tables, mask), flow_rows())
    assert flow.HasField(absent)  # type: ignore[arg-type]
    assert flow == mask.of(build_flow(flow_rows()[0], tables))


def verdicts(**columns: object) -> Rows:
    """Two verdicts on connections to the endpoint that has policies for ingress."""
    return flow_rows(
        2,
        **{
            "event_type": MessageType.POLICY_VERDICT,
            "destination_endpoint": 1,
            "source_identity": 7,
            "destination_port": 80,
            "direction": flow_pb2.INGRESS,
            **columns,
        },
    )


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({}, "ingress_allowed_by"),
        (
            {"verdict": flow_pb2.DROPPED, "drop_reason": flow_pb2.POLICY_DENY},
            "ingress_denied_by",
        ),
        ({"protocol": Protocol.ICMP, "icmp_type": 8}, "ingress_allowed_by"),
        ({"direction": flow_pb2.EGRESS, "source_endpoint": 4}, "egress_allowed_by"),
    ],
)
def test_a_verdict_names_the_policies_behind_it(columns: dict[str, Any], field: str) -> None:
    if "source_endpoint" in columns:
        columns = {**columns, "destination_identity": 7}
    rows = verdicts(**columns)
    # A row without verdict between them has none.
    rows = np.concatenate((rows[:1], flow_rows(), rows[1:]))
    first, other, second = parsed(FlowParts(TABLES), rows)
    assert [policy.name for policy in getattr(first, field)] == ["allow-web"]
    assert list(first.policy_log) == ["told"]
    assert first == second == build_flow(rows[0], TABLES)
    assert other == build_flow(rows[1], TABLES)


class Counting:
    """A part of one column that counts how often it is built."""

    def __init__(self) -> None:
        self.built: list[int] = []
        self.part = Part(frozenset({"proxy_port"}), ("proxy_port",), self.build, int(Flag.IP))

    def build(self, flow: flow_pb2.Flow, fields: Any, surroundings: Surroundings) -> None:
        assert surroundings is TABLES
        self.built.append(fields.proxy_port)
        flow.proxy_port = fields.proxy_port


def ports_of(kept: KeptPart, rows: Rows) -> list[int]:
    return [flow_pb2.Flow.FromString(content).proxy_port for content in kept.of(rows)]


def test_a_part_is_built_once_for_equal_columns() -> None:
    counting = Counting()
    kept = KeptPart(counting.part, TABLES)
    rows = flow_rows(6, proxy_port=[1, 2, 1, 1, 3, 2], source_port=range(6))
    assert ports_of(kept, rows) == ports_of(kept, rows) == [1, 2, 1, 1, 3, 2]
    assert counting.built == [1, 2, 3]


def test_only_flags_that_decide_on_a_part_tell_its_contents_apart() -> None:
    counting = Counting()
    kept = KeptPart(counting.part, TABLES)
    kept.of(flow_rows(4, flags=[Flag.IP, Flag.IP | Flag.L4, Flag.L4, 0]))
    assert len(counting.built) == 2


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(1, 8))
def test_contents_kept_are_bounded_by_two_generations(ports: list[int], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_parts, "KEPT_MAX", most)
        kept = KeptPart(Counting().part, TABLES)
        for batch in (ports, ports[::-1]):
            assert ports_of(kept, flow_rows(len(batch), proxy_port=batch)) == batch
            assert max(len(kept._young), len(kept._old)) <= most


def test_what_is_in_use_outlives_what_was_used_once() -> None:
    counting = Counting()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_parts, "MASKED_KEPT_MAX", 4)
        mask = FlowMask(FieldMask(paths=["proxy_port"]))
        kept = KeptPart(counting.part, TABLES, mask)
    for port in range(1, 100):
        kept.of(flow_rows(2, proxy_port=[1_000, port]))
    assert counting.built.count(1_000) == 1
    assert len(counting.built) == 100


def test_a_part_sees_its_own_columns_only() -> None:
    # A builder that reads what the key does not have fails, instead of giving others' flows.
    part = Part(frozenset({"l4"}), ("protocol",), flow_message.set_l4, int(Flag.L4))
    with pytest.raises(AttributeError, match="event_type"):
        KeptPart(part, TABLES).of(flow_rows())


def test_no_rows_have_no_parts() -> None:
    nothing = np.zeros(0, FLOW)
    assert FlowParts(TABLES).of(nothing) == []
    only_time = FlowParts(TABLES, FlowMask(FieldMask(paths=["time"])))
    assert (only_time.of(nothing), only_time.of(flow_rows(2))) == ([], [(), ()])


def test_a_mask_that_wants_whole_headers_does_not_make_them_slower() -> None:
    paths = ["IP", "ethernet", "l4", "source.pod_name"]
    whole = FlowParts(TABLES, FlowMask(FieldMask(paths=paths)))
    assert whole._ports is not None
    assert [kept._write for kept in whole._kept if kept.part.write] == [
        part.write for part in PARTS if part.write
    ]
    paths = ["IP.source", "l4.TCP", "tunnel.IP"]
    partly = FlowParts(TABLES, FlowMask(FieldMask(paths=paths)))
    assert partly._ports is None
    assert not any(kept._write for kept in partly._kept)
