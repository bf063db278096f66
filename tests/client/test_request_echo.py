import pytest

from palomar.request_echo import Request, debug_echo, verbose_echo
from palomar.requests import NUMBER_MAX
from palomar_proto.flow.flow_pb2 import FlowFilter
from palomar_proto.observer.observer_pb2 import GetAgentEventsRequest, GetFlowsRequest


def since(request: GetFlowsRequest) -> GetFlowsRequest:
    request.since.seconds = 1709634030
    return request


@pytest.mark.parametrize(
    ("request_", "which"),
    [
        (GetFlowsRequest(number=20), "the last 20 flows"),
        (GetFlowsRequest(number=1), "the last flow"),
        (GetFlowsRequest(number=3, first=True), "the first 3 flows"),
        (GetFlowsRequest(number=NUMBER_MAX), "all flows"),
        (GetFlowsRequest(follow=True), "new flows"),
        (GetFlowsRequest(number=5, follow=True), "the last 5 flows and new ones"),
        (since(GetFlowsRequest()), "flows since 2024-03-05 10:20:30.000Z"),
        (GetAgentEventsRequest(number=20), "the last 20 agent events"),
    ],
)
def test_selection_is_told_in_words(request_: Request, which: str) -> None:
    assert verbose_echo(request_, "node-1").splitlines()[0] == f"palomar: asking node-1 for {which}"


def test_filters_are_told_in_words_and_steer_nothing() -> None:
    request = GetFlowsRequest(whitelist=[FlowFilter(source_pod=["shop/\x1b[2J"])])
    text = verbose_echo(request, "x\x1b")
    assert "shop/" in text
    assert "\x1b" not in text


def test_debugging_shows_the_request_itself() -> None:
    request = GetFlowsRequest(number=20)
    assert debug_echo(request, "node-1", strict=False) == 'asking node-1: {"number":"20"}\n'
    line = debug_echo(request, "node-1", strict=True)
    assert 'level=DEBUG msg="Sending GetFlows request" req="{\\"number\\":\\"20\\"}"' in line
