from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.explain.explainer import ExplainLimits
from palomar_server.testing import lost_message, lost_row, trace_payload
from tests.server.explain.builders import Bench, content, kernel_drop

ALWAYS = "Only this node's events were looked at"


def test_an_ordinary_answer_has_the_ordinary_limit_alone() -> None:
    [limit] = Bench().see(kernel_drop(content())).explain().limits
    assert limit.startswith(ALWAYS)


def test_what_could_not_be_seen_is_told() -> None:
    bench = Bench(capacity=15, limits=ExplainLimits(events_max=4))
    bench.see(*[trace_payload(content())] * 20, at_s=1)
    aggregated = trace_payload(content(), extension={"packets": 9})
    bench.see(aggregated, kernel_drop(content()), at_s=2)
    bench.core.ring.append(lost_row(), [lost_message()])
    overwritten, lost, truncated, aggregation, _ = bench.explain().limits
    assert overwritten.startswith("The ring holds nothing before 1970-01-01T00:00:02+00:00;")
    assert "lost in the time looked at (1 notices)" in lost
    assert "the newest 4 were looked at" in truncated
    assert aggregation.startswith("Aggregation is on")


def test_flow_from_elsewhere_is_taken_as_it_is_said_to_be() -> None:
    flow = flow_pb2.Flow(verdict=flow_pb2.DROPPED, drop_reason_desc=flow_pb2.POLICY_DENIED)
    limits = Bench().explain(explanation_pb2.ExplainRequest(flow=flow)).limits
    assert [limit[:16] for limit in limits] == [
        "The flow itself ",
        "The packet has n",
        "Only this node's",
    ]
