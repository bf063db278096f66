"""Portal queries to a real palomard: the figures are those of the flows that it gives out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import grpc
import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import (
    flow_field_pb2,
    flow_scope_pb2,
    hints_pb2,
    queries_pb2_grpc,
    summary_pb2,
)

from .conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from palomar_bpf.testbed import Testbed

    from .conftest import Flow, Palomard

pytestmark = pytest.mark.live

OPEN_PORT, CLOSED_PORT = 80, 81


@pytest.fixture
def daemon(palomard: Callable[..., Palomard], testbed: Testbed) -> Palomard:
    daemon = palomard("--interface", testbed.interface_glob, "--drops", "watched")
    web, client = testbed.pods
    with web.serve(OPEN_PORT):
        assert client.traffic("connect", web.ipv4, str(OPEN_PORT)) == "ok"
        assert client.traffic("udp", web.ipv6, str(OPEN_PORT)) == "ok"
    assert client.traffic("connect", web.ipv4, str(CLOSED_PORT)) == "refused"
    eventually(lambda: daemon.flows("--all", "--verdict", "drop"))
    return daemon


@pytest.fixture
def queries(daemon: Palomard) -> Iterator[queries_pb2_grpc.QueriesStub]:
    with grpc.insecure_channel(f"unix:{daemon.socket}") as channel:
        yield queries_pb2_grpc.QueriesStub(channel)


def pod(flow: Flow, end: str) -> str:
    name = flow[end].get("pod_name", "")
    return f"{flow[end].get('namespace', '')}/{name}" if name else ""


def test_summary_counts_what_can_be_observed(
    daemon: Palomard, queries: queries_pb2_grpc.QueriesStub
) -> None:
    request = summary_pb2.SummarizeRequest(
        group_by=[
            summary_pb2.Grouping(
                field=flow_field_pb2.FLOW_FIELD_POD, end=flow_field_pb2.FLOW_END_SOURCE
            ),
            summary_pb2.Grouping(field=flow_field_pb2.FLOW_FIELD_VERDICT),
        ],
        top=1_000,
    )

    def agree() -> bool:
        # Not at once: a kernel may still look after its neighbours between the two.
        told = queries.Summarize(request)
        observed = Counter((pod(flow, "source"), flow["verdict"]) for flow in daemon.flows())
        assert told.coverage.whole
        return {tuple(one.values): one.totals.flows for one in told.groups} == observed

    eventually(agree)


def test_hints_know_the_pods_and_what_a_typo_may_have_meant(
    daemon: Palomard, queries: queries_pb2_grpc.QueriesStub, testbed: Testbed
) -> None:
    web = testbed.pods[0].name
    field = flow_field_pb2.FLOW_FIELD_POD
    request = hints_pb2.FilterHintsRequest(field=field, search=web)

    def agree() -> hints_pb2.Hint | None:
        [hint] = queries.FilterHints(request).hints
        seen = sum(flow["source"].get("pod_name") == web for flow in daemon.flows())
        return hint if hint.flows_as_source == seen else None

    hint = eventually(agree)
    assert hint.value.endswith(f"/{web}")
    wrong = queries.FilterHints(hints_pb2.FilterHintsRequest(field=field, search=f"{web[:-1]}x"))
    assert not wrong.hints
    assert hint.value in [one.value for one in wrong.similar]


def test_drop_reasons_of_a_pod_are_the_kernels(
    queries: queries_pb2_grpc.QueriesStub, testbed: Testbed
) -> None:
    to_web = flow_pb2.FlowFilter(destination_pod=[f"/{testbed.pods[0].name}"])
    told = queries.FilterHints(
        hints_pb2.FilterHintsRequest(
            field=flow_field_pb2.FLOW_FIELD_DROP_REASON,
            scope=flow_scope_pb2.FlowScope(whitelist=[to_web]),
        )
    )
    assert [(one.value, one.flows) for one in told.hints] == [("NO_SOCKET", 1)]
