"""The options of every command that talks to a server."""

from collections.abc import Callable

import click

from palomar.commands.invocation import Invocation
from palomar.errors import InvalidRequest
from palomar.target import DEFAULT_SERVER, SERVER_VARIABLE, parse_target
from palomar.timestamps import SECOND_NS, duration_ns


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--server`, `--timeout` and `--debug`, whose values go to the `Invocation`."""
    for option in reversed(
        (
            click.option(
                "--server",
                envvar=SERVER_VARIABLE,
                metavar="TARGET",
                callback=_server,
                expose_value=False,
                help=f"unix:PATH or HOST:PORT of palomard, Hubble or a relay. Also "
                f"${SERVER_VARIABLE}.  [default: {DEFAULT_SERVER}]",
            ),
            click.option(
                "--timeout",
                default="5s",
                callback=_seconds,
                expose_value=False,
                metavar="DURATION",
                help="How long to wait for a connection.  [default: 5s]",
            ),
            click.option(
                "-D",
                "--debug",
                is_flag=True,
                callback=_note_debug,
                expose_value=False,
                help="Say more; show a traceback on errors.",
            ),
        )
    ):
        command = option(command)
    return command


def _note_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click calls it so
    del param
    Invocation.of(ctx).debug = value


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> None:
    """Read a duration such as `5s` or `1m30s`, more than nothing."""
    parsed_ns = duration_ns(value)
    if parsed_ns is None or parsed_ns <= 0:
        raise click.BadParameter(
            f"{value!r} is not a duration; write it like 5s or 1m30s", ctx, param
        )
    Invocation.of(ctx).connect_timeout_s = parsed_ns / SECOND_NS


def _server(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Refuse what is no target as a wrong argument, before anything is asked of it."""
    try:
        parse_target(value)
    except InvalidRequest as error:
        raise click.BadParameter(str(error), ctx, param) from error
    Invocation.of(ctx).server = value
