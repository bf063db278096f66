"""A command whose commands have second names, such as `list node` for `list nodes`."""

from collections.abc import Mapping
from typing import Any

import click

from palomar.commands.invocation import Invocation


class AliasedGroup(click.Group):
    """A group of commands, each of which may be called by several names.

    Args:
        aliases: The second names, and the first name of each.
    """

    def __init__(
        self, *args: Any, aliases: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._aliases = aliases or {}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command by any of its names."""
        return super().get_command(ctx, self._aliases.get(cmd_name, cmd_name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the name of a command and what follows it."""
        if not args and Invocation.of(ctx).strict and not ctx.resilient_parsing:
            # To Hubble this is a question, not a mistake.
            click.echo(ctx.get_help())
            ctx.exit(0)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name."""
        known = ctx.resilient_parsing or self.get_command(ctx, args[0]) is not None
        if Invocation.of(ctx).strict and not known:
            click.echo(ctx.get_help())
            ctx.exit(0)
        return super().resolve_command(ctx, args)
