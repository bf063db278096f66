"""The version of this distribution, and of the API it speaks.

`__version__` is read from the installed metadata when first asked for: that takes longer than the
rest of a short command.
"""

from typing import TYPE_CHECKING, Final

API_VERSION: Final = "1.19"
"""Release of Hubble whose API the messages are those of."""

HUBBLE_VERSION: Final = "1.19.4"
"""Release of the `hubble` command that `--strict-hubble` follows."""

if TYPE_CHECKING:
    __version__: str


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - takes 20 ms

    try:
        return version("palomar")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"


def __getattr__(name: str) -> str:
    """Find out `__version__` when first asked for (PEP 562)."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = _installed_version()
    globals()[name] = found
    return found
