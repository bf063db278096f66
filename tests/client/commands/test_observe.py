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


def raw(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["observe", "--print-raw-filters", *arguments], env=env or {})


STRICT = {"PALOMAR_STRICT_HUBBLE": "1"}


def test_filters_are_printed_and_no_server_is_asked() -> None:
    assert raw("--pod", "web", "--not-port", "443", "-4").stdout == (
        "allowlist:\n"
        '    - \'{"source_pod":["/web"],"ip_version":["IPv4"]}\'\n'
        '    - \'{"destination_pod":["/web"],"ip_version":["IPv4"]}\'\n'
        "denylist:\n"
        '    - \'{"source_port":["443"]}\'\n'
        '    - \'{"destination_port":["443"]}\'\n'
    )
    assert raw("--strict-hubble", "--from-pod", "web").stdout == (
        'allowlist:\n    - \'{"source_pod":["web"]}\'\n'
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["agent-events", "--last", "5"],
        ["--last", "5", "agent-events"],
        ["--last=5", "agent-events"],
    ],
)
def test_flags_may_stand_before_the_subcommand(arguments: list[str]) -> None:
    with FakeObserver() as server:
        assert observe(server, *arguments).exit_code == 0
    assert [request.number for request in server.event_requests] == [5]


def test_a_value_that_is_called_like_a_subcommand_is_a_value() -> None:
    assert "/flows" in raw("--from-pod", "flows").stdout


@pytest.mark.parametrize(
    "arguments",
    [["--verdict", "nope"], ["--not"], ["--allowlist", "{"], ["--since", "nope"], ["x"]],
)
def test_wrong_arguments_are_told_in_one_line(arguments: list[str]) -> None:
    run = raw(*arguments)
    assert (run.exit_code, run.stdout) == (2, "")
    assert run.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--verdict", "dropped"],
         'invalid argument "dropped" for "--verdict" flag: invalid --verdict value: dropped'),
        (["--pod", "a", "--not", "-o", "bogus"], "--not stands before no filter"),
        (["-o", "bogus", "--verdict", "x"],
         'invalid argument "x" for "--verdict" flag: invalid --verdict value: x'),
        (["-o", "bogus", "--since", "bad"], "invalid output format: bogus"),
        (["--since", "bad", "--allowlist", "["],
         "--since 'bad' is neither a duration nor a date"),
        (["--allowlist", "[]"], "invalid --allowlist flag: failed to decode '[]': unexpected"),
    ],
)  # fmt: skip
def test_strict_errors_come_in_the_order_of_hubble(arguments: list[str], message: str) -> None:
    run = raw(*arguments, env=STRICT)
    assert (run.exit_code, run.stdout) == (1, "")
    assert message in run.stderr


@pytest.mark.parametrize("flag", ["--reply", "--no-reply", "--dns-query=x", "--not-port=53"])
def test_filters_that_hubble_lacks_are_unknown_to_it(flag: str) -> None:
    assert raw(flag).exit_code == 0
    strict = raw(flag, env=STRICT)
    assert strict.exit_code == 1
    assert f"unknown flag: {flag.partition('=')[0]}" in strict.stderr
