"""`palomar observe`: the flags of reading flows.

Flags in; what they say handed to `observation`, which does the work. The filter flags are those of
the table in `filter_flags`, taken in their order, because `--not` means the flag after it.
"""

from typing import Any

import click

from palomar.commands.flag_order import OrderedCommand, flags_in_order
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest
from palomar.filter_flags import FILTER_KEYS, FilterKey

FORMATS = ("compact", "dict", "json", "jsonpb", "table", "JSON", "tab")
"""Must match `printers.PRINTERS`, which takes long to import; the last two are not told."""

_NOT = "not"
_TIME_FORMATS = (
    "StampMilli, YearMonthDay, YearMonthDayHour, YearMonthDayHourMinute, RFC3339, RFC3339Milli, "
    "RFC3339Micro, RFC3339Nano, RFC1123Z"
)


class _FlowsByDefault(click.Group):
    """`palomar observe …` is `palomar observe flows …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["flows", *args]
        return super().parse_args(ctx, args)


def _filter_option(key: FilterKey) -> click.Option:
    names = [f"--{key.name}", *([f"-{key.short}"] if key.short else [])]
    if key.metavar:
        return click.Option(names, multiple=True, metavar=key.metavar, help=key.help)
    return click.Option(names, count=True, help=key.help)


_FILTER_OPTIONS = [
    *map(_filter_option, FILTER_KEYS.values()),
    click.Option([f"--{_NOT}"], count=True, help="Leave out what the next filter matches."),
]

_SELECTION_OPTIONS = [
    click.Option(
        ["--last"],
        type=click.IntRange(0),
        default=0,
        metavar="N",
        help="The newest N flows.  [default: 20 where nothing else says how many]",
    ),
    click.Option(
        ["--first"], type=click.IntRange(0), default=0, metavar="N", help="The oldest N flows."
    ),
    click.Option(["--all"], is_flag=True, help="All flows the server has."),
    click.Option(["-f", "--follow"], is_flag=True, help="Go on with new flows as they happen."),
    click.Option(
        ["--since"],
        default="",
        metavar="TIME",
        help="From then on: a duration ago (5m) or a date (2024-03-05T10:20Z).",
    ),
    click.Option(
        ["--until"], default="", metavar="TIME", help="Up to then; ignored when following."
    ),
]

_FORMAT_OPTIONS = [
    click.Option(
        ["-o", "--output"],
        type=click.Choice(FORMATS),
        default="compact",
        metavar="|".join(FORMATS[:5]),
        help="Format.  [default: compact]",
    ),
    click.Option(
        ["--time-format"],
        default="StampMilli",
        metavar="NAME",
        help=f"Of the human formats: {_TIME_FORMATS}.  [default: StampMilli]",
    ),
    click.Option(["--print-node-name"], is_flag=True, help="Name the node that saw the flow."),
    click.Option(
        ["--color"],
        default="auto",
        metavar="auto|always|never",
        help="When to use colours.  [default: auto]",
    ),
    click.Option(
        ["--ip-translation"],
        type=click.BOOL,
        is_flag=False,
        flag_value=True,
        default=True,
        metavar="[=true|false]",
        help="Show names instead of addresses.  [default: true]",
    ),
    click.Option(["--numeric"], is_flag=True, help="The same as --ip-translation=false."),
    click.Option(
        ["--print-raw-filters"],
        is_flag=True,
        help="Print the filters as the server would get them, and stop.",
    ),
]


@click.group(cls=_FlowsByDefault, short_help="Show flows.")
def observe() -> None:
    """Show flows, or what a subcommand names."""


@observe.command(
    cls=OrderedCommand,
    params=[*_FILTER_OPTIONS, *_SELECTION_OPTIONS, *_FORMAT_OPTIONS],
    short_help="Show flows (the default).",
)
@server_options
@click.pass_context
def flows(ctx: click.Context, /, **options: Any) -> None:
    """Show the flows that match all filters, oldest first.

    Several values of one filter are alternatives. A filter without from- or to- matches either end
    of a flow.

    \b
      palomar observe --verdict dropped --since 5m
      palomar observe -f --pod shop/cart --not --port 53 -o json
    """  # noqa: D301 - click looks for the backspace character
    if options["follow"] and options["output"] in {"table", "tab"}:
        raise click.UsageError(
            "a table cannot follow, since it needs all rows; use -o compact", ctx
        )

    from palomar import observation  # noqa: PLC0415 - loads gRPC, which --help should not await

    filters = flags_in_order(ctx, {*(name.replace("-", "_") for name in FILTER_KEYS), _NOT})
    try:
        request = observation.build_request(filters, options)
    except InvalidRequest as error:
        raise click.UsageError(str(error), ctx) from error
    if options["print_raw_filters"]:
        observation.show_filters(request)
    else:
        observation.show_flows(request, options)
