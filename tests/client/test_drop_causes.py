import grpc

from palomar.client import Client
from palomar.drop_causes import QUESTIONS_MAX, DropCauses, cause_lines
from palomar.testing import FakeObserver, make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.palomar.v1.explanation_pb2 import (
    DROP_CAUSE_DEFAULT_DENY,
    DROP_CAUSE_FIREWALL,
    ExplainResponse,
)

FIREWALL = ExplainResponse(
    cause=DROP_CAUSE_FIREWALL,
    meaning="A rule of the packet filter\x1b[31m dropped it.",
    check_next=["nft list ruleset", "iptables-save"],
)


def drop(port: int = 80, **changes: object) -> GetFlowsResponse:
    layer4 = {"TCP": {"source_port": 4000, "destination_port": port}}
    return make_response(
        verdict="DROPPED", event_type={"type": 1}, drop_reason_desc=1014, l4=layer4, **changes
    )


def test_cause_and_first_check_stand_below_the_flow() -> None:
    assert cause_lines(FIREWALL) == (
        "    cause: firewall: A rule of the packet filter^[[31m dropped it.\n"
        "    check: nft list ruleset\n"
    )


def test_policies_are_named() -> None:
    answer = ExplainResponse(cause=DROP_CAUSE_DEFAULT_DENY, headline="Default deny.")
    answer.policies.add().policy.name = "web-only"
    assert cause_lines(answer) == ("    cause: default deny: Default deny.\n    policy: web-only\n")


def test_alike_drops_are_asked_about_once_and_other_flows_never() -> None:
    notes: list[str] = []
    with FakeObserver(explanation=FIREWALL) as server, Client(server.target) as client:
        causes = DropCauses(client, notes.append)
        texts = [causes.lines(drop()) for _ in range(3)]
        other = causes.lines(make_response())
        asked = len(server.other_requests)
    assert texts == [cause_lines(FIREWALL)] * 3
    assert (other, asked, notes) == ("", 1, [])


def test_questions_are_bounded_and_the_reason_must_do_then() -> None:
    notes: list[str] = []
    with FakeObserver(explanation=FIREWALL) as server, Client(server.target) as client:
        causes = DropCauses(client, notes.append)
        texts = {causes.lines(drop(port)) for port in range(QUESTIONS_MAX + 20)}
        asked = len(server.other_requests)
    assert texts == {cause_lines(FIREWALL)}
    assert asked == QUESTIONS_MAX
    assert len(notes) == 1


def test_servers_that_cannot_explain_are_asked_once() -> None:
    notes: list[str] = []
    with FakeObserver(batched=False) as server, Client(server.target) as client:
        causes = DropCauses(client, notes.append)
        assert causes.lines(drop()) == causes.lines(drop(81)) == ""
    [note] = notes
    assert "cannot explain drops" in note


def test_a_flow_that_is_gone_stays_unexplained_without_a_word() -> None:
    notes: list[str] = []
    gone = (grpc.StatusCode.NOT_FOUND, "no such flow")
    fake = FakeObserver(errors={"Explain": gone}, explanation=FIREWALL)
    with fake as server, Client(server.target) as client:
        assert DropCauses(client, notes.append).lines(drop()) == ""
    assert notes == []
