"""`palomar observe agent-events` and `debug-events`: their flags.

Flags in; what they say handed to `observation`, which does the work. Added to the group by
`commands.observe`.
"""

from typing import Any

import click

from palomar.commands.invocation import Invocation
from palomar.commands.selection_options import (
    format_options,
    refuse_following_table,
    selection_options,
)
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest


@click.command(
    params=[*selection_options("events"), *format_options("event")],
    short_help="Show what the node's agent did.",
)
@server_options
@click.pass_context
def agent_events(ctx: click.Context, /, **options: Any) -> None:
    """Show what the agent of a node did: its start, endpoints that came and went, policies.

    When following, the last 20 come first, as without --follow. Relays serve no such events.
    """
    from palomar_proto.observer.observer_pb2 import GetAgentEventsRequest  # noqa: PLC0415 - as below

    _show(ctx, GetAgentEventsRequest, options)


@click.command(
    params=[*selection_options("events"), *format_options("event")],
    short_help="Show debug messages of the BPF programs.",
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
    refuse_following_table(ctx, follow=options["follow"], output=options["output"])

    from palomar import observation  # noqa: PLC0415 - loads gRPC, which --help should not await

    try:
        request = observation.build_events_request(kind, options)
    except InvalidRequest as error:
        raise click.UsageError(str(error), ctx) from error
    observation.show_events(request, options, Invocation.of(ctx))
