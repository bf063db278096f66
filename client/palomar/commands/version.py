"""`palomar version`: which version this is."""

import click

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation


@click.command(cls=OrderedCommand, short_help="Show the version.")
@click.pass_context
def version(ctx: click.Context, /) -> None:
    """Show the version of this client and the API it speaks."""
    from palomar.version import API_VERSION, HUBBLE_VERSION, __version__  # noqa: PLC0415 - reads metadata

    if Invocation.of(ctx).strict:
        # In the form of `hubble version`, whose second word scripts compare.
        click.echo(f"palomar v{HUBBLE_VERSION}@palomar-{__version__} compiled with {_platform()}")
    else:
        click.echo(f"palomar {__version__} (Hubble API {API_VERSION})")


def _platform() -> str:
    """Language and machine, by the names that Go has for them."""
    import platform  # noqa: PLC0415 - for this line only

    machine = platform.machine()
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    system = platform.system().lower()
    return f"python{platform.python_version()} on {system}/{names.get(machine, machine)}"
