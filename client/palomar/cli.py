"""The command line tool `palomar`: arguments in, an exit code out.

Gathers the commands and decides, for all of them, how a run ends:

    0   done, interrupted (Ctrl-C), or nobody reads the output any more
    1   the server or its answer failed; one line on standard error says what to do
    2   the arguments are wrong

`main` is the console script; `cli` is the click group, for tests and completion.
"""

import os
import sys
import traceback
from pathlib import Path

import click

from palomar.commands.invocation import Invocation
from palomar.commands.monitor import monitor
from palomar.commands.observe import observe
from palomar.commands.status import status
from palomar.commands.version import version
from palomar.errors import PalomarError


class _Tool(click.Group):
    """The group that ends every run in one of the ways above."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(0)
        except BrokenPipeError:
            _discard_output()
            ctx.exit(0)
        except OSError as error:
            # Of the output: those of a connection are PalomarErrors.
            _discard_output()
            click.echo(f"palomar: cannot write the output: {error.strerror or error}", err=True)
            ctx.exit(1)
        except PalomarError as error:
            if Invocation.of(ctx).debug:
                traceback.print_exc()
            from palomar.printers.escape import visible  # noqa: PLC0415 - its package loads protobuf

            click.echo(f"palomar: {visible(str(error))}", err=True)
            ctx.exit(1)


@click.group(
    cls=_Tool,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.pass_context
def cli(ctx: click.Context, /) -> None:
    """Watch the network flows of Linux nodes."""
    Invocation.of(ctx)  # made here, so that all contexts below share it


cli.add_command(monitor)
cli.add_command(observe)
cli.add_command(status)
cli.add_command(version)


def main() -> None:
    """Run the tool with the arguments of this process."""
    if sys.stdout is None:
        # Started with standard output closed (`>&-`): there is nowhere to write to.
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
    cli(prog_name="palomar")


def _discard_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not complain at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
