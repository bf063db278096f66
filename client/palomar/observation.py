"""One run of `palomar observe`: the flags' values in, flows or events printed.

Builds the request, asks the server, hands each response to the printer and its text to the output.
Called by `commands.observe` and `commands.observe_events`.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from palomar.client import Client
from palomar.commands.invocation import Invocation
from palomar.filters import split_flags
from palomar.output import Output, standard_error, standard_output
from palomar.printers import Look, Printer, make_printer
from palomar.printers.color import choose_palette
from palomar.printers.notices import is_trouble
from palomar.printers.protojson import to_json
from palomar.requests import EventRequestT, Selection, events_request, flows_request
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetDebugEventsRequest,
    GetFlowsRequest,
    GetFlowsResponse,
)

_SELECTION = ("last", "first", "all", "since", "until", "follow")

EventRequest = GetAgentEventsRequest | GetDebugEventsRequest


def build_request(
    filters: Iterable[tuple[str, str]], options: Mapping[str, Any]
) -> GetFlowsRequest:
    """Build the request that the flags describe.

    Args:
        filters: Filter flags and `not`, in their order, with their values.
        options: Values of the other flags by parameter name.

    Raises:
        InvalidRequest: A value means nothing, or flags exclude each other.
    """
    allow, deny = split_flags(filters)
    selection = Selection(**{name: options[name] for name in _SELECTION})
    return flows_request(selection, allow, deny, time.time_ns())


def build_events_request(kind: type[EventRequestT], options: Mapping[str, Any]) -> EventRequestT:
    """Build the request for agent or debug events that the flags describe.

    Args:
        kind: GetAgentEventsRequest or GetDebugEventsRequest.
        options: Values of the flags by parameter name.

    Raises:
        InvalidRequest: A value means nothing, or flags exclude each other.
    """
    selection = Selection(**{name: options[name] for name in _SELECTION})
    return events_request(kind, selection, time.time_ns())


def show_filters(request: GetFlowsRequest) -> None:
    """Print the filters of a request as YAML with one JSON text each, as Hubble does."""
    lists = {"allowlist": request.whitelist, "denylist": request.blacklist}
    lines = []
    for name, filters in lists.items():
        if filters:
            lines.append(f"{name}:\n")
            for item in filters:
                text = to_json(item).replace("'", "''")
                lines.append(f"    - '{text}'\n")
    output = standard_output()
    output.write("".join(lines) or "{}\n")
    output.flush()


def show_flows(
    request: GetFlowsRequest, options: Mapping[str, Any], invocation: Invocation
) -> None:
    """Ask the server and print what it sends, until it or the user ends the stream.

    Raises:
        PalomarError: See `palomar.errors`; what had arrived is printed.
        BrokenPipeError: Whoever read standard output went away.
    """
    look = Look(
        time_format=options["time_format"],
        node_name=options["print_node_name"],
        translate=options["ip_translation"] and not options["numeric"],
        palette=choose_palette(options["color"], sys.stdout),
    )
    errors = standard_error()
    with (
        _session(request, options, look, invocation) as (client, printer, output),
        client.stream(request) as stream,
    ):
        for response in stream.responses():
            if response.HasField("flow"):
                output.write(printer.flow(response))
            else:
                _show_notice(response, printer, output, errors, all_states=invocation.debug)


def show_events(request: EventRequest, options: Mapping[str, Any], invocation: Invocation) -> None:
    """Ask the server for agent or debug events and print them, otherwise like `show_flows`.

    Raises:
        PalomarError: See `palomar.errors`; what had arrived is printed.
        BrokenPipeError: Whoever read standard output went away.
    """
    look = Look(time_format=options["time_format"], node_name=options["print_node_name"])
    with _session(request, options, look, invocation) as (client, printer, output):
        if isinstance(request, GetAgentEventsRequest):
            with client.agent_event_stream(request) as agent_events:
                for agent_event in agent_events:
                    output.write(printer.agent_event(agent_event))
        else:
            with client.debug_event_stream(request) as debug_events:
                for debug_event in debug_events:
                    output.write(printer.debug_event(debug_event))


@contextmanager
def _session(
    request: GetFlowsRequest | EventRequest,
    options: Mapping[str, Any],
    look: Look,
    invocation: Invocation,
) -> Iterator[tuple[Client, Printer, Output]]:
    """Connect, and print at the end what the printer held back, however the stream ends."""
    printer = make_printer(options["output"], look)
    output = standard_output(prompt=options["follow"])
    with invocation.client() as client:
        if invocation.debug:
            standard_error().write(f"asking {client.server}: {to_json(request)}\n")
        try:
            yield client, printer, output
        finally:
            output.write(printer.end())
            output.flush()


def _show_notice(
    response: GetFlowsResponse,
    printer: Printer,
    output: Output,
    errors: Output,
    *,
    all_states: bool,
) -> None:
    """Print what is not a flow: losses among the flows, node states beside them."""
    if response.HasField("lost_events"):
        output.write(printer.loss(response))
    elif response.HasField("node_status") and (all_states or is_trouble(response.node_status)):
        errors.write(printer.node_status(response))
