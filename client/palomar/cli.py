"""The command line tool `palomar`: arguments in, an exit code out.

Gathers the commands and decides, for all of them, how a run ends:

    0   done, interrupted (Ctrl-C), or nobody reads the output any more
    1   the server or its answer failed; one line on standard error says what to do
    2   the arguments or settings are wrong (1 in the dialect of `hubble`, which knows no 2)

A command's module is loaded when the command is named, or when the help lists all of them: what
one command needs must not delay another. `main` is what the console script runs (`entry`); `cli` is
the click group, for tests and completion.
"""

import os
import sys
from importlib import import_module
from itertools import islice
from typing import Any, NoReturn

import click

from palomar.commands.invocation import Invocation
from palomar.commands.server_options import add_settings
from palomar.configuration import SETTINGS, Kind, parse_bool
from palomar.dialect import spoken_dialect
from palomar.errors import InvalidRequest, PalomarError

_COMMANDS = {
    "completion": "palomar.commands.completion:completion",
    "config": "palomar.commands.config:config",
    "explain": "palomar.commands.explain:explain",
    "hints": "palomar.commands.hints:hints",
    "list": "palomar.commands.list:list_",
    "monitor": "palomar.commands.monitor:monitor",
    "observe": "palomar.commands.observe:observe",
    "record": "palomar.commands.record:record",
    "recordings": "palomar.commands.recordings:recordings",
    "reflect": "palomar.commands.reflect:reflect",
    "status": "palomar.commands.status:status",
    "summary": "palomar.commands.summary:summary",
    "top": "palomar.commands.top:top",
    "version": "palomar.commands.version:version",
    "watch": "palomar.commands.watch:watch",
}

_OTHER_NAMES = {"w": "watch"}
"""Second names of commands, those that `hubble` has."""

_SHOWN = frozenset({"server", "config", "view", "debug", "verbose", "strict-hubble"})
"""Of the options that every command has, those that the help of the tool itself tells of."""

_BOOLEANS = frozenset(
    f"--{name}" for name, setting in SETTINGS.items() if setting.kind is Kind.BOOL
)

_EPILOG = (
    "How to reach the server can also be set in the environment (PALOMAR_SERVER, PALOMAR_TLS, …; "
    "HUBBLE_… is read as well) or in a file (palomar config). Ends with 0 when done or "
    "interrupted, with 1 on errors and with 2 on wrong arguments."
)


class _Tool(click.Group):
    """The group that loads commands by name and ends every run in one of the ways above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        home = _COMMANDS.get(_OTHER_NAMES.get(cmd_name, cmd_name))
        if home is None:
            return None
        module, _, attribute = home.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        add_settings(command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and _answers_as_hubble(ctx):
            # To `hubble` this is a question, not a mistake.
            click.echo(ctx.get_help())
            ctx.exit(0)
        return super().parse_args(ctx, _plain_flags(ctx, args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if _answers_as_hubble(ctx) and self.get_command(ctx, args[0]) is None:
            if args[0] == "help":
                _show_help(self, ctx, args[1:])
            raise click.UsageError(f'unknown command "{args[0]}" for "palomar"', ctx)
        return super().resolve_command(ctx, args)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        invocation = Invocation(dialect=spoken_dialect(args))
        try:
            return super().make_context(info_name, args, parent, obj=invocation, **extra)
        except click.UsageError as error:
            if invocation.strict:
                _refuse(error)
            raise
        except KeyboardInterrupt:
            raise click.exceptions.Exit(0) from None
        except OSError as error:  # of the help, or of the version
            raise click.exceptions.Exit(_unwritten(error)) from error

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(0)
        except OSError as error:
            # Of the output: those of a connection are PalomarErrors.
            ctx.exit(_unwritten(error))
        except click.UsageError as error:
            if Invocation.of(ctx).strict:
                _refuse(error)
            raise
        except PalomarError as error:
            from palomar.printers.escape import visible  # noqa: PLC0415 - its package loads protobuf

            if _debugging(ctx):
                import traceback  # noqa: PLC0415 - rarely asked for

                # What the server said stands in it as it came.
                for line in traceback.format_exc().split("\n"):
                    click.echo(visible(line), err=True)
            click.echo(f"palomar: {visible(str(error))}", err=True)
            ctx.exit(1)


def _show_help(group: click.Group, ctx: click.Context, words: list[str]) -> NoReturn:
    """Explain the command that the words name, as far as they name one: `hubble help WORD...`."""
    for word in words:
        command = group.get_command(ctx, word)
        if command is None:
            break
        ctx = click.Context(command, parent=ctx, info_name=word)
        if not isinstance(command, click.Group):
            break
        group = command
    click.echo(ctx.get_help())
    raise click.exceptions.Exit(0)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click calls it so
    del param
    if value:
        from palomar.commands.version import version  # noqa: PLC0415 - rarely asked for

        ctx.invoke(version)
        ctx.exit(0)


@click.group(
    cls=_Tool,
    epilog=_EPILOG,
    no_args_is_help=True,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
@click.pass_context
def cli(ctx: click.Context, /) -> None:
    """Watch the network flows of Linux nodes."""
    if ctx.invoked_subcommand is None:
        if not Invocation.of(ctx).strict:
            ctx.fail("Missing command.")
        click.echo(ctx.get_help())  # as for no argument at all


add_settings(cli, shown=_SHOWN)


def main() -> None:
    """Run the tool with the arguments of this process."""
    # gRPC writes a line of its own for what is raised anyway, and says the same less clearly.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    cli(prog_name="palomar")


def _plain_flags(ctx: click.Context, args: list[str]) -> list[str]:
    """Rewrite what click does not know among the flags before the command.

    That is `--tls=false` and its like, and in the dialect of `hubble` its `-v`, which asks for the
    version.
    """
    invocation = Invocation.of(ctx)
    options = {
        name: option
        for option in ctx.command.params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    kept: list[str] = []
    words = iter(args)
    for word in words:
        name, equals, text = word.partition("=")
        option = options.get(name)
        if option is None:
            return [*kept, word, *words]
        if word == "-v" and invocation.strict:
            kept.append("--version")
        elif not option.is_flag:
            kept += [word] if equals else [word, *islice(words, 1)]
        elif not equals or (value := parse_bool(text)) is None:
            kept.append(word)
        elif name in _BOOLEANS:
            invocation.flags[name.removeprefix("--")] = value
    return kept


def _answers_as_hubble(ctx: click.Context) -> bool:
    """Whether to, which is not where a shell only asks how a line may go on."""
    return Invocation.of(ctx).strict and not ctx.resilient_parsing


def _debugging(ctx: click.Context) -> bool:
    try:
        return Invocation.of(ctx).debug
    except InvalidRequest:  # it may be the settings that are wrong
        return False


def _refuse(error: click.UsageError) -> NoReturn:
    """End as `hubble` does on wrong arguments: one line, and 1."""
    from palomar.printers.escape import visible  # noqa: PLC0415 - only for an error

    click.echo(f"palomar: {visible(error.format_message())}", err=True)
    raise click.exceptions.Exit(1) from error


def _unwritten(error: OSError) -> int:
    """End what nobody reads, or what cannot be written; returns the exit code."""
    _discard_output()
    if isinstance(error, BrokenPipeError):
        return 0
    click.echo(f"palomar: cannot write the output: {error.strerror or error}", err=True)
    return 1


def _discard_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not complain at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
