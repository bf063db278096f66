"""What Hubble's own command line tool printed, against what ours prints for the same flows."""

import json
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf.json_format import ParseDict

from palomar.cli import cli
from palomar.printers import Look, make_printer
from palomar.printers.color import COLORED, PLAIN
from palomar.printers.notices import is_trouble
from palomar.status import status_text
from palomar.testing import FakeObserver
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsResponse,
    GetDebugEventsResponse,
    GetFlowsResponse,
    ServerStatusResponse,
)

# The flags that decide what a printer prints, and those without effect on it.
_FILES = {"flows.jsonl", "special.jsonl"}
_VALUED = {"--input-file", "--first", "--last", "-o", "--color", "--time-format"}
_BARE = {
    "--all",
    "--print-node-name",
    "--numeric",
    "--ip-translation=false",
    "-s",
    "--use-default-field-masks=false",
}


def _options(arguments: list[str]) -> dict[str, str] | None:
    """Read the flags of a recorded run; `None` if it used others."""
    options = {}
    words = iter(arguments)
    for word in words:
        if word in _VALUED:
            options[word] = next(words, "")
        elif word in _BARE:
            options[word] = ""
        else:
            return None
    return options


def _chosen(responses: list[GetFlowsResponse], options: dict[str, str]) -> list[GetFlowsResponse]:
    """Choose as the recorded tool did: `--first` counts flows, `--last` counts lines."""
    if last := int(options.get("--last", 0)):
        return responses[-last:]
    first = int(options.get("--first", 0))
    if not first:
        return responses
    flows = (place for place, item in enumerate(responses, 1) if item.HasField("flow"))
    return responses[: next(islice(flows, first - 1, None), len(responses))]


def _printed(responses: list[GetFlowsResponse], options: dict[str, str]) -> tuple[str, str]:
    printer = make_printer(
        options.get("-o", "compact"),
        Look(
            time_format=options.get("--time-format", "StampMilli"),
            node_name="--print-node-name" in options,
            translate=not options.keys() & {"--numeric", "--ip-translation=false"},
            palette=COLORED if options.get("--color", "").lower() == "always" else PLAIN,
        ),
    )
    shown, noted = [], []
    for item in responses:
        if item.HasField("flow"):
            shown.append(printer.flow(item))
        elif item.HasField("lost_events"):
            shown.append(printer.loss(item))
        elif is_trouble(item.node_status):
            noted.append(printer.node_status(item))
    return "".join([*shown, printer.end()]), "".join(noted)


def _same_json(one: str, other: str) -> bool:
    return [*map(json.loads, one.splitlines())] == [*map(json.loads, other.splitlines())]


def _without_remote_controls(text: str) -> str:
    """Write out what Hubble lets through: a line end and colours inside a flow's own text."""
    return text.replace("nl\ny", "nl\\ny").replace("\x1b[31mred\x1b[0m", "^[[31mred^[[0m")


def test_printers_print_what_hubble_prints(
    cases: list[dict[str, Any]], recorded: Callable[[str], list[GetFlowsResponse]]
) -> None:
    compared = 0
    for case in cases:
        options = _options(case["argv"][1:]) if case["argv"][0] == "observe" else None
        source = (options or {}).get("--input-file", "").removeprefix("{DIR}/")
        if options is None or case["env"] or case["exit"] or source not in _FILES:
            continue
        output, errors = _printed(_chosen(recorded(source), options), options)
        expected = case["stdout"]
        if "json" in options.get("-o", "").lower():
            assert _same_json(output, expected), case["name"]
        elif options.get("-o") in {"tab", "table"} and source == "special.jsonl":
            # The line end that Hubble lets through also breaks its table in two.
            words = _without_remote_controls(expected).split()
            assert output.split() == words, case["name"]
        else:
            assert output == _without_remote_controls(expected), case["name"]
            assert errors == case["stderr"], case["name"]
        compared += 1
    assert compared >= 60


def test_losses_and_node_states_of_a_server_are_printed_as_hubble_does(
    cases: list[dict[str, Any]],
) -> None:
    by_name = {case["name"]: case for case in cases}
    for output in ("compact", "dict", "table", "json"):
        case = by_name[f"server/lost-and-node-status-{output}"]
        script = case["server"]["rpc"]["GetFlows"]["responses"]
        answers = [ParseDict(item, GetFlowsResponse()) for item in script]
        with FakeObserver(answers, batched=False) as server:
            run = CliRunner().invoke(cli, ["observe", "-o", output, "--server", server.target])
        assert run.exit_code == 0
        if output == "json":
            assert _same_json(run.stdout, case["stdout"])
            assert _same_json(run.stderr, case["stderr"])
        else:
            assert run.stdout == case["stdout"]
            assert run.stderr == case["stderr"]


def test_status_text_is_that_of_hubble(cases: list[dict[str, Any]]) -> None:
    compared = 0
    for case in cases:
        if not case["name"].startswith("status/") or "compact" not in case["name"]:
            continue
        answer = case["server"]["rpc"]["ServerStatus"]["responses"][0]
        _, _, expected = case["stdout"].partition("\n")
        assert status_text(ParseDict(answer, ServerStatusResponse())) == expected
        compared += 1
    assert compared >= 5


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ([], {"number": 20}),
        (["--last", "0"], {"number": 20}),
        (["--last", "5"], {"number": 5}),
        (["--first", "3"], {"number": 3, "first": True}),
        (["--all"], {"number": 2**64 - 1}),
        (["-f"], {"follow": True}),
        (["-f", "--last", "2"], {"follow": True, "number": 2}),
        (["--until", "2024-03-06", "-f"], {"follow": True}),
        (["--since", "2024-03-05", "--all"], {"since": "2024-03-05T00:00:00Z"}),
    ],
)
def test_selections_make_the_requests_hubble_makes(
    cases: list[dict[str, Any]], flags: list[str], fields: dict[str, Any]
) -> None:
    case = next(case for case in cases if case["name"] == f"request/observe {' '.join(flags)}")
    recorded_request = dict(case["requests"][0]["request"])
    del recorded_request["field_mask"]  # ours asks for whole flows
    assert {name: str(value) for name, value in recorded_request.items()} == {
        name: str(value) for name, value in fields.items()
    }
    with FakeObserver() as server:
        assert (
            CliRunner().invoke(cli, ["observe", *flags, "--server", server.target]).exit_code == 0
        )
    expected = ParseDict(fields, type(server.requests[0])())
    assert server.requests[0] == expected


_EVENT_COMMANDS = {
    "agent-events": ("GetAgentEvents", GetAgentEventsResponse),
    "debug-events": ("GetDebugEvents", GetDebugEventsResponse),
}
# Deliberate: Hubble takes `--first` and does as if it were not there.
_FIRST_HEEDED = "--first"


def test_events_are_asked_for_and_printed_as_hubble_does(cases: list[dict[str, Any]]) -> None:
    compared = 0
    for case in cases:
        if not case["name"].startswith("events/"):
            continue
        command = case["argv"][1]
        method, response_type = _EVENT_COMMANDS[command]
        script = case["server"]["rpc"][method]["responses"]
        responses: list[Any] = [ParseDict(item, response_type()) for item in script]
        with FakeObserver(
            agent_events=responses if command == "agent-events" else (),
            debug_events=responses if command == "debug-events" else (),
        ) as server:
            target = server.target.removeprefix("unix:")
            arguments = [one.replace("{SOCKET}", target) for one in case["argv"]]
            run = CliRunner().invoke(cli, arguments)
        if case["exit"]:
            assert run.exit_code == 2, case["name"]
        elif "json" in case["name"]:
            assert _same_json(run.stdout, case["stdout"]), case["name"]
        else:
            assert run.stdout == case["stdout"], case["name"]
        expected = [
            ParseDict(item["request"], type(asked)())
            for item, asked in zip(case["requests"], server.event_requests, strict=True)
        ]
        if _FIRST_HEEDED not in arguments:
            assert server.event_requests == expected, case["name"]
        compared += 1
    assert compared >= 30
