from collections.abc import Iterable
from typing import cast

import pytest

from palomar.client import Client
from palomar.filters import Filter
from palomar.suggestions import suggestions
from palomar.testing import FakeObserver
from palomar_proto.flow.flow_pb2 import AUDIT, DROPPED, POLICY_DENIED, DropReason, FlowFilter
from palomar_proto.observer.observer_pb2 import GetFlowsRequest
from palomar_proto.palomar.v1.flow_field_pb2 import (
    FLOW_FIELD_DROP_REASON,
    FLOW_FIELD_HTTP_METHOD,
    FLOW_FIELD_HTTP_STATUS,
    FLOW_FIELD_PROTOCOL,
    FLOW_FIELD_VERDICT,
)
from palomar_proto.palomar.v1.flow_scope_pb2 import Coverage
from palomar_proto.palomar.v1.hints_pb2 import FilterHintsRequest, FilterHintsResponse, Hint

# Drops by the kernel have numbers of palomard's in the same field.
NO_SOCKET, KERNEL_1999 = cast("list[DropReason.ValueType]", [1005, 1999])
POD, NAMESPACE, LABEL, PORT = 1, 2, 3, 8
VALUES = {
    POD: ["shop/web-1", "shop/web-2", "default/client"],
    NAMESPACE: ["shop", "default"],
    LABEL: ["k8s:app=web"],
    PORT: ["51234", "8443", "nonsense"],
    FLOW_FIELD_VERDICT: ["FORWARDED", "DROPPED"],
    FLOW_FIELD_DROP_REASON: ["NO_SOCKET"],
    FLOW_FIELD_PROTOCOL: ["tcp", "icmpv4"],
    FLOW_FIELD_HTTP_METHOD: ["GET"],
    FLOW_FIELD_HTTP_STATUS: ["404"],
}


def hint(value: str) -> Hint:
    return Hint(value=value, flows=5, flows_as_source=5)


def answer(request: FilterHintsRequest) -> FilterHintsResponse:
    """As palomard would, for the values above, which are all of sources."""
    values = VALUES.get(int(request.field), [])
    found = [hint(value) for value in values if request.search in value]
    coverage = Coverage(looked_at=9)
    coverage.oldest.seconds = 1709634030
    similar = [] if found else [hint(value) for value in values]
    return FilterHintsResponse(hints=found, similar=similar, coverage=coverage)


def told(filters: Iterable[FlowFilter]) -> list[str]:
    with FakeObserver(hints=answer) as server, Client(server.target) as client:
        return suggestions(client, GetFlowsRequest(whitelist=filters))


@pytest.mark.parametrize(
    ("wanted", "what", "likely"),
    [
        (FlowFilter(source_pod=["/web-x"]), "pod matches web-x", VALUES[POD]),
        (FlowFilter(source_pod=["prod/"]), "namespace matches prod", VALUES[NAMESPACE]),
        (FlowFilter(source_pod=["web-1"]), "pod matches default/web-1", VALUES[POD]),
        (FlowFilter(source_port=["443"]), "port matches 443", ["8443"]),
        (FlowFilter(source_label=["app=wbe"]), "label matches app=wbe", VALUES[LABEL]),
    ],
)
def test_values_that_no_flow_has_are_named(
    wanted: FlowFilter, what: str, likely: list[str]
) -> None:
    advice = f"; did you mean {', '.join(likely)}?" if likely else ""
    assert told([wanted]) == [f"no {what} among the flows the server has{advice}"]


def test_values_at_the_other_end_are_told_apart() -> None:
    [line] = told([FlowFilter(destination_pod=["shop/web-1"])])
    assert line == "no flow goes to pod shop/web-1, but 5 come from it"


@pytest.mark.parametrize(
    "wanted",
    [
        FlowFilter(source_pod=["/web"]),
        FlowFilter(source_pod=["shop/"]),
        FlowFilter(source_label=["app=web"]),
        FlowFilter(source_label=["any:app=web"]),
    ],
)
def test_values_that_there_are_do_not_match_together(wanted: FlowFilter) -> None:
    [line] = told([wanted])
    assert line.startswith("there are flows with ")
    assert line.endswith(" since 2024-03-05 10:20:30Z, but none passes all filters")


def test_either_end_is_enough_for_a_filter_of_both() -> None:
    [line] = told(Filter(pod="shop/web").messages)
    assert line.startswith("there are flows with pod shop/web since")


def test_nothing_is_said_of_filters_that_were_not_looked_at() -> None:
    [line] = told([FlowFilter(source_port=["8443"], http_path=["/x.*"], protocol=["dns"])])
    assert line.startswith("there are flows with port 8443 since")


def test_time_asked_for_may_be_why_nothing_matched() -> None:
    request = GetFlowsRequest(whitelist=[FlowFilter(source_port=["8443"])])
    request.since.seconds = 1709634099
    with FakeObserver(hints=answer) as server, Client(server.target) as client:
        [line] = suggestions(client, request)
    assert line.endswith("but none of the time asked for passes all filters")


@pytest.mark.parametrize(
    ("wanted", "what", "there"),
    [
        (FlowFilter(verdict=[AUDIT]), "verdict matches AUDIT", "FORWARDED, DROPPED"),
        (
            FlowFilter(drop_reason_desc=[POLICY_DENIED]),
            "drop reason matches POLICY_DENIED",
            "NO_SOCKET",
        ),
        (FlowFilter(drop_reason_desc=[KERNEL_1999]), "drop reason matches 1999", "NO_SOCKET"),
        (FlowFilter(protocol=["SCTP"]), "protocol matches sctp", "tcp, icmpv4"),
        (FlowFilter(http_method=["put"]), "http method matches PUT", "GET"),
        (FlowFilter(http_status_code=["5+"]), "http status matches 5+", "404"),
        (FlowFilter(http_status_code=["200"]), "http status matches 200", "404"),
    ],
)
def test_values_of_fields_that_have_few_are_all_told(
    wanted: FlowFilter, what: str, there: str
) -> None:
    assert told([wanted]) == [f"no {what} among the flows the server has; there is {there}"]


@pytest.mark.parametrize(
    "wanted",
    [
        FlowFilter(verdict=[DROPPED]),
        FlowFilter(drop_reason_desc=[NO_SOCKET]),
        FlowFilter(protocol=["ICMP"]),
        FlowFilter(http_method=["get"]),
        FlowFilter(http_status_code=["4+"]),
    ],
)
def test_values_of_fields_that_have_few_are_found(wanted: FlowFilter) -> None:
    [line] = told([wanted])
    assert "but none passes all filters" in line


def test_records_that_are_gone_leave_it_open() -> None:
    unread = FilterHintsResponse(coverage=Coverage(looked_at=9, unread=1))
    wanted = FlowFilter(http_status_code=["200"])
    with FakeObserver(hints=unread) as server, Client(server.target) as client:
        assert suggestions(client, GetFlowsRequest(whitelist=[wanted])) == []


@pytest.mark.parametrize(
    "wanted",
    [
        FlowFilter(source_ip=["10.0.0.0/8"]),
        FlowFilter(source_fqdn=["*.example.com"]),
        FlowFilter(source_label=["app in (a, b)"]),
        FlowFilter(http_path=["/x.*"]),
        FlowFilter(source_pod=["/"]),
    ],
)
def test_patterns_are_not_guessed_at(wanted: FlowFilter) -> None:
    assert told([wanted]) == []


def test_servers_without_hints_give_none() -> None:
    with FakeObserver(batched=False) as server, Client(server.target) as client:
        assert suggestions(client, GetFlowsRequest(whitelist=[FlowFilter(source_port=["1"])])) == []


def test_number_of_questions_is_bounded() -> None:
    ports = FlowFilter(source_port=[str(number) for number in range(100)])
    with FakeObserver(hints=answer) as server, Client(server.target) as client:
        suggestions(client, GetFlowsRequest(whitelist=[ports]))
        assert len(server.other_requests) <= 6


def test_names_of_others_cannot_steer_the_terminal() -> None:
    evil = FilterHintsResponse(similar=[hint("a\x1b[2J")], coverage=Coverage(looked_at=1))
    with FakeObserver(hints=evil) as server, Client(server.target) as client:
        [line] = suggestions(
            client, GetFlowsRequest(whitelist=[FlowFilter(source_pod=["x/\x1b]0;"])])
        )
    assert "\x1b" not in line


def test_time_that_the_server_does_not_cover_is_named() -> None:
    coverage = Coverage(looked_at=9)
    coverage.oldest.seconds, coverage.newest.seconds = 1709634030, 1709634090
    request = GetFlowsRequest()
    with (
        FakeObserver(hints=FilterHintsResponse(coverage=coverage)) as server,
        Client(server.target) as client,
    ):
        assert suggestions(client, request) == []
        request.until.seconds = 1709630000
        [line] = suggestions(client, request)
    assert line.endswith("the server has those from 2024-03-05 10:20:30Z to 2024-03-05 10:21:30Z")


def test_server_without_any_flow_says_so() -> None:
    with (
        FakeObserver(hints=FilterHintsResponse(coverage=Coverage())) as server,
        Client(server.target) as client,
    ):
        assert suggestions(client, GetFlowsRequest()) == ["the server has seen no flow yet"]
