from __future__ import annotations

import asyncio

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.errors import InvalidRequest, NotFound
from palomar_server.explain.subject import Subject, Subjects
from palomar_server.explain.window import Window
from palomar_server.filters.compiled import FilterLimits
from palomar_server.testing import ACK, Core, flow_rows, lost_message, lost_row, trace_payload
from tests.server.explain.builders import Bench, content, kernel_drop

Request = explanation_pb2.ExplainRequest


@pytest.fixture
def bench() -> Bench:
    bench = Bench().see(trace_payload(content()), kernel_drop(content()))
    return bench.see(kernel_drop(content(port=50_000)), trace_payload(content(ACK, back=True)))


def find(bench: Bench, request: explanation_pb2.ExplainRequest) -> Subject:
    core = bench.core
    subjects = Subjects(core.encoder, core.surroundings, FilterLimits())
    return asyncio.run(subjects.find(request, Window.of(core.ring, request)))


def test_flow_is_found_by_its_uuid_in_either_case(bench: Bench) -> None:
    uuid = bench.core.encoder.uuid(1)
    subject = find(bench, Request(uuid=uuid.upper()))
    assert (subject.sequence, subject.flow.uuid) == (1, uuid)
    assert subject.flow.verdict == flow_pb2.DROPPED


def test_flow_is_found_by_its_position(bench: Bench) -> None:
    assert find(bench, Request(sequence=3)).flow.l4.TCP.flags.ACK


@pytest.mark.parametrize("sequence", [4, 1 << 63])
def test_positions_outside_of_the_ring_are_not_found(bench: Bench, sequence: int) -> None:
    with pytest.raises(NotFound, match="is not in the ring, which holds 0 to 3"):
        find(bench, Request(sequence=sequence))


def test_uuid_of_another_run_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="no flow of this run"):
        find(bench, Request(uuid="01234567-89ab-8cde-8000-000000000001"))


def test_text_that_is_no_uuid_is_invalid(bench: Bench) -> None:
    with pytest.raises(InvalidRequest, match="uuid: 'seven' is no UUID"):
        find(bench, Request(uuid="seven"))


def test_request_that_names_no_flow_is_invalid(bench: Bench) -> None:
    with pytest.raises(InvalidRequest, match="names no flow"):
        find(bench, Request())


def test_last_dropped_flow_passes_the_filters(bench: Bench) -> None:
    request = Request()
    request.last.SetInParent()
    assert find(bench, request).sequence == 2
    request.last.blacklist.add(source_port=["50000"])
    assert find(bench, request).sequence == 1
    request.last.any_verdict = True
    assert find(bench, request).sequence == 3
    request.last.whitelist.add(verdict=[flow_pb2.AUDIT])
    with pytest.raises(NotFound, match="no flow in the ring passes these filters"):
        find(bench, request)


def test_flow_of_a_client_is_found_by_its_uuid_or_stands_for_itself(bench: Bench) -> None:
    known = find(bench, Request(flow=find(bench, Request(sequence=1)).flow))
    assert known.sequence == 1
    flow = flow_pb2.Flow(uuid="somebody else's", verdict=flow_pb2.DROPPED)
    flow.time.seconds = 7
    own = find(bench, Request(flow=flow))
    assert (own.sequence, own.flow, own.time_ns) == (None, flow, 7_000_000_000)
    assert own.connection is None


def test_notices_are_no_flows(bench: Bench) -> None:
    bench.core.ring.append(lost_row(), [lost_message()])
    with pytest.raises(NotFound, match="is an event that is no flow"):
        find(bench, Request(sequence=4))


async def test_others_have_their_turn_while_a_slow_filter_looks_for_the_last() -> None:
    core = Core(capacity=1_023)
    core.ring.append(flow_rows(1_000))
    request = Request()
    request.last.any_verdict = True
    request.last.whitelist.add().experimental.cel_expression.append("_flow.uuid == 'x'")
    subjects = Subjects(core.encoder, core.surroundings, FilterLimits())
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(others())
        with pytest.raises(NotFound):
            await subjects.find(request, Window.of(core.ring, request))
        waiting.cancel()
    assert turns > 3


@pytest.mark.parametrize("second", [-1, 1 << 33, 1 << 34, 1 << 62])
def test_flow_of_a_client_may_be_of_any_time(bench: Bench, second: int) -> None:
    request = Request(flow=find(bench, Request(sequence=1)).flow)
    request.flow.uuid = ""
    request.flow.time.seconds = second
    answer = bench.explain(request)
    assert answer.HasField("flow")
    assert answer.related
