"""`palomar explain`: why a packet was dropped."""

import sys
from typing import Any

import click

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.output_option import output_option
from palomar.commands.scope_options import scope_keywords, scope_options
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest


@click.command(
    cls=OrderedCommand, params=scope_options(), short_help="Say why a packet was dropped."
)
@click.argument("flow_uuid", default="", metavar="[UUID]")
@click.option(
    "--any-verdict",
    is_flag=True,
    help="Take the last flow that matches even if it was not dropped: for a connection that hangs.",
)
@click.option(
    "--related",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Flows around it at most.  [default: the server's]",
)
@click.option(
    "--color",
    default="auto",
    metavar="auto|always|never",
    help="When to use colours.  [default: auto]",
)
@output_option(("text", "json"))
@server_options
@click.pass_context
def explain(ctx: click.Context, /, **options: Any) -> None:
    """Say why a packet was dropped, what usually causes that, and what to check next.

    UUID names the flow (`palomar observe -o json` shows it). Without, it is the last dropped one
    that matches all filters.

    \b
      palomar explain --pod shop/web --port 8080
      palomar explain --to-fqdn api.example.com --any-verdict
    """  # noqa: D301 - click looks for the backspace character
    from palomar.explanation import show_explanation  # noqa: PLC0415 - loads gRPC, as in observe
    from palomar.printers import Look  # noqa: PLC0415 - likewise
    from palomar.printers.color import choose_palette  # noqa: PLC0415 - likewise

    query = scope_keywords(ctx, options)
    query.update(any_verdict=options["any_verdict"], related_max=options["related"])
    try:
        show_explanation(
            Invocation.of(ctx),
            options["flow_uuid"] or None,
            query,
            Look(palette=choose_palette(options["color"], sys.stdout)),
            as_json=options["output"] == "json",
        )
    except InvalidRequest as error:
        if error.status:
            raise
        raise click.UsageError(str(error), ctx) from error
