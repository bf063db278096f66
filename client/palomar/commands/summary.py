"""`palomar summary`: counts of the flows that a node holds."""

from typing import Any

import click

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.output_option import output_option
from palomar.commands.scope_options import scope_keywords, scope_options
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest

_BY = ("from-pod", "to-pod", "verdict")
_TOP = 20


@click.command(cls=OrderedCommand, params=scope_options(), short_help="Count flows by group.")
@click.option(
    "--by",
    "group_by",
    multiple=True,
    metavar="FIELD,...",
    help="What to group by, up to four fields: pod, from-pod, to-port, to-label:app, verdict, "
    f"drop-reason, ...; `--by none` for all in one.  [default: {','.join(_BY)}]",
)
@click.option(
    "--top", type=click.IntRange(1), default=_TOP, metavar="N", help=f"Groups.  [default: {_TOP}]"
)
@click.option(
    "--measure",
    type=click.Choice(("flows", "packets", "bytes"), case_sensitive=False),
    default="flows",
    metavar="flows|packets|bytes",
    help="What groups are ordered by.  [default: flows]",
)
@click.option(
    "--histogram", is_flag=True, help="Count over time too, all flows and each group of them."
)
@click.option(
    "--width", default="", metavar="DURATION", help="Length of a step of it.  [default: fitting]"
)
@click.option(
    "--at-point",
    "at_points",
    multiple=True,
    metavar="POINT",
    help="Only flows seen there, such as from-endpoint: a packet passes several points.",
)
@output_option(("table", "json"))
@server_options
@click.pass_context
def summary(ctx: click.Context, /, **options: Any) -> None:
    """Count the flows that match all filters: who talks with whom, how much, and when.

    palomard counts, among the flows it holds; nothing is streamed.

    \b
      palomar summary --by to-port,protocol --since 5m
      palomar summary --by to-label:app,drop-reason --verdict dropped --histogram
    """  # noqa: D301 - click looks for the backspace character
    from palomar.summary import show_summary  # noqa: PLC0415 - loads gRPC, as in observe

    query = scope_keywords(ctx, options)
    query.update(top=options["top"], measure=options["measure"], at_points=options["at_points"])
    if options["histogram"] or options["width"]:
        query.update(histogram=options["width"] or True, by_group=True, buckets_max=_BUCKETS_MAX)
    group_by = [name for text in options["group_by"] for name in text.split(",") if name] or _BY
    try:
        show_summary(
            Invocation.of(ctx),
            () if list(group_by) == ["none"] else group_by,
            query,
            as_json=options["output"] == "json",
        )
    except InvalidRequest as error:
        if error.status:
            raise
        raise click.UsageError(str(error), ctx) from error


_BUCKETS_MAX = 30
"""As many steps as fit beside the figures of a group."""
