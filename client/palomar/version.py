"""The version of this distribution, and of the API it speaks."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

API_VERSION: Final = "1.19"
"""Release of Hubble whose API the messages are those of."""


def _installed_version() -> str:
    try:
        return version("palomar")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"


__version__: Final = _installed_version()
