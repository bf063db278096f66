"""The options by which a question about flows says which flows: filters and times.

Shared by `palomar summary`, `top`, `explain` and `hints`; the filters are those of `palomar
observe`, taken in their order. `scope_keywords` turns the values into the keywords that the methods
of `Client` take.
"""

from typing import TYPE_CHECKING, Any

import click

from palomar.commands.flag_order import flags_in_order
from palomar.commands.invocation import Invocation
from palomar.errors import InvalidRequest
from palomar.filter_flags import FILTER_KEYS, FilterKey

if TYPE_CHECKING:
    from palomar_proto.flow.flow_pb2 import FlowFilter

_NOT = "not"


def filter_options() -> list[click.Parameter]:
    """Make the options that say what flows; for an `OrderedCommand`."""
    return [
        *map(_filter_option, FILTER_KEYS.values()),
        click.Option([f"--{_NOT}"], count=True, help="Leave out what the next filter matches."),
    ]


def scope_options() -> list[click.Parameter]:
    """Make the options that say what flows, and of when; for an `OrderedCommand`."""
    return [
        *filter_options(),
        click.Option(
            ["--since"],
            default="",
            metavar="TIME",
            help="From then on: a duration ago (5m) or a date (2024-03-05T10:20Z).",
        ),
        click.Option(["--until"], default="", metavar="TIME", help="Up to then."),
    ]


def scope_keywords(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Say what the flags select, as keywords of `Client.summarize` and its like.

    Filters that a view or the settings hold come along, as in `palomar observe`; with `-v` it is
    told which ones are in force.

    Args:
        ctx: Context of an `OrderedCommand` with these options.
        options: Values of all its options.

    Raises:
        click.UsageError: A value means nothing, or flags exclude each other.
    """
    from palomar.flag_filters import split_flags  # noqa: PLC0415 - loads messages, which --help should not await

    invocation = Invocation.of(ctx)
    try:
        allow, deny = split_flags(flags_in_order(ctx, {*FILTER_KEYS, _NOT}))
        if listed := _kept(invocation, "allowlist"):
            from palomar.filter_lists import narrowed  # noqa: PLC0415 - few runs need it

            allow = tuple(narrowed(allow, listed))
        deny = (*deny, *_kept(invocation, "denylist"))
        verbose = invocation.verbose
    except InvalidRequest as error:
        raise click.UsageError(str(error), ctx) from error
    if verbose:
        from palomar.filter_description import describe_filters  # noqa: PLC0415 - few runs need it
        from palomar.printers.escape import visible  # noqa: PLC0415 - likewise

        click.echo(f"palomar: filter: {visible(describe_filters(allow, deny))}", err=True)
    keywords: dict[str, Any] = {"filters": allow, "exclude": deny}
    keywords.update((name, options[name]) for name in ("since", "until") if options.get(name))
    return keywords


def _kept(invocation: Invocation, name: str) -> "list[FlowFilter]":
    """The filters that a view or the settings hold."""
    texts = invocation.filter_list(name)
    if not texts:
        return []
    from palomar.filter_lists import parse_filters  # noqa: PLC0415 - few runs need it

    return parse_filters(name, texts)


def _filter_option(key: FilterKey) -> click.Option:
    names = [f"--{key.name}", *([f"-{key.short}"] if key.short else [])]
    if key.metavar:
        return click.Option(names, multiple=True, metavar=key.metavar, help=key.help)
    return click.Option(names, count=True, help=key.help)
