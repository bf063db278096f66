"""`palomar observe`: the flags of reading flows.

Flags in; what they say handed to `observation`, which does the work. The filter flags are those of
the table in `filter_flags`, taken in their order, because `--not` means the flag after it.
"""

from typing import Any

import click

from palomar.commands.flag_order import OrderedCommand, flags_in_order
from palomar.commands.invocation import Invocation
from palomar.commands.observe_events import agent_events, debug_events
from palomar.commands.selection_options import (
    format_options,
    refuse_following_table,
    selection_options,
)
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest
from palomar.filter_flags import FILTER_KEYS, FilterKey

_NOT = "not"


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

_LOOK_OPTIONS = [
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


@click.group(cls=_FlowsByDefault, short_help="Show flows, or agent or debug events.")
def observe() -> None:
    """Show flows, or what a subcommand names."""


@observe.command(
    cls=OrderedCommand,
    params=[
        *_FILTER_OPTIONS,
        *selection_options("flows"),
        *format_options("flow"),
        *_LOOK_OPTIONS,
    ],
    short_help="Show flows (the default).",
)
@server_options
@click.pass_context
def flows(ctx: click.Context, /, **options: Any) -> None:
    """Show the flows that match all filters, oldest first.

    Several values of one filter are alternatives. A filter without from- or to- matches either end
    of a flow. Other events are shown by `palomar observe agent-events` and `debug-events`.

    \b
      palomar observe --verdict dropped --since 5m
      palomar observe -f --pod shop/cart --not --port 53 -o json
    """  # noqa: D301 - click looks for the backspace character
    refuse_following_table(ctx, follow=options["follow"], output=options["output"])

    from palomar import observation  # noqa: PLC0415 - loads gRPC, which --help should not await

    filters = flags_in_order(ctx, {*(name.replace("-", "_") for name in FILTER_KEYS), _NOT})
    try:
        request = observation.build_request(filters, options)
    except InvalidRequest as error:
        raise click.UsageError(str(error), ctx) from error
    if options["print_raw_filters"]:
        observation.show_filters(request)
    else:
        observation.show_flows(request, options, Invocation.of(ctx))


observe.add_command(agent_events)
observe.add_command(debug_events)
