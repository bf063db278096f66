"""The option `-o` of the commands with one answer."""

from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from palomar.commands.invocation import Invocation


def output_option(formats: Sequence[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `-o`/`--output`.

    In our dialect any case will do, and what is no format is a wrong argument. In Hubble's the
    text is handed on as it is: there a wrong one is found only when the answer has come.

    Args:
        formats: Their names; the first is the default.
    """

    def read(ctx: click.Context, param: click.Parameter, value: str) -> str:
        if Invocation.of(ctx).strict:
            return value
        if value.lower() not in formats:
            raise click.BadParameter(
                f"{value!r} is no format; choose one of {', '.join(formats)}", ctx, param
            )
        return value.lower()

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        del ctx, param
        return [CompletionItem(name) for name in formats if name.startswith(incomplete.lower())]

    return click.option(
        "-o",
        "--output",
        default=formats[0],
        metavar="|".join(formats),
        callback=read,
        shell_complete=complete,
        help=f"Format.  [default: {formats[0]}]",
    )
