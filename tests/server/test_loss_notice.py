"""Notices of loss."""

from __future__ import annotations

import pytest

from palomar_bpf.batch import LossKind
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import loss_pb2
from palomar_server.loss_notice import SOURCES, lost_event


def test_every_stage_of_a_source_has_a_number_of_its_own() -> None:
    assert set(SOURCES) == set(LossKind)
    assert len(set(SOURCES.values())) == len(LossKind)
    assert flow_pb2.UNKNOWN_LOST_EVENT_SOURCE not in SOURCES.values()


def test_a_notice_says_only_what_is_known() -> None:
    bare = lost_event(flow_pb2.HUBBLE_RING_BUFFER, 7)
    assert (bare.source, bare.num_events_lost) == (flow_pb2.HUBBLE_RING_BUFFER, 7)
    assert [field.name for field, _ in bare.ListFields()] == ["source", "num_events_lost"]
    full = lost_event(flow_pb2.PERF_EVENT_RING_BUFFER, 1, cpu=0, first_ns=1, last_ns=2)
    assert (full.HasField("cpu"), full.cpu.value) == (True, 0)
    assert (full.first.ToNanoseconds(), full.last.ToNanoseconds()) == (1, 2)


@pytest.mark.parametrize(
    ("source", "shown"),
    [(loss_pb2.KERNEL_RATE_LIMIT, loss_pb2.KERNEL_RATE_LIMIT), (4, 0), (999, 0), (0, 0)],
)
def test_a_stage_without_a_name_is_unknown(source: int, shown: int) -> None:
    assert int(lost_event(source, 1).source) == shown
