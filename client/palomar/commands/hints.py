"""`palomar hints`: which values a filter can have."""

from typing import TYPE_CHECKING, Any

import click

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.output_option import output_option
from palomar.commands.scope_options import scope_keywords, scope_options
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_LIMIT = 50


def _complete_field(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    del ctx, param
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - rare

    from palomar.groupings import field_names  # noqa: PLC0415 - loads protobuf

    return [CompletionItem(name) for name in field_names() if name.startswith(incomplete.lower())]


@click.command(
    cls=OrderedCommand, params=scope_options(), short_help="List the values a filter can have."
)
@click.argument("field", shell_complete=_complete_field)
@click.argument("search", default="")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=_LIMIT,
    metavar="N",
    help=f"Values at most.  [default: {_LIMIT}]",
)
@click.option("--substring", is_flag=True, help="Look for SEARCH anywhere in a value.")
@output_option(("table", "json"))
@server_options
@click.pass_context
def hints(ctx: click.Context, /, **options: Any) -> None:
    """List the values that FIELD has in the flows the server holds, frequent ones first.

    With SEARCH only those with it at their begin, or behind a `/`, `:` or `=`. With filters only
    those of the flows that match. Fields are pod, namespace, label, workload, identity, cluster,
    ip, port, fqdn, service, protocol, verdict, drop-reason, interface, node and others.

    \b
      palomar hints pod web
      palomar hints drop-reason --pod shop/web --since 5m
    """  # noqa: D301 - click looks for the backspace character
    from palomar.hint_list import show_hints  # noqa: PLC0415 - loads gRPC, as in observe

    query = scope_keywords(ctx, options)
    query.update(limit=options["limit"], substring=options["substring"])
    try:
        show_hints(
            Invocation.of(ctx),
            options["field"],
            options["search"],
            query,
            as_json=options["output"] == "json",
        )
    except InvalidRequest as error:
        if error.status:
            raise
        raise click.UsageError(str(error), ctx) from error
