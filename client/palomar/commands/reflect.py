"""`palomar reflect`: what a server offers, for those who write clients."""

import click

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.output_option import output_option
from palomar.commands.server_options import server_options


@click.command(cls=OrderedCommand, hidden=True, short_help="Show the services of a server.")
@output_option(("text", "json"))
@server_options
@click.pass_context
def reflect(ctx: click.Context, /, *, output: str) -> None:
    """Show the services that a server offers and their methods, by gRPC reflection.

    With -o json, the files that define them, one a line.
    """
    from palomar.api_listing import show_api  # noqa: PLC0415 - loads gRPC, as in observe

    invocation = Invocation.of(ctx)
    show_api(invocation, as_json=invocation.strict or output == "json")
