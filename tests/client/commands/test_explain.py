from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.testing import FakeObserver, make_response
from palomar_proto.palomar.v1.explanation_pb2 import ExplainRequest, ExplainResponse

ANSWER = ExplainResponse(flow=make_response().flow, headline="It was dropped.")
UUID = "00000000-0000-4000-8000-000000000000"


def explain(server: FakeObserver, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["explain", *arguments, "--server", server.target])


def asked(*arguments: str) -> ExplainRequest:
    with FakeObserver(explanation=ANSWER) as server:
        assert "It was dropped." in explain(server, *arguments).stdout
        [request] = server.other_requests
    assert isinstance(request, ExplainRequest)
    return request


def test_without_a_name_it_is_the_last_drop_that_matches() -> None:
    request = asked("--pod", "shop/web", "--any-verdict", "--since", "5m", "--related", "3")
    assert len(request.last.whitelist) == 2
    assert request.last.any_verdict
    assert request.HasField("since")
    assert request.related_max == 3


def test_flows_have_a_name() -> None:
    assert asked(UUID).uuid == UUID


def test_filters_do_not_go_with_a_name() -> None:
    with FakeObserver(explanation=ANSWER) as server:
        assert explain(server, UUID, "--port", "80").exit_code == 2


def test_json_is_the_answer_itself() -> None:
    with FakeObserver(explanation=ANSWER) as server:
        assert explain(server, "-o", "json").stdout.startswith('{"flow":{')


def test_servers_without_explanations_say_so() -> None:
    with FakeObserver() as server:
        shown = explain(server)
    assert shown.exit_code == 1
    assert "only palomard" in shown.stderr
