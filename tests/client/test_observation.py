import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.testing import FakeObserver, make_response
from palomar_proto.observer.observer_pb2 import GetAgentEventsResponse, GetDebugEventsResponse


def observe(server: FakeObserver, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(
        cli, ["observe", *arguments, "--server", server.target], env=environment
    )


def test_over_a_network_fields_are_those_that_the_format_shows() -> None:
    with FakeObserver([make_response()], loopback=True) as server:
        assert observe(server).exit_code == 0
        assert observe(server, "-o", "json").exit_code == 0
    compact, json = server.requests
    assert "source.pod_name" in compact.field_mask.paths
    assert not json.HasField("field_mask")


def test_on_a_socket_all_fields_are_taken_except_as_by_hubble() -> None:
    with FakeObserver([make_response()]) as server:
        assert observe(server).exit_code == 0
        assert observe(server, PALOMAR_STRICT_HUBBLE="1").exit_code == 0
    ours, hubbles = server.requests
    assert not ours.HasField("field_mask")
    assert len(hubbles.field_mask.paths) == 20


def test_fields_that_no_flow_has_are_a_usage_error() -> None:
    with FakeObserver() as server:
        shown = observe(server, "-o", "json", "--field-mask", "uuid,nope")
    assert shown.exit_code == 2
    assert "nope" in shown.stderr
    assert server.requests == []


def test_effective_filter_is_echoed_on_request() -> None:
    with FakeObserver([make_response()]) as server:
        shown = observe(server, "-v", "--verdict", "drop", "--last", "3")
    assert "for the last 3 flows" in shown.stderr
    assert "DROPPED" in shown.stderr


@pytest.mark.parametrize("strict", ["0", "1"])
def test_request_is_shown_when_debugging(strict: str) -> None:
    with FakeObserver([make_response()]) as server:
        shown = observe(server, "-D", PALOMAR_STRICT_HUBBLE=strict)
    assert "number" in shown.stderr
    assert ("level=DEBUG" in shown.stderr) == (strict == "1")


def test_events_do_not_come_from_files() -> None:
    with FakeObserver() as server:
        shown = observe(server, "agent-events", "--input-file", "x")
    assert shown.exit_code == 2


@pytest.mark.parametrize("flag", ["--explain", "--port-forward"])
def test_files_do_not_go_with_what_asks_a_server(flag: str) -> None:
    with FakeObserver() as server:
        shown = observe(server, "--input-file", "/dev/null", flag)
    assert shown.exit_code == 2
    assert "--input-file" in shown.stderr


def test_forwarding_and_files_are_refused_as_by_hubble() -> None:
    with FakeObserver() as server:
        shown = observe(server, "--input-file", "/dev/null", "-P", PALOMAR_STRICT_HUBBLE="1")
    assert shown.exit_code == 1
    assert "cannot use --input-file and --auto-port-forward together" in shown.stderr


def test_newer_servers_are_told_of_with_their_first_event() -> None:
    event = GetAgentEventsResponse(node_name="node-1")
    headers = {"hubble-server-version": "9.9.9"}
    with FakeObserver(agent_events=[event, event], headers=headers) as server:
        assert observe(server, "agent-events").stderr.count("9.9") == 1


@pytest.mark.parametrize("kind", ["agent", "debug"])
def test_an_answer_without_an_event_ends_the_run_as_in_hubble(kind: str) -> None:
    with FakeObserver(
        agent_events=[GetAgentEventsResponse()], debug_events=[GetDebugEventsResponse()]
    ) as server:
        ours = observe(server, f"{kind}-events")
        hubbles = observe(server, f"{kind}-events", PALOMAR_STRICT_HUBBLE="1")
    assert ours.exit_code == 0
    assert hubbles.exit_code == 1
    assert f"without {kind}_event" in hubbles.stderr
    assert hubbles.stdout == ""
