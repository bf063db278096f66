import json

import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.health import Health
from palomar.testing import FakeObserver
from palomar_proto.observer.observer_pb2 import ServerStatusResponse

STATUS = ServerStatusResponse(num_flows=1, max_flows=2, seen_flows=3, flows_rate=0.25)


def status(server: FakeObserver, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["status", *arguments, "--server", server.target])


def test_health_comes_before_the_counters() -> None:
    with FakeObserver(status=STATUS) as server:
        ended = status(server)
    assert ended.stdout.splitlines() == [
        f"Healthcheck (via {server.target}): Ok",
        "Current/Max Flows: 1/2 (50.00%)",
        "Flows/s: 0.25",
    ]


def test_json_is_the_message_alone() -> None:
    with FakeObserver(status=STATUS) as server:
        shown = json.loads(status(server, "-o", "json").stdout)
    assert shown == {"num_flows": "1", "max_flows": "2", "seen_flows": "3", "flows_rate": 0.25}


@pytest.mark.parametrize("health", [Health.UNKNOWN, Health.NOT_SERVING])
def test_server_that_does_not_serve_is_1(health: Health) -> None:
    with FakeObserver(health=health) as server:
        ended = status(server)
    assert ended.exit_code == 1
    assert ended.stdout == f"Healthcheck (via {server.target}): Unavailable: {health.name}\n"
    assert "not healthy" in ended.stderr


def test_server_without_health_check_shows_its_counters() -> None:
    with FakeObserver(status=STATUS, health=None) as server:
        ended = status(server)
    assert ended.exit_code == 0
    assert ended.stdout.startswith("Current/Max Flows")
