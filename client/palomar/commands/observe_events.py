"""`palomar observe agent-events` and `debug-events`: their flags.

Flags in; what they say handed to `observation`, which does the work. Added to the group by
`commands.observe`.
"""

import time
from typing import Any

import click

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.selection_options import (
    format_options,
    other_options,
    selection_options,
    settle_options,
)
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest


def _options() -> list[click.Parameter]:
    return [*selection_options("events"), *format_options("event"), *other_options()]


@click.command(cls=OrderedCommand, params=_options(), short_help="Show what the node's agent did.")
@server_options
@click.pass_context
def agent_events(ctx: click.Context, /, **options: Any) -> None:
    """Show what the agent of a node did: its start, endpoints that came and went, policies.

    When following, the last 20 come first, as without --follow. Relays serve no such events.
    """
    from palomar_proto.observer.observer_pb2 import GetAgentEventsRequest  # noqa: PLC0415 - as below

    _show(ctx, GetAgentEventsRequest, options)


@click.command(
    cls=OrderedCommand, params=_options(), short_help="Show debug messages of the BPF programs."
)
@server_options
@click.pass_context
def debug_events(ctx: click.Context, /, **options: Any) -> None:
    """Show debug messages of the BPF programs of a node, where these are made to send any.

    When following, the last 20 come first, as without --follow. Relays serve no such events.
    """
    from palomar_proto.observer.observer_pb2 import GetDebugEventsRequest  # noqa: PLC0415 - as below

    _show(ctx, GetDebugEventsRequest, options)


def _show(ctx: click.Context, kind: Any, options: dict[str, Any]) -> None:
    settle_options(ctx, options)

    from palomar import observation  # noqa: PLC0415 - loads gRPC, which --help should not await
    from palomar.flag_requests import events_flag_request  # noqa: PLC0415 - likewise

    invocation = Invocation.of(ctx)
    try:
        request = events_flag_request(kind, options, invocation.dialect, time.time_ns())
    except InvalidRequest as error:
        raise click.UsageError(str(error), ctx) from error
    observation.show_events(request, options, invocation)
