"""`palomar status`: whether the server serves, and its counters."""

import click

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.output_option import output_option
from palomar.commands.server_options import server_options


@click.command(cls=OrderedCommand, short_help="Show whether the server serves, and its counters.")
@output_option(("compact", "dict", "json", "jsonpb", "table", "tab"))
@server_options
@click.pass_context
def status(ctx: click.Context, /, *, output: str) -> None:
    """Check the server's health and show its counters; exits with 1 if it does not serve."""
    from palomar.status import show_status  # noqa: PLC0415 - loads gRPC, as in observe

    show_status(Invocation.of(ctx), output)
