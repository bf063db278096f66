import json

import grpc
import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.health import Health
from palomar.testing import FakeObserver
from palomar_proto.observer.observer_pb2 import ServerStatusResponse

STATUS = ServerStatusResponse(num_flows=1, max_flows=2, seen_flows=3, flows_rate=0.25)
STRICT = {"PALOMAR_STRICT_HUBBLE": "1"}


def status(server: FakeObserver, *arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["status", *arguments, "--server", server.target], env=env)


def test_health_comes_before_the_counters() -> None:
    with FakeObserver(status=STATUS) as server:
        ended = status(server)
    assert ended.stdout.splitlines() == [
        f"Healthcheck (via {server.target}): Ok",
        "Current/Max Flows: 1/2 (50.00%)",
        "Flows/s: 0.25",
    ]


def test_server_says_how_long_it_is_up_and_what_it_is() -> None:
    message = ServerStatusResponse(uptime_ns=61_500_000_000, version="palomar v0.1.0\n")
    with FakeObserver(status=message) as server:
        assert status(server).stdout.splitlines()[3:] == [
            "Uptime: 1m1s",
            "Version: palomar v0.1.0\\n",
        ]
        assert len(status(server, env=STRICT).stdout.splitlines()) == 3


def test_json_is_the_message_alone() -> None:
    with FakeObserver(status=STATUS) as server:
        shown = json.loads(status(server, "-o", "json").stdout)
    assert shown == {"num_flows": "1", "max_flows": "2", "seen_flows": "3", "flows_rate": 0.25}


@pytest.mark.parametrize(
    ("output_format", "start"),
    [
        ("dict", "          NUM FLOWS: 1\n"),
        ("table", "NUM FLOWS   MAX"),
        ("tab", "NUM FLOWS   MAX"),
    ],
)
def test_other_formats_are_without_health(output_format: str, start: str) -> None:
    with FakeObserver(status=STATUS) as server:
        assert status(server, "-o", output_format).stdout.startswith(start)


@pytest.mark.parametrize("health", [Health.UNKNOWN, Health.NOT_SERVING])
def test_server_that_does_not_serve_is_1(health: Health) -> None:
    with FakeObserver(health=health) as server:
        ended = status(server)
    assert ended.exit_code == 1
    assert ended.stdout == f"Healthcheck (via {server.target}): Unavailable: {health.name}\n"
    assert "not healthy" in ended.stderr


def test_server_without_health_check_shows_its_counters_but_to_hubble() -> None:
    with FakeObserver(status=STATUS, health=None) as server:
        ended = status(server)
        strict = status(server, env=STRICT)
    assert ended.exit_code == 0
    assert ended.stdout.startswith("Current/Max Flows")
    assert (strict.exit_code, strict.stdout) == (1, "")
    assert "failed getting status: rpc error: code = Unimplemented" in strict.stderr


@pytest.mark.parametrize(
    ("code", "name"),
    [(grpc.StatusCode.UNAVAILABLE, "Unavailable"), (grpc.StatusCode.UNKNOWN, "Unknown")],
)
def test_strict_failure_says_what_was_being_done(code: grpc.StatusCode, name: str) -> None:
    with FakeObserver(error=(code, "no peers")) as server:
        ended = status(server, env=STRICT)
    assert ended.exit_code == 1
    expected = f"failed to get hubble server status: rpc error: code = {name} desc = no peers\n"
    assert ended.stderr.endswith(expected)


def test_strict_format_is_looked_at_last() -> None:
    with FakeObserver(status=STATUS) as server:
        ended = status(server, "-o", "bogus", env=STRICT)
        assert status(server, "-o", "bogus").exit_code == 2
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.endswith("invalid output format: bogus\n")


def test_newer_server_is_told_of() -> None:
    headers = {"hubble-server-version": "1.20.0"}
    with FakeObserver(status=STATUS, headers=headers) as server:
        assert "the API of Hubble 1.20" in status(server).stderr
