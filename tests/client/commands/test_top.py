from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.summary_pb2 import SummarizeRequest, SummarizeResponse, SummaryGroup


def answer() -> SummarizeResponse:
    group = SummaryGroup(values=["web", "DROPPED"])
    group.totals.flows = 120
    return SummarizeResponse(groups=[group])


def top(server: FakeObserver, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["top", *arguments, "--server", server.target])


def test_lists_are_text_where_there_is_no_terminal() -> None:
    with FakeObserver(summary=answer()) as server:
        shown = top(server, "--window", "30s")
    assert shown.exit_code == 0
    assert [line.split()[0] for line in shown.stdout.splitlines() if "FLOWS" in line] == [
        "POD",
        "DROP-REASON",
        "TO-PORT",
    ]
    assert "4.0" in shown.stdout


def test_lists_and_filters_can_be_chosen() -> None:
    with FakeObserver(summary=answer()) as server:
        shown = top(server, "to-label:app", "--verdict", "dropped", "--rows", "3")
        [request] = server.other_requests
    assert shown.stdout.startswith("TO-LABEL:APP")
    assert isinstance(request, SummarizeRequest)
    assert request.group_by[0].label_key == "app"
    assert len(request.scope.whitelist) == 1


def test_wrong_arguments_are_usage_errors() -> None:
    with FakeObserver() as server:
        assert top(server, "nope").exit_code == 2
        assert top(server, "--window", "5").exit_code == 2


def test_other_servers_cannot_count() -> None:
    with FakeObserver() as server:
        shown = top(server)
    assert shown.exit_code == 1
    assert "only palomard" in shown.stderr
