"""`palomar version`: which version this is."""

import click


@click.command(short_help="Show the version.")
def version() -> None:
    """Show the version of this client and the API it speaks."""
    from palomar.version import API_VERSION, __version__  # noqa: PLC0415 - reads metadata

    click.echo(f"palomar {__version__} (Hubble API {API_VERSION})")
