"""`palomar list`: the nodes behind a relay, and the namespaces of recent flows."""

import click

from palomar.commands.aliased_group import AliasedGroup
from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.output_option import output_option
from palomar.commands.server_options import server_options

_FORMATS = ("table", "wide", "json")


@click.group(
    "list",
    cls=AliasedGroup,
    aliases={"node": "nodes", "namespace": "namespaces", "ns": "namespaces"},
    short_help="List nodes or namespaces.",
)
def list_() -> None:
    """List what a server knows of."""


@list_.command(cls=OrderedCommand, short_help="List the nodes behind a relay.")
@output_option(_FORMATS)
@server_options
@click.pass_context
def nodes(ctx: click.Context, /, *, output: str) -> None:
    """List the nodes behind a relay: how it stands with each, their age and their flows.

    Only a relay knows more nodes than one.
    """
    from palomar.listing import show_nodes  # noqa: PLC0415 - loads gRPC, as in observe

    show_nodes(Invocation.of(ctx), output)


@list_.command(cls=OrderedCommand, short_help="List the namespaces of recent flows.")
@output_option(_FORMATS)
@server_options
@click.pass_context
def namespaces(ctx: click.Context, /, *, output: str) -> None:
    """List the namespaces that flows of about the last hour were in."""
    from palomar.listing import show_namespaces  # noqa: PLC0415 - loads gRPC, as in observe

    show_namespaces(Invocation.of(ctx), output)
