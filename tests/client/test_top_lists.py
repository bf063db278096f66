from palomar.client import Client
from palomar.testing import FakeObserver
from palomar.top_lists import TopList, count_list
from palomar_proto.palomar.v1.flow_field_pb2 import FLOW_END_SOURCE
from palomar_proto.palomar.v1.summary_pb2 import SummarizeRequest, SummarizeResponse, SummaryGroup

GROUPS = {
    "source": [("shop/web-1", "FORWARDED", 90), ("shop/web-1", "DROPPED", 10), ("", "DROPPED", 7)],
    "destination": [("shop/db-0", "FORWARDED", 50), ("shop/web-1", "DROPPED", 1)],
}


def summary(request: SummarizeRequest) -> SummarizeResponse:
    answer = SummarizeResponse()
    end = "source" if request.group_by[0].end == FLOW_END_SOURCE else "destination"
    for value, verdict, flows in GROUPS[end]:
        group = SummaryGroup(values=[value, verdict])
        group.totals.flows = flows
        group.totals.bytes = flows * 100
        answer.groups.append(group)
    return answer


def counted(name: str, rows_max: int = 10) -> tuple[TopList, list[SummarizeRequest]]:
    with FakeObserver(summary=summary) as server, Client(server.target) as client:
        top = count_list(client, name, {"since": "1m"}, rows_max)
        requests = [item for item in server.other_requests if isinstance(item, SummarizeRequest)]
    return top, requests


def test_both_ends_are_counted_together() -> None:
    top, requests = counted("pod")
    assert [(row.value, row.flows, row.drops, row.bytes) for row in top.rows] == [
        ("shop/web-1", 101, 11, 10100),
        ("shop/db-0", 50, 0, 5000),
    ]
    assert len(requests) == 2
    assert all(request.scope.HasField("since") for request in requests)


def test_one_end_is_counted_alone_and_only_so_many_rows_given() -> None:
    top, requests = counted("from-pod", rows_max=1)
    assert [row.value for row in top.rows] == ["shop/web-1"]
    assert len(requests) == 1


def test_drop_reasons_count_drops_once() -> None:
    top, [request] = counted("drop-reason")
    assert [(row.value, row.flows) for row in top.rows] == [("shop/web-1", 1)]
    assert [item.event_type[0].type for item in request.scope.blacklist] == [5]


def test_ports_are_those_of_who_answers() -> None:
    _, [request] = counted("to-port")
    assert [list(item.reply) for item in request.scope.blacklist] == [[True]]


def test_groups_without_values_are_passed_over() -> None:
    broken = SummarizeResponse(groups=[SummaryGroup(), SummaryGroup(values=["x"])])
    with FakeObserver(summary=broken) as server, Client(server.target) as client:
        assert [row.value for row in count_list(client, "to-port", {}, 5).rows] == ["x"]
