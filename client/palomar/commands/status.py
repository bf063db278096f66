"""`palomar status`: whether the server serves, and its counters."""

import click

from palomar.commands.server_options import server_options


@click.command(short_help="Show whether the server serves, and its counters.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(("compact", "json", "jsonpb", "JSON")),
    default="compact",
    metavar="compact|json",
    help="Format.  [default: compact]",
)
@server_options
def status(*, output: str, server: str | None, connect_timeout_s: float, debug: bool) -> None:
    """Check the server's health and show its counters; exits with 1 if it does not serve."""
    del debug  # only matters where errors are shown

    from palomar.status import show_status  # noqa: PLC0415 - loads gRPC, as in observe

    show_status(server, connect_timeout_s, as_json=output != "compact")
