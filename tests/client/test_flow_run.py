"""Flows on their way to the output, by the command that sends them there."""

import signal
import subprocess
import sys

import grpc
import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.testing import FakeObserver, make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.palomar.v1.explanation_pb2 import DROP_CAUSE_FIREWALL, ExplainResponse
from palomar_proto.palomar.v1.flow_scope_pb2 import Coverage
from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse, Hint
from tests.client.cable import Cable

UNKNOWN_POD = FilterHintsResponse(
    similar=[Hint(value="default/web-0")], coverage=Coverage(looked_at=3)
)
HINT = "no pod matches web-x among the flows the server has; did you mean default/web-0?"


def observe(server: FakeObserver, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(
        cli, ["observe", *arguments, "--server", server.target], env=environment
    )


def following(target: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "palomar", "observe", "-f", *arguments, "--server", target]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_losses_are_summed_at_the_end_with_what_to_raise(loss: GetFlowsResponse) -> None:
    with FakeObserver([make_response(), loss, make_response(), loss]) as server:
        shown = observe(server)
    assert shown.stdout.count("EVENTS LOST") == 2
    assert "palomar: 14 events were lost on default/node-1" in shown.stderr
    assert "--pages-per-cpu" in shown.stderr


def test_losses_are_summed_after_an_error_too(loss: GetFlowsResponse) -> None:
    with FakeObserver([loss], error=(grpc.StatusCode.INTERNAL, "broke")) as server:
        shown = observe(server)
    assert shown.exit_code == 1
    assert "7 events were lost" in shown.stderr


def test_unknown_values_are_pointed_out_if_nothing_matched() -> None:
    with FakeObserver(hints=UNKNOWN_POD) as server:
        shown = observe(server, "--pod", "web-x")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", f"palomar: {HINT}\n")


def test_flows_are_never_held_up_by_hints() -> None:
    with FakeObserver([make_response()], hints=UNKNOWN_POD) as server:
        assert observe(server, "--pod", "web-x").stderr == ""
        assert server.other_requests == []


def test_who_follows_is_told_while_nothing_comes() -> None:
    with (
        FakeObserver(hints=UNKNOWN_POD, hold=True) as server,
        following(server.target, "--pod", "web-x") as process,
    ):
        assert process.stderr is not None
        assert process.stderr.readline() == f"palomar: {HINT}\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_lost_connections_are_told_and_the_flows_go_on() -> None:
    script = [make_response()]
    with (
        FakeObserver(script, hold=True) as server,
        Cable(server.target) as cable,
        following(cable.target) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert "default/web-0" in process.stdout.readline()
        script.append(make_response(verdict="DROPPED"))
        cable.cut()
        line = process.stderr.readline()
        assert "connection lost" in line
        assert "reconnecting in" in line
        assert "DROPPED" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_strict_output_has_no_word_of_ours(loss: GetFlowsResponse) -> None:
    strict = {"PALOMAR_STRICT_HUBBLE": "1"}
    with FakeObserver([loss], hints=UNKNOWN_POD) as server:
        shown = observe(server, "--pod", "web-x", **strict)
        asked = len(server.other_requests)
    assert (shown.stderr, asked) == ("", 0)


def test_silent_errors_hide_notes_and_node_states(
    loss: GetFlowsResponse, nodes_down: GetFlowsResponse
) -> None:
    with FakeObserver([loss, nodes_down]) as server:
        assert observe(server, "-s").stderr == ""


@pytest.mark.parametrize("output", ["compact", "dict"])
def test_causes_stand_below_drops(output: str) -> None:
    dropped = make_response(verdict="DROPPED", event_type={"type": 1}, drop_reason_desc=1014)
    answer = ExplainResponse(cause=DROP_CAUSE_FIREWALL, meaning="A rule dropped it.")
    with FakeObserver([make_response(), dropped], explanation=answer) as server:
        lines = observe(server, "--explain", "-o", output).stdout.splitlines()
    assert lines[-1] == "    cause: firewall: A rule dropped it."
    assert sum("cause" in line for line in lines) == 1


def test_causes_need_a_format_with_room() -> None:
    with FakeObserver() as server:
        shown = observe(server, "--explain", "-o", "json")
    assert shown.exit_code == 2
    assert "palomar explain" in shown.stderr


def test_newer_servers_are_told_of_once() -> None:
    headers = {"hubble-server-version": "9.9.9"}
    with FakeObserver([make_response()] * 3, headers=headers) as server:
        shown = observe(server)
    assert shown.stderr.count("9.9") == 1


def test_broken_stream_shows_what_came() -> None:
    ends = (grpc.StatusCode.OUT_OF_RANGE, "eof")
    with FakeObserver([make_response()], error=ends) as server:
        shown = observe(server, PALOMAR_STRICT_HUBBLE="1")
    assert shown.stdout.count("\n") == 1
    assert shown.exit_code == 1
    assert "rpc error: code = OutOfRange desc = eof" in shown.stderr
