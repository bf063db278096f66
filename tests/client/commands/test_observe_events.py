import grpc
import pytest
from click.testing import CliRunner, Result
from google.protobuf.json_format import ParseDict

from palomar.cli import cli
from palomar.requests import NUMBER_MAX
from palomar.testing import FakeObserver
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsRequest,
    GetDebugEventsResponse,
)

AGENT = ParseDict(
    {
        "agent_event": {
            "type": "ENDPOINT_CREATED",
            "endpoint_update": {"id": "7", "namespace": "shop", "pod_name": "cart-0"},
        },
        "node_name": "default/node-1",
        "time": "2024-03-05T10:20:30.123456789Z",
    },
    GetAgentEventsResponse(),
)
DEBUG = ParseDict(
    {
        "debug_event": {"type": "DBG_ENCAP", "cpu": 3, "hash": 255, "message": "a\x1bb"},
        "time": "2024-03-05T10:20:30.123456789Z",
    },
    GetDebugEventsResponse(),
)
LINES = {
    "agent-events": "Mar  5 10:20:30.123: ENDPOINT_CREATED (id: 7, namespace: shop, pod name: "
    "cart-0)\n",
    "debug-events": "Mar  5 10:20:30.123: N/A DBG_ENCAP MARK: 0xff CPU: 03 (a^[b)\n",
}
REQUESTS = {"agent-events": GetAgentEventsRequest, "debug-events": GetDebugEventsRequest}


def observe(server: FakeObserver, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["observe", *arguments, "--server", server.target])


@pytest.mark.parametrize("command", LINES)
def test_the_last_events_are_shown(command: str) -> None:
    with FakeObserver(agent_events=[AGENT], debug_events=[DEBUG]) as server:
        run = observe(server, command)
    assert (run.stdout, run.stderr, run.exit_code) == (LINES[command], "", 0)
    assert server.event_requests == [REQUESTS[command](number=20)]


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        (["--last", "5"], {"number": 5}),
        (["--first", "3"], {"number": 3, "first": True}),
        (["--all"], {"number": NUMBER_MAX}),
        (["-f"], {"number": 20, "follow": True}),
        (["-f", "--last", "2"], {"number": 2, "follow": True}),
        (["--until", "2024-03-06"], {"number": NUMBER_MAX, "until": "2024-03-06T00:00:00Z"}),
        (["--until", "2024-03-06", "-f"], {"number": 20, "follow": True}),
        (["--since", "2024-03-05"], {"since": "2024-03-05T00:00:00Z"}),
    ],
)
@pytest.mark.parametrize("command", LINES)
def test_flags_reach_the_request(command: str, flags: list[str], fields: dict[str, object]) -> None:
    with FakeObserver() as server:
        assert observe(server, command, *flags).exit_code == 0
    assert server.event_requests == [ParseDict(fields, REQUESTS[command]())]


@pytest.mark.parametrize(
    "flags",
    [["--last", "2", "--first", "3"], ["--first", "3", "-f"], ["--since", "bad"],
     ["-f", "-o", "table"], ["--pod", "x"]],
)  # fmt: skip
@pytest.mark.parametrize("command", LINES)
def test_what_means_nothing_is_a_usage_error(command: str, flags: list[str]) -> None:
    with FakeObserver() as server:
        run = observe(server, command, *flags)
    assert run.exit_code == 2
    assert not server.event_requests


@pytest.mark.parametrize("command", LINES)
def test_a_server_without_such_events_is_an_error_of_one_line(command: str) -> None:
    with FakeObserver(error=(grpc.StatusCode.UNIMPLEMENTED, "no such events")) as server:
        run = observe(server, command)
    assert run.exit_code == 1
    assert run.stderr.count("\n") == 1
    assert "no such events" in run.stderr


def test_a_table_comes_at_the_end() -> None:
    with FakeObserver(agent_events=[AGENT, AGENT]) as server:
        lines = observe(server, "agent-events", "-o", "table", "--print-node-name").stdout
    heading, *rows = lines.splitlines()
    assert heading.split() == ["TIMESTAMP", "NODE", "TYPE", "DETAILS"]
    assert len(rows) == 2


def test_debugging_tells_the_request() -> None:
    with FakeObserver() as server:
        assert "asking unix:" in (shown := observe(server, "debug-events", "-D").stderr)
    assert '{"number":"20"}' in shown


@pytest.mark.parametrize("command", LINES)
def test_help_tells_what_is_shown(command: str) -> None:
    shown = CliRunner().invoke(cli, ["observe", command, "--help"]).stdout
    assert "--since TIME" in shown
    assert "--pod" not in shown
