"""The options by which a question about flows says which flows: filters and times.

Shared by `palomar summary`, `top`, `explain` and `hints`; the filters are those of `palomar
observe`, taken in their order. `scope_keywords` turns the values into the keywords that the methods
of `Client` take.
"""

from typing import Any

import click

from palomar.commands.flag_order import flags_in_order
from palomar.errors import InvalidRequest
from palomar.filter_flags import FILTER_KEYS, FilterKey

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

    Args:
        ctx: Context of an `OrderedCommand` with these options.
        options: Values of all its options.

    Raises:
        click.UsageError: A value means nothing, or flags exclude each other.
    """
    from palomar.flag_filters import split_flags  # noqa: PLC0415 - loads messages, which --help should not await

    try:
        allow, deny = split_flags(flags_in_order(ctx, {*FILTER_KEYS, _NOT}))
    except InvalidRequest as error:
        raise click.UsageError(str(error), ctx) from error
    keywords: dict[str, Any] = {"filters": allow, "exclude": deny}
    keywords.update((name, options[name]) for name in ("since", "until") if options.get(name))
    return keywords


def _filter_option(key: FilterKey) -> click.Option:
    names = [f"--{key.name}", *([f"-{key.short}"] if key.short else [])]
    if key.metavar:
        return click.Option(names, multiple=True, metavar=key.metavar, help=key.help)
    return click.Option(names, count=True, help=key.help)
