from __future__ import annotations

from palomar_proto.palomar.v1 import explanation_pb2 as e
from palomar_server.testing import ACK, trace_payload
from tests.server.explain.builders import Bench, cilium_drop, content, kernel_drop, too_big, verdict

FORWARD = trace_payload(content(ACK))


def test_verdicts_errors_and_drops_win_over_neighbours() -> None:
    bench = Bench().see(verdict(content()), trace_payload(too_big()), kernel_drop(content(ACK)))
    bench.see(*[FORWARD] * 20, cilium_drop(content()), *[FORWARD] * 20)
    answer = bench.explain(e.ExplainRequest(sequence=23, related_max=6))
    assert [one.sequence for one in answer.related] == [0, 1, 2, 21, 22, 24]
    assert answer.related_truncated
    assert answer.related[0].flow.uuid == bench.core.encoder.uuid(0)


def test_a_flood_of_errors_does_not_hide_the_neighbours() -> None:
    bench = Bench().see(FORWARD, FORWARD, kernel_drop(content(ACK)))
    bench.see(*[trace_payload(too_big())] * 50)
    answer = bench.explain(e.ExplainRequest(sequence=2, related_max=5))
    assert [one.sequence for one in answer.related] == [0, 1, 3, 4, 5]


def test_all_are_given_where_there_are_few() -> None:
    bench = Bench().see(FORWARD, cilium_drop(content()), FORWARD)
    answer = bench.explain()
    assert [one.relation for one in answer.related] == [
        e.FLOW_RELATION_BEFORE,
        e.FLOW_RELATION_AFTER,
    ]
    assert not answer.related_truncated


def test_neighbours_of_a_flow_that_is_not_in_the_ring_are_told_by_time() -> None:
    bench = Bench().see(FORWARD).see(kernel_drop(content()), at_s=2).see(FORWARD, at_s=4)
    flow = bench.explain().flow
    flow.uuid = ""
    flow.time.FromNanoseconds(flow.time.ToNanoseconds() + 1_000_000_000)
    answer = bench.explain(e.ExplainRequest(flow=flow))
    assert not answer.HasField("sequence")
    assert [(one.sequence, one.relation) for one in answer.related] == [
        (0, e.FLOW_RELATION_BEFORE),
        (1, e.FLOW_RELATION_BEFORE),
        (2, e.FLOW_RELATION_AFTER),
    ]
