"""The command `palomard`: settings in, a running daemon or one clear error out.

`palomard check` says what this machine can and cannot do.

Exit codes: 0 stopped as asked, 1 could not run or failed while running, 2 wrong settings.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

import click
import structlog

from palomar_bpf.check import check_machine, missing
from palomar_bpf.errors import CaptureError
from palomar_server import __version__
from palomar_server.daemon import Daemon
from palomar_server.event_file import EventFileError
from palomar_server.hooks import HookError
from palomar_server.inventory import InventoryError
from palomar_server.options import options
from palomar_server.setting_sources import load_settings
from palomar_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

EXIT_FAILED = 1
EXIT_USAGE = 2

_EXPECTED = (CaptureError, EventFileError, HookError, InventoryError, OSError)
"""Errors whose text says what to do, and those of the system, which name file or address; anything
else is a defect and shows its traceback."""


class _Palomard(click.Group):
    """Runs the daemon where no subcommand is named."""

    def __init__(self) -> None:
        super().__init__(
            "palomard",
            params=[
                *options(),
                click.Option(["--debug"], is_flag=True, help="Show tracebacks of expected errors."),
            ],
            callback=_run,
            invoke_without_command=True,
            help="Watch this node's traffic and serve it as flows.",
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )
        self.add_command(check)
        self.params.append(_version_option())


def _version_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
        if value:
            click.echo(f"palomard v{__version__}")
            ctx.exit()

    return click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=show
    )


def _run(config: Path | None, *, debug: bool, **flags: Any) -> None:
    """Load the settings and serve."""
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is not None:
        return
    try:
        settings = load_settings(flags, config)
        _set_up_log(settings)
        asyncio.run(Daemon(settings).run())
    except SettingsError as error:
        if debug:
            raise
        for line in error.lines:
            click.echo(f"palomard: {line}", err=True)
        ctx.exit(EXIT_USAGE)
    except _EXPECTED as error:
        if debug:
            raise
        click.echo(f"palomard: {error}", err=True)
        ctx.exit(EXIT_FAILED)


def _set_up_log(settings: Settings) -> None:
    """Send our own and the libraries' log to standard error in one form."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The fancy one prints every local variable, on the thread that captures.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    shared: list[Any] = [
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([structlog.processors.format_exc_info] if settings.log_format == "json" else []),
                renderer,
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One logs each netlink message, kilobytes of it, the other each header, credentials among them.
    for chatty in ("pyroute2", "hpack"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


@click.command()
@click.option("--no-load", is_flag=True, help="Do not try to load the programs.")
def check(*, no_load: bool) -> None:
    """Say what this machine can and cannot do, and what to do about each lack."""
    findings = check_machine(try_load=not no_load)
    for finding in findings:
        mark = "ok " if finding.ok else ("NO " if finding.needed else "-- ")
        click.echo(f"{mark} {finding.name:<12} {finding.detail}")
        if not finding.ok and finding.remedy:
            click.echo(f"    {'':<12} → {finding.remedy}")
    lacks = missing(findings)
    click.echo()
    if lacks:
        click.echo("Live capture is not possible here: " + ", ".join(one.name for one in lacks))
        click.get_current_context().exit(EXIT_FAILED)
    click.echo("Live capture is possible here.")


def main() -> None:
    """The console script."""
    _Palomard()(prog_name="palomard")
