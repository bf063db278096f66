from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.hints_pb2 import (
    SEARCH_KIND_SUBSTRING,
    FilterHintsRequest,
    FilterHintsResponse,
    Hint,
)

ANSWER = FilterHintsResponse(hints=[Hint(value="shop/web-1", flows=3)])


def hints(server: FakeObserver, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["hints", *arguments, "--server", server.target])


def test_flags_reach_the_request() -> None:
    with FakeObserver(hints=ANSWER) as server:
        shown = hints(server, "pod", "web", "--limit", "7", "--substring", "--verdict", "dropped")
        [request] = server.other_requests
    assert "shop/web-1" in shown.stdout
    assert isinstance(request, FilterHintsRequest)
    assert (request.search, request.limit) == ("web", 7)
    assert request.search_kind == SEARCH_KIND_SUBSTRING
    assert len(request.scope.whitelist) == 1


def test_wrong_fields_are_usage_errors() -> None:
    with FakeObserver(hints=ANSWER) as server:
        shown = hints(server, "pods-of-mine")
    assert shown.exit_code == 2
    assert "drop-reason" in shown.stderr


def test_a_field_is_needed() -> None:
    with FakeObserver(hints=ANSWER) as server:
        assert hints(server).exit_code == 2
