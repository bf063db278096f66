from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.summary_pb2 import (
    MEASURE_BYTES,
    SummarizeRequest,
    SummarizeResponse,
)


def summary(server: FakeObserver, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["summary", *arguments, "--server", server.target])


def asked(*arguments: str) -> SummarizeRequest:
    with FakeObserver(summary=SummarizeResponse()) as server:
        assert summary(server, *arguments).exit_code == 0
        [request] = server.other_requests
    assert isinstance(request, SummarizeRequest)
    return request


def test_default_is_who_talks_with_whom() -> None:
    scope = ["--since", "5m", "--not", "--port", "53", "--at-point", "from-endpoint"]
    order = ["--by", "to-port,protocol", "--top", "5", "--measure", "bytes", "--width", "10s"]
    request = asked(*scope, *order)
    assert (len(request.group_by), request.top, request.measure) == (2, 5, MEASURE_BYTES)
    assert request.scope.HasField("since")
    assert len(request.scope.blacklist) == 2
    assert len(request.scope.at_points) == 1
    assert request.histogram.width.seconds == 10
    assert request.histogram.by_group


def test_all_flows_can_be_one_group() -> None:
    assert len(asked("--by", "none").group_by) == 0


def test_json_is_the_answer_itself() -> None:
    answer = SummarizeResponse(other_groups=3)
    with FakeObserver(summary=answer) as server:
        assert summary(server, "-o", "json").stdout == '{"other_groups":"3"}\n'


def test_wrong_fields_are_usage_errors() -> None:
    with FakeObserver(summary=SummarizeResponse()) as server:
        shown = summary(server, "--by", "nope")
    assert shown.exit_code == 2
    assert "nope" in shown.stderr


def test_gaps_in_the_figures_are_told_beside_them() -> None:
    answer = SummarizeResponse()
    answer.coverage.oldest.seconds = 1709634030
    with FakeObserver(summary=answer) as server:
        assert "2024-03-05 10:20:30Z" in summary(server).stderr
