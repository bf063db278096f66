import click
import pytest
from click.testing import CliRunner

from palomar.cli import cli
from palomar.commands.flag_order import OrderedCommand
from palomar.commands.scope_options import filter_options, scope_keywords, scope_options
from palomar.filter_flags import FILTER_KEYS
from palomar.testing import FakeObserver
from palomar_proto.flow.flow_pb2 import DROPPED, FlowFilter
from palomar_proto.palomar.v1.summary_pb2 import SummarizeResponse


def keywords(*arguments: str) -> object:
    found: list[object] = []

    @click.command(cls=OrderedCommand, params=scope_options())
    @click.pass_context
    def command(ctx: click.Context, /, **options: object) -> None:
        found.append(scope_keywords(ctx, options))

    result = CliRunner().invoke(command, arguments)
    return found[0] if found else result


def test_all_filters_of_observe_are_there() -> None:
    names = {name for option in filter_options() for name in option.opts}
    assert {f"--{name}" for name in FILTER_KEYS} <= names


def test_filters_come_out_as_messages_in_two_lists() -> None:
    found = keywords("--verdict", "dropped", "--not", "--port", "53", "--since", "5m")
    assert isinstance(found, dict)
    assert found["since"] == "5m"
    assert "until" not in found
    assert (len(found["filters"]), len(found["exclude"])) == (1, 2)


def test_filters_of_a_view_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALOMAR_ALLOWLIST", '{"verdict":["DROPPED"]}')
    monkeypatch.setenv("PALOMAR_DENYLIST", '{"source_port":["53"]}')
    found = keywords("--protocol", "tcp")
    assert isinstance(found, dict)
    assert found["filters"] == (FlowFilter(protocol=["tcp"], verdict=[DROPPED]),)
    assert found["exclude"] == (FlowFilter(source_port=["53"]),)
    monkeypatch.setenv("PALOMAR_DENYLIST", "{")
    assert getattr(keywords(), "exit_code", 0) == 2


def test_filter_in_force_is_echoed_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALOMAR_VERBOSE", "true")
    with FakeObserver(summary=SummarizeResponse()) as server:
        done = CliRunner().invoke(cli, ("summary", "--port", "53", "--server", server.target))
    assert done.exit_code == 0
    assert done.stderr.startswith("palomar: filter: ")
    assert "53" in done.stderr


@pytest.mark.parametrize("arguments", [("--port", "99999"), ("--not",)])
def test_nonsense_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    result = keywords(*arguments)
    assert getattr(result, "exit_code", 0) == 2
