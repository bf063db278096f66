"""`palomar observe`: the flags of reading flows.

Flags in; what they say handed to `observation`, which does the work. The filter flags are those of
the table in `filter_flags`, taken in their order, because `--not` means the flag after it.
"""

import time
from typing import Any

import click

from palomar.commands.flag_order import OrderedCommand, first_word, flags_in_order
from palomar.commands.invocation import Invocation
from palomar.commands.observe_events import agent_events, debug_events
from palomar.commands.scope_options import filter_options
from palomar.commands.selection_options import (
    format_options,
    other_options,
    selection_options,
    settle_options,
)
from palomar.commands.server_options import server_options
from palomar.configuration import FILTER_LISTS
from palomar.errors import InvalidRequest
from palomar.filter_flags import FILTER_KEYS


class _FlowsByDefault(click.Group):
    """`palomar observe …` is `palomar observe flows …`; flags may stand before the subcommand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        place = first_word(flows, ctx, args)
        if place is not None and args[place] in self.commands:
            args = [args[place], *args[:place], *args[place + 1 :]]
        else:
            args = ["flows", *args]
        return super().parse_args(ctx, args)


_LIST_OPTIONS = [
    click.Option(
        [f"--{name}"],
        multiple=True,
        metavar="JSON",
        help=f"Flows to {does}, as FlowFilters in JSON.",
    )
    for name, does in zip(FILTER_LISTS, ("let pass", "leave out"), strict=True)
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
        is_flag=True,
        default=True,
        help="Show names instead of addresses.  [default: true]",
    ),
    click.Option(["--numeric"], is_flag=True, help="The same as --ip-translation=false."),
    click.Option(["--explain"], is_flag=True, help="Below each drop, say what caused it."),
]


@click.group(cls=_FlowsByDefault, short_help="Show flows, or agent or debug events.")
def observe() -> None:
    """Show flows, or what a subcommand names."""


@observe.command(
    cls=OrderedCommand,
    params=[
        *filter_options(),
        *_LIST_OPTIONS,
        *selection_options("flows"),
        *format_options("flow"),
        *_LOOK_OPTIONS,
        *other_options(),
    ],
    short_help="Show flows (the default).",
)
@server_options
@click.pass_context
def flows(ctx: click.Context, /, **options: Any) -> None:
    """Show the flows that match all filters, oldest first.

    Several values of one filter are alternatives. A filter without from- or to- matches either end
    of a flow. --not-FILTER, such as --not-port 443, leaves out what FILTER matches; so does --not
    before a filter, except that several of these leave out only what matches all of them, as in
    Hubble. Other events are shown by `palomar observe agent-events` and `debug-events`.

    \b
      palomar observe --verdict dropped --since 5m
      palomar observe -f --pod shop/cart --not-port 53 -o json
    """  # noqa: D301 - click looks for the backspace character
    invocation = Invocation.of(ctx)
    flags = flags_in_order(ctx, {*FILTER_KEYS, *FILTER_LISTS, "not"})

    from palomar.flag_filters import split_flags  # noqa: PLC0415 - loads messages, which --help ...
    from palomar.flag_requests import flows_flag_request  # noqa: PLC0415 - ... should not await

    given = {name for name, _ in flags}
    try:
        if invocation.strict:
            # It judges filters before formats and times, whichever stand first.
            split_flags([flag for flag in flags if flag[0] not in FILTER_LISTS], invocation.dialect)
        settle_options(ctx, options)
        flags += [
            (name, text)
            for name in FILTER_LISTS
            if name not in given
            for text in invocation.filter_list(name)
        ]
        request = flows_flag_request(flags, options, invocation.dialect, time.time_ns())
    except InvalidRequest as error:
        raise click.UsageError(str(error), ctx) from error
    if options["print_raw_filters"]:
        from palomar.raw_filters import raw_filters  # noqa: PLC0415 - few runs need it

        # UTF-8 whatever the locale: the text is for a file that is read as such.
        click.echo(raw_filters(request).encode(), nl=False)
        return

    from palomar import observation  # noqa: PLC0415 - loads gRPC, which no filter needs

    observation.show_flows(request, options, invocation)


observe.add_command(agent_events)
observe.add_command(debug_events)
