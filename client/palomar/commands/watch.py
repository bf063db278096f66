"""`palomar watch`: the nodes that serve flows, as their list changes."""

import click

from palomar.commands.aliased_group import AliasedGroup
from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.output_option import output_option
from palomar.commands.server_options import server_options


@click.group(
    cls=AliasedGroup,
    aliases={"peer": "peers"},
    short_help="Watch the list of nodes that serve flows.",
)
def watch() -> None:
    """Watch something change, until Ctrl-C."""


@watch.command(cls=OrderedCommand, short_help="Watch the list of nodes that serve flows.")
@output_option(("compact", "json"))
@server_options
@click.pass_context
def peers(ctx: click.Context, /, *, output: str) -> None:
    """Show every node that serves flows, then each that comes, changes or goes."""
    from palomar.peers import show_peers  # noqa: PLC0415 - loads gRPC, as in observe

    show_peers(Invocation.of(ctx), as_json=output == "json")
