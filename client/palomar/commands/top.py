"""`palomar top`: who has the most flows just now."""

from typing import Any

import click

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.scope_options import filter_options, scope_keywords
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest
from palomar.timestamps import SECOND_NS, duration_ns

_LISTS = ("pod", "drop-reason", "to-port")
_ROWS = 8


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    parsed_ns = duration_ns(value)
    if parsed_ns is None or parsed_ns <= 0:
        raise click.BadParameter(
            f"{value!r} is not a duration; write it like 2s or 1m30s", ctx, param
        )
    return parsed_ns / SECOND_NS


@click.command(cls=OrderedCommand, params=filter_options(), short_help="Show who is busy now.")
@click.argument("lists", nargs=-1)
@click.option(
    "--rows",
    type=click.IntRange(1, 500),
    default=_ROWS,
    metavar="N",
    help=f"Rows of each list.  [default: {_ROWS}]",
)
@click.option(
    "--window",
    default="60s",
    callback=_seconds,
    metavar="DURATION",
    help="How far back the figures go.  [default: 60s]",
)
@click.option(
    "--interval",
    default="2s",
    callback=_seconds,
    metavar="DURATION",
    help="Between two counts.  [default: 2s]",
)
@click.option("--once", is_flag=True, help="Count once, and print text, as when piped.")
@server_options
@click.pass_context
def top(ctx: click.Context, /, **options: Any) -> None:
    """Show the busiest pods, drop reasons and ports of the last minute, until Ctrl-C.

    LISTS names other ones: any field of `palomar summary --by`, such as from-pod, to-service,
    to-fqdn or to-label:app. `pod` and its like count both ends; ports are those of who answers.

    \b
      palomar top --verdict dropped
      palomar top from-workload to-fqdn --window 10m
    """  # noqa: D301 - click looks for the backspace character
    from palomar.top import TopView, show_top  # noqa: PLC0415 - loads gRPC, as in observe

    view = TopView(
        names=options["lists"] or _LISTS,
        scope=scope_keywords(ctx, options),
        rows_max=options["rows"],
        window_s=options["window"],
        interval_s=options["interval"],
        once=options["once"],
    )
    try:
        show_top(Invocation.of(ctx), view)
    except InvalidRequest as error:
        if error.status:
            raise
        raise click.UsageError(str(error), ctx) from error
