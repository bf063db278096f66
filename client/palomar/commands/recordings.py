"""`palomar recordings`: the recordings of a node."""

from collections.abc import Callable

import click

from palomar.commands.aliased_group import AliasedGroup
from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.output_option import output_option
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest

_FORMATS = ("table", "json")


@click.group(
    cls=AliasedGroup,
    aliases={"ls": "list", "get": "show", "rm": "delete"},
    short_help="List, stop, download and delete recordings.",
)
def recordings() -> None:
    """Look after the recordings that palomar record made on a node."""


@recordings.command("list", cls=OrderedCommand, short_help="List recordings, the newest first.")
@click.option(
    "--status",
    multiple=True,
    metavar="STATUS",
    help="Only those that are starting, armed, running, stopping, complete, failed or interrupted.",
)
@click.option(
    "--limit",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="N",
    help="How many at most.  [default: 1000]",
)
@output_option(_FORMATS)
@server_options
@click.pass_context
def list_(ctx: click.Context, /, *, status: tuple[str, ...], limit: int, output: str) -> None:
    """List the recordings of the node, the newest first."""
    from palomar.recording_listing import show_recordings  # noqa: PLC0415 - loads gRPC, as in observe

    wanted = [name for words in status for name in words.split(",") if name.strip()]
    _run(ctx, lambda: show_recordings(Invocation.of(ctx), wanted, limit, as_json=output == "json"))


@recordings.command(cls=OrderedCommand, short_help="Show one recording.")
@click.argument("recording_id", metavar="ID")
@output_option(_FORMATS)
@server_options
@click.pass_context
def show(ctx: click.Context, /, *, recording_id: str, output: str) -> None:
    """Show what a recording records, how far it is, and what became of its packets."""
    from palomar.recording_listing import show_recording  # noqa: PLC0415 - as above

    _run(ctx, lambda: show_recording(Invocation.of(ctx), recording_id, as_json=output == "json"))


@recordings.command(cls=OrderedCommand, short_help="End recordings.")
@click.argument("recording_ids", nargs=-1, required=True, metavar="ID...")
@output_option(_FORMATS)
@server_options
@click.pass_context
def stop(ctx: click.Context, /, *, recording_ids: tuple[str, ...], output: str) -> None:
    """End recordings, once all that they took is in their files."""
    from palomar.recording_listing import stop_recordings  # noqa: PLC0415 - as above

    _run(ctx, lambda: stop_recordings(Invocation.of(ctx), recording_ids, as_json=output == "json"))


@recordings.command(cls=OrderedCommand, short_help="Fetch the file of a recording.")
@click.argument("recording_id", metavar="ID")
@click.option(
    "-w",
    "--write",
    default="",
    metavar="FILE",
    help="Where it is to be; - is standard output.  [default: here, under its own name]",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@server_options
@click.pass_context
def download(ctx: click.Context, /, *, recording_id: str, write: str, force: bool) -> None:
    """Fetch the file of a recording that has ended, and check that it came whole.

    What was interrupted goes on where it was.
    """
    from palomar.recording_listing import fetch_recording  # noqa: PLC0415 - as above

    _run(ctx, lambda: fetch_recording(Invocation.of(ctx), recording_id, write, overwrite=force))


@recordings.command(cls=OrderedCommand, short_help="Remove recordings and their files.")
@click.argument("recording_ids", nargs=-1, required=True, metavar="ID...")
@server_options
@click.pass_context
def delete(ctx: click.Context, /, *, recording_ids: tuple[str, ...]) -> None:
    """Remove recordings that have ended, and their files on the node."""
    from palomar.recording_listing import delete_recordings  # noqa: PLC0415 - as above

    _run(ctx, lambda: delete_recordings(Invocation.of(ctx), recording_ids))


def _run(ctx: click.Context, run: Callable[[], None]) -> None:
    """Run it; what is wrong before the server was asked is a wrong argument."""
    try:
        run()
    except InvalidRequest as error:
        if error.status:
            raise
        raise click.UsageError(str(error), ctx) from error
