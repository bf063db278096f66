"""One run of `palomar observe`: a request in, flows or events printed.

Asks the server or reads a file, hands each response to the printer and its text to the output. What
people should know beside the flows is in `flow_run`; here is only how the parts are put together.
Called by `commands.observe` and `commands.observe_events`.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from palomar.commands.invocation import Invocation
from palomar.errors import InvalidRequest, ServerError
from palomar.field_choice import field_paths
from palomar.flow_run import FlowRun
from palomar.output import Output, standard_error, standard_output
from palomar.printers import Look, Printer, make_printer
from palomar.printers.color import choose_palette
from palomar.progress import Remarks
from palomar.requests import NUMBER_MAX
from palomar.server_failure import hubble_wording
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetDebugEventsRequest,
    GetFlowsRequest,
)

if TYPE_CHECKING:
    from palomar.client import Client
    from palomar.printers.events import EventResponse

_EXPLAINED = frozenset({"compact", "dict"})
"""Formats that have room for a cause below a flow."""

_LOCAL = ("unix:", "/")
"""How servers are written that are reached by a unix socket."""

EventT = TypeVar("EventT")
EventRequest = GetAgentEventsRequest | GetDebugEventsRequest


def show_flows(
    request: GetFlowsRequest, options: Mapping[str, Any], invocation: Invocation
) -> None:
    """Ask the server, or read the file, and print what comes until it or the user ends it.

    Args:
        request: What to ask for; the fields that are needed are put into it.
        options: Values of the flags by parameter name.
        invocation: What holds for the whole run.

    Raises:
        PalomarError: See `palomar.errors`; what had arrived is printed.
        BrokenPipeError: Whoever read standard output went away.
        click.UsageError: Flags exclude each other.
    """
    _check(options, invocation)
    printer = make_printer(options["output"], _look(options, invocation))
    local = not invocation.strict and invocation.server.startswith(_LOCAL)
    try:
        request.field_mask.paths.extend(field_paths(options, printer, local=local))
    except InvalidRequest as error:
        raise click.UsageError(str(error)) from error
    if not request.field_mask.paths:
        request.ClearField("field_mask")
    # Standard input may be a pipe from something that is still running.
    output = standard_output(prompt=options["follow"] or options.get("input_file") == "-")
    # What nobody waits for needs no line that says how far it is.
    watch = not (options["follow"] or options.get("silent_errors") or invocation.strict)
    flows_max = 0 if request.number == NUMBER_MAX else request.number
    with (
        hubble_wording(strict=invocation.strict),
        Remarks(standard_error(), sys.stderr, watch=watch, flows_max=flows_max) as remarks,
    ):
        run = FlowRun(request, printer, output, remarks, options=options, invocation=invocation)
        if options.get("input_file"):
            run.read_file(options["input_file"])
            return
        with invocation.client() as client:
            _echo(request, client, remarks, invocation)
            run.ask(client)


def show_events(request: EventRequest, options: Mapping[str, Any], invocation: Invocation) -> None:
    """Ask the server for agent or debug events and print them, otherwise like `show_flows`.

    Raises:
        PalomarError: See `palomar.errors`; what had arrived is printed.
        BrokenPipeError: Whoever read standard output went away.
        click.UsageError: They were to come from a file.
    """
    if options.get("input_file") and not invocation.strict:
        raise click.UsageError("only flows can be read from a file; leave out --input-file")
    printer = make_printer(options["output"], _look(options, invocation))
    output = standard_output(prompt=options["follow"])
    with (
        hubble_wording(strict=invocation.strict),
        Remarks(standard_error(), sys.stderr, watch=False) as remarks,
        invocation.client() as client,
    ):
        _echo(request, client, remarks, invocation)
        with _ended(printer, output):
            if isinstance(request, GetAgentEventsRequest):
                with client.agent_event_stream(request) as agent_events:
                    for agent_event in _answered(agent_events, client):
                        _refuse_other(agent_event, "agent_event", invocation)
                        output.write(printer.agent_event(agent_event))
            else:
                with client.debug_event_stream(request) as debug_events:
                    for debug_event in _answered(debug_events, client):
                        _refuse_other(debug_event, "debug_event", invocation)
                        output.write(printer.debug_event(debug_event))


def _answered(events: Iterable[EventT], client: "Client") -> Iterator[EventT]:
    """Pass events on; with the first one warn of a server that knows more than this client."""
    for number, event in enumerate(events):
        if number == 0:
            from palomar.version_check import warn_of_newer_server  # noqa: PLC0415 - loaded once events are there

            warn_of_newer_server(client)
        yield event


def _refuse_other(response: "EventResponse", event: str, invocation: Invocation) -> None:
    """End where an answer has no event in it, if `hubble` is to be followed in that too.

    Raises:
        ServerError: It has none.
    """
    if invocation.strict and not response.HasField(event):  # type: ignore[arg-type]  # of either kind
        raise ServerError(
            f"the server sent an answer without {event}; it may be newer than this client"
        )


def _check(options: Mapping[str, Any], invocation: Invocation) -> None:
    """Refuse flags that mean nothing together.

    Raises:
        click.UsageError: They do.
    """
    if options.get("input_file") and invocation.strict:
        if invocation.configuration.boolean("port-forward"):
            raise click.UsageError("cannot use --input-file and --auto-port-forward together")
    elif options.get("input_file"):
        for name in ("port-forward", "explain"):
            if invocation.flags.get(name) or options.get(name):
                raise click.UsageError(f"--{name} asks a server, and --input-file asks none")
    if options.get("explain") and options["output"] not in _EXPLAINED:
        raise click.UsageError(
            f"--explain writes below each drop, where -o {options['output']} has no room; "
            "use -o compact or dict, or `palomar explain`"
        )


def _look(options: Mapping[str, Any], invocation: Invocation) -> Look:
    """Take the user's choices for the human formats; events have fewer flags than flows."""
    return Look(
        time_format=options["time_format"],
        node_name=options["print_node_name"],
        translate=options.get("ip_translation", True) and not options.get("numeric", False),
        palette=choose_palette(options.get("color", "never"), sys.stdout),
        policy_names=options.get("print_policy_names", False),
        strict=invocation.strict,
    )


@contextmanager
def _ended(printer: Printer, output: Output) -> Iterator[None]:
    """Print at the end what the printer held back, however the stream ends."""
    try:
        yield
    finally:
        output.write(printer.end())
        output.flush()


def _echo(
    request: GetFlowsRequest | EventRequest,
    client: "Client",
    remarks: Remarks,
    invocation: Invocation,
) -> None:
    """Say what is asked of whom, where that was asked for."""
    if not (invocation.debug or invocation.verbose):
        return
    from palomar.request_echo import debug_echo, verbose_echo  # noqa: PLC0415 - few runs need it

    if invocation.debug:
        remarks.write(debug_echo(request, client.server, strict=invocation.strict))
    elif not invocation.strict:
        remarks.write(verbose_echo(request, client.server))
