import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.filter_flags import FILTER_KEYS
from palomar.printers.time_format import TIME_FORMATS
from palomar.testing import FakeObserver, make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.relay.relay_pb2 import NODE_CONNECTED


def observe(server: FakeObserver, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["observe", *arguments, "--server", server.target])


def test_flows_is_the_default_subcommand() -> None:
    with FakeObserver([make_response()]) as server:
        assert observe(server).stdout == observe(server, "flows").stdout != ""


def test_help_tells_every_filter_and_time_format() -> None:
    shown = CliRunner().invoke(cli, ["observe", "--help"]).stdout
    assert all(f"--{name}" in shown for name in FILTER_KEYS)
    assert all(name in shown for name in TIME_FORMATS)


def test_flags_reach_the_request() -> None:
    flags = ["--pod", "shop/cart", "--verdict", "drop", "--not", "--port", "53", "-t", "l7",
             "--no-reply", "--last", "3"]  # fmt: skip
    with FakeObserver() as server:
        assert observe(server, *flags).exit_code == 0
    (request,) = server.requests
    assert request.number == 3
    assert [list(item.source_pod) for item in request.whitelist] == [["shop/cart"], []]
    assert all(list(item.reply) == [False] for item in request.whitelist)
    assert [list(item.source_port) for item in request.blacklist] == [["53"], []]


@pytest.mark.parametrize("flag", ["--numeric", "--ip-translation=false"])
def test_addresses_instead_of_names(flag: str) -> None:
    with FakeObserver([make_response()]) as server:
        assert "default/web-0:4000" in observe(server).stdout
        assert "10.0.0.10:4000" in observe(server, flag).stdout


def test_colors_and_node_names_on_demand() -> None:
    with FakeObserver([make_response()]) as server:
        assert "\x1b" not in observe(server).stdout
        assert "\x1b[32mFORWARDED\x1b[0m" in observe(server, "--color", "always").stdout
        assert " [default/node-1]: " in observe(server, "--print-node-name").stdout


def test_node_states_go_to_standard_error(nodes_down: GetFlowsResponse) -> None:
    connected = type(nodes_down).FromString(nodes_down.SerializeToString())
    connected.node_status.state_change = NODE_CONNECTED
    with FakeObserver([nodes_down, connected, make_response()]) as server:
        quiet, debugged = observe(server), observe(server, "-D")
    assert quiet.stdout.count("\n") == 1
    assert quiet.stderr.count("\n") == 1
    assert "1 nodes are unavailable: west/n9" in quiet.stderr
    assert "Receiving flows from 1 nodes" in debugged.stderr


def test_table_comes_at_the_end_even_of_a_failed_stream() -> None:
    with FakeObserver([make_response()]) as server:
        lines = observe(server, "-o", "table").stdout.splitlines()
    assert lines[0].startswith("TIMESTAMP")
    assert len(lines) == 2
