"""The console script `palomard`: the command line, or one line on how to get its packages.

The wheel installs the script with the thin client, too, which comes without the daemon's packages.
"""

from __future__ import annotations

import sys

_EXIT_FAILED = 1


def main() -> None:
    """Run the command line; the installer's script and `python -m palomar_server` call this."""
    try:
        from palomar_server.cli import main as run  # noqa: PLC0415 - needs the daemon's packages
    except ModuleNotFoundError as error:
        if (error.name or "palomar").startswith("palomar"):
            # A module of our own: a defect, which no package would heal.
            raise
        sys.stderr.write("palomard needs the daemon's packages: pip install 'palomar[server]'\n")
        sys.exit(_EXIT_FAILED)
    run()
