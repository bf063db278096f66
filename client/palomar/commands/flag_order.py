"""A command that remembers the order of its flags, which `--not` needs.

Click hands a command its options gathered by name; which came before which is lost. In: the
command line. Out: `flags_in_order`, what was given in the order it was given.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import click

_META_KEY = "palomar.flags_in_order"


class OrderedCommand(click.Command):
    """A command whose function may ask for the flags in their order."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, and note the order on the way."""
        if not ctx.resilient_parsing:  # completion of an unfinished line
            values, _, order = self.make_parser(ctx).parse_args(args=list(args))
            ctx.meta[_META_KEY] = list(_in_order(order, values))
        return super().parse_args(ctx, args)


def flags_in_order(ctx: click.Context, names: Iterable[str]) -> list[tuple[str, str]]:
    """List the given flags as (name, value), a flag without a value with an empty one.

    Args:
        ctx: Context of an `OrderedCommand`.
        names: Parameter names (as click has them, with `_`) that are wanted.
    """
    wanted = set(names)
    return [
        (name.replace("_", "-"), value) for name, value in ctx.meta[_META_KEY] if name in wanted
    ]


def _in_order(
    order: Iterable[click.Parameter], values: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """Pair each occurrence with its value: the parser keeps those of one flag in order."""
    used: dict[str, int] = {}
    for parameter in order:
        name = parameter.name
        if name is None:
            continue
        several = values.get(name)
        if isinstance(several, list):
            position = used.get(name, 0)
            used[name] = position + 1
            yield name, str(several[position])
        else:
            yield name, ""
